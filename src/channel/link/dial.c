/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/link/dial.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "channel/http/exchange.h"
#include "channel/net/tcp.h"

#define ANSWER_LIMIT_MS 30000

enum dial_state {
    DIAL_TCP,     /* connect() is under way, or failed at once and is reported by the timer */
    DIAL_TLS,     /* handshake */
    DIAL_LISTEN,  /* after the handshake: what does the proxy say unasked? */
    DIAL_CONNECT, /* request being written, answer being read */
    DIAL_UP,
    DIAL_DONE, /* failed */
};

struct dial {
    struct ev_loop *loop;
    const struct conf *conf;
    dial_cb *cb;
    void *data;
    ev_io io;
    ev_timer timer;
    struct tls_context *tls_context;
    struct stream *stream; /* the socket, later the TLS above it */
    struct tls *tls;       /* inside stream; NULL: none (yet) */
    struct exchange exchange;
    enum dial_state state;
    int wants; /* EV_READ, EV_WRITE: what the last attempt has to wait for */
    int error; /* errno of a connect that failed at once */
    uint32_t listen_ms, answer_ms;
    struct addr address;
    uint16_t port, local_port;
    bool resume, ping;
    const char *host;     /* in names; NULL: no request */
    const char *tls_name; /* in names; NULL: plain */
    char names[];
};

/* ---- state ---- */

static uint32_t dial_limit_ms(const struct dial *dial)
{
    switch (dial->state) {
    case DIAL_TCP:
        return dial->error ? 0 : dial->conf->connect_timeout_ms;
    case DIAL_TLS:
        return dial->conf->handshake_timeout_ms;
    case DIAL_LISTEN:
        return dial->listen_ms;
    case DIAL_CONNECT:
        return dial->answer_ms ? dial->answer_ms : ANSWER_LIMIT_MS;
    case DIAL_UP:
    case DIAL_DONE:
        break;
    }
    return 0;
}

static int dial_interest(const struct dial *dial)
{
    switch (dial->state) {
    case DIAL_TCP:
        return dial->error ? 0 : EV_WRITE;
    case DIAL_TLS:
    case DIAL_LISTEN:
    case DIAL_CONNECT:
        return dial->wants;
    case DIAL_UP:
    case DIAL_DONE:
        break;
    }
    return 0;
}

/* The one place that decides what the descriptor is polled for. */
static void dial_watch(struct dial *dial)
{
    int interest = dial_interest(dial);
    if (ev_is_active(&dial->io) && interest == (dial->io.events & (EV_READ | EV_WRITE)))
        return;
    ev_io_stop(dial->loop, &dial->io);
    if (interest) {
        ev_io_set(&dial->io, dial->stream->fd, interest);
        ev_io_start(dial->loop, &dial->io);
    }
}

static void dial_enter(struct dial *dial, enum dial_state state)
{
    dial->state = state;
    ev_timer_stop(dial->loop, &dial->timer);
    if (state < DIAL_UP) {
        ev_timer_set(&dial->timer, dial_limit_ms(dial) / 1e3, 0.);
        ev_timer_start(dial->loop, &dial->timer);
    }
    dial_watch(dial);
}

/* The dial may be gone afterwards: callers return at once. */
static void dial_finish(struct dial *dial, const struct dial_result *result)
{
    dial_enter(dial, result->up ? DIAL_UP : DIAL_DONE);
    exchange_fini(&dial->exchange);
    if (!result->up) {
        stream_free(dial->stream, true);
        dial->stream = NULL;
        dial->tls = NULL;
    }
    dial->cb(dial, result, dial->data);
}

static void dial_up(struct dial *dial, int http_status)
{
    dial_finish(dial, &(struct dial_result){.up = true, .http_status = http_status});
}

__attribute__((format(printf, 4, 5))) static void dial_fail(struct dial *dial, enum reason reason, bool proxy_at_fault,
                                                            const char *format, ...)
{
    struct dial_result result = {.reason = reason, .proxy_at_fault = proxy_at_fault};
    va_list args;
    va_start(args, format);
    vsnprintf(result.detail, sizeof result.detail, format, args);
    va_end(args);
    dial_finish(dial, &result);
}

static void dial_fail_memory(struct dial *dial)
{
    dial_fail(dial, REASON_NO_MEMORY, false, "out of memory");
}

/* ---- TCP ---- */

static void dial_fail_tcp(struct dial *dial, int error)
{
    /* Only what connect() says at once is about our own routes; later it may come from a router far away. */
    bool routing = dial->error && (error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN);
    bool own = tcp_error_is_own(error);
    struct dial_result result = {.reason = own                  ? REASON_NO_MEMORY
                                           : error == ETIMEDOUT ? REASON_CONNECT_TIMEOUT
                                                                : REASON_CONNECT_FAILED,
                                 .proxy_at_fault = !own,
                                 .no_route = own || routing};
    char address[ADDR_TEXT_MAX], words[TCP_WORDS_MAX];
    snprintf(result.detail, sizeof result.detail, "connect to %s: %s", addr_text(&dial->address, address),
             tcp_error_words(error, words));
    dial_finish(dial, &result);
}

/* 0 when the connection is under way, else errno. */
static int dial_connect(struct dial *dial)
{
    int fd;
    int result = tcp_connect(&dial->address, dial->local_port, &fd);
    if (result < 0)
        return -result;
    dial->stream = stream_new_plain(fd);
    return dial->stream ? 0 : ENOMEM;
}

/* ---- TLS failures ---- */

static void dial_fail_tls(struct dial *dial)
{
    const char *text = tls_failure_text(dial->tls);
    switch (tls_failure(dial->tls)) {
    case TLS_FAILURE_SERVER_CERT:
    case TLS_FAILURE_CLIENT_CERT:
        dial_fail(dial, REASON_AUTH_FAILED, true, "%s", text);
        return;
    case TLS_FAILURE_MEMORY:
        dial_fail(dial, REASON_NO_MEMORY, false, "%s", text);
        return;
    case TLS_FAILURE_NONE:
    case TLS_FAILURE_ALERT:
    case TLS_FAILURE_CLOSED:
    case TLS_FAILURE_PROTOCOL:
        dial_fail(dial, REASON_TLS_FAILED, true, "%s", text);
        return;
    }
}

/* ---- the request and its answer ---- */

static const char *dial_question(const struct dial *dial)
{
    return dial->ping ? "OPTIONS" : "CONNECT";
}

static void dial_answered(struct dial *dial, const struct connect_answer *answer)
{
    struct dial_result result = {.reason = REASON_PROXY_REFUSED, .http_status = answer->status};
    if (dial->ping || (answer->status >= 200 && answer->status <= 299)) {
        dial_up(dial, answer->status);
        return;
    }
    snprintf(result.detail, sizeof result.detail, "proxy answered %d%s%s", answer->status, answer->reason[0] ? " " : "",
             answer->reason);
    dial_finish(dial, &result);
}

/* The connection ended before the answer did. Over TLS and before its first byte that is how some servers refuse a
 * client certificate (TLS 1.3: the handshake was over before the server had judged it). */
static void dial_ended(struct dial *dial, enum exchange_result how)
{
    bool heard = exchange_has_heard(&dial->exchange);
    enum tls_failure failure = dial->tls ? tls_failure(dial->tls) : TLS_FAILURE_NONE;
    const char *verb = how == EXCHANGE_RESET ? "reset" : "closed";
    char address[ADDR_TEXT_MAX];
    addr_text(&dial->address, address);
    if (!heard && failure == TLS_FAILURE_CLOSED)
        dial_fail(dial, REASON_PROXY_CLOSED, true, "%s", tls_failure_text(dial->tls));
    else if (!heard && failure != TLS_FAILURE_NONE)
        dial_fail_tls(dial);
    else if (!heard && dial->tls)
        dial_fail(dial, REASON_PROXY_CLOSED, true,
                  "%s %s the connection after the handshake without an alert; it may refuse the client certificate",
                  address, verb);
    else if (how == EXCHANGE_FAILED && failure != TLS_FAILURE_CLOSED)
        dial_fail(dial, REASON_PROXY_CLOSED, false, "answer of %s to %s: %s", address, dial_question(dial),
                  stream_error(dial->stream));
    else
        dial_fail(dial, REASON_PROXY_CLOSED, false, "%s %s the connection %s to %s", address, verb,
                  heard ? "in the middle of its answer" : "instead of an answer", dial_question(dial));
}

static void dial_exchange(struct dial *dial)
{
    struct connect_answer answer;
    bool want_write;
    char address[ADDR_TEXT_MAX];
    enum exchange_result result = exchange_step(&dial->exchange, dial->stream, &want_write, &answer);
    addr_text(&dial->address, address);
    switch (result) {
    case EXCHANGE_AGAIN:
        dial->wants = want_write ? EV_READ | EV_WRITE : EV_READ;
        dial_watch(dial);
        return;
    case EXCHANGE_DONE:
        dial_answered(dial, &answer);
        return;
    case EXCHANGE_BAD:
        dial_fail(dial, REASON_PROXY_GARBAGE, false, "answer of %s to %s is not HTTP", address, dial_question(dial));
        return;
    case EXCHANGE_TOO_LARGE:
        dial_fail(dial, REASON_PROXY_HEADER, false, "header of the answer of %s to %s is larger than %d bytes", address,
                  dial_question(dial), CONNECT_ANSWER_MAX);
        return;
    case EXCHANGE_CLOSED:
    case EXCHANGE_RESET:
    case EXCHANGE_FAILED:
        dial_ended(dial, result);
        return;
    case EXCHANGE_NO_MEMORY:
        dial_fail_memory(dial);
        return;
    }
}

static void dial_ask(struct dial *dial)
{
    int error = exchange_ask(&dial->exchange, dial->conf, dial->host, dial->ping ? 0 : dial->port);
    if (error == -ENOMEM) {
        dial_fail_memory(dial);
    } else if (error < 0) {
        dial_fail(dial, REASON_PROXY_ERROR, false, "no %s request can be written for \"%s\": %s", dial_question(dial),
                  dial->host, error == -EMSGSIZE ? "it is too long" : "it is not a host name");
    } else {
        dial_enter(dial, DIAL_CONNECT);
        dial_exchange(dial);
    }
}

/* ---- TLS ---- */

/* What came behind the handshake may sit inside the TLS library already. */
static void dial_listen(struct dial *dial)
{
    dial_enter(dial, DIAL_LISTEN);
    dial_exchange(dial);
}

static void dial_encrypted(struct dial *dial)
{
    if (!dial->host)
        dial_up(dial, 0);
    else if (dial->listen_ms)
        dial_listen(dial);
    else
        dial_ask(dial);
}

static void dial_shake(struct dial *dial)
{
    switch (tls_handshake(dial->tls)) {
    case STREAM_OK:
        dial->wants = EV_READ;
        dial_encrypted(dial);
        return;
    case STREAM_AGAIN_READ:
        dial->wants = EV_READ;
        dial_watch(dial);
        return;
    case STREAM_AGAIN_WRITE:
        dial->wants = EV_WRITE;
        dial_watch(dial);
        return;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
    case STREAM_RESET:
    case STREAM_FAILED:
        dial_fail_tls(dial);
        return;
    }
}

/* There is a connection to the proxy. */
static void dial_connected(struct dial *dial)
{
    if (!dial->tls_context) {
        if (dial->host)
            dial_ask(dial);
        else
            dial_up(dial, 0);
        return;
    }
    dial->tls = tls_new(dial->tls_context, dial->stream, dial->tls_name, dial->resume);
    dial->stream = dial->tls ? tls_stream(dial->tls) : NULL;
    if (!dial->tls) {
        dial_fail_memory(dial);
        return;
    }
    dial->wants = EV_WRITE;
    dial_enter(dial, DIAL_TLS);
    dial_shake(dial);
}

/* ---- events ---- */

static void dial_io_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct dial *dial = io->data;
    int error = 0;
    socklen_t length = sizeof error;
    switch (dial->state) {
    case DIAL_TCP:
        if (getsockopt(dial->stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
            error = errno;
        /* A connection that was refused says ECONNREFUSED; these two say that there was one (RFC 9293, 3.10.7.3-4). */
        if (error && error != ECONNRESET && error != EPIPE)
            dial_fail_tcp(dial, error);
        else
            dial_connected(dial);
        return;
    case DIAL_TLS:
        dial_shake(dial);
        return;
    case DIAL_LISTEN:
    case DIAL_CONNECT:
        dial_exchange(dial);
        return;
    case DIAL_UP:
    case DIAL_DONE:
        assert(!"a finished dial has no watcher");
    }
}

static void dial_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct dial *dial = timer->data;
    char address[ADDR_TEXT_MAX];
    double limit = dial_limit_ms(dial) / 1e3;
    addr_text(&dial->address, address);
    switch (dial->state) {
    case DIAL_TCP:
        if (dial->error)
            dial_fail_tcp(dial, dial->error);
        else
            dial_fail(dial, REASON_CONNECT_TIMEOUT, true, "connect to %s: no answer within %g s", address, limit);
        return;
    case DIAL_TLS:
        dial_fail(dial, REASON_TLS_TIMEOUT, true, "TLS handshake with %s: not finished within %g s", address, limit);
        return;
    case DIAL_LISTEN:
        dial_ask(dial);
        return;
    case DIAL_CONNECT:
        dial_fail(dial, REASON_PROXY_TIMEOUT, false, "%s did not answer %s within %g s", address, dial_question(dial),
                  limit);
        return;
    case DIAL_UP:
    case DIAL_DONE:
        assert(!"a finished dial has no timer");
    }
}

/* ---- life ---- */

static struct dial *dial_new(const struct dial_request *request)
{
    size_t host_size = request->host ? strlen(request->host) + 1 : 0;
    size_t name_size = request->tls ? strlen(request->tls_name) + 1 : 0;
    struct dial *dial = calloc(1, sizeof *dial + host_size + name_size);
    if (!dial)
        return NULL;
    if (host_size)
        dial->host = memcpy(dial->names, request->host, host_size);
    if (name_size)
        dial->tls_name = memcpy(dial->names + host_size, request->tls_name, name_size);
    dial->conf = request->conf;
    dial->tls_context = request->tls;
    dial->stream = request->below;
    dial->address = request->address;
    dial->port = request->port;
    dial->local_port = request->local_port;
    dial->resume = request->resume;
    dial->ping = request->ping;
    dial->listen_ms = request->listen_ms;
    dial->answer_ms = request->answer_ms;
    return dial;
}

struct dial *dial_start(struct ev_loop *loop, const struct dial_request *request, dial_cb *cb, void *data)
{
    struct dial *dial = dial_new(request);
    assert(!request->ping || request->host);
    if (!dial) {
        stream_free(request->below, true);
        return NULL;
    }
    dial->loop = loop;
    dial->cb = cb;
    dial->data = data;
    ev_init(&dial->io, dial_io_cb);
    ev_init(&dial->timer, dial_timer_cb);
    dial->io.data = dial->timer.data = dial;
    /* A connection that is there already is found writable by the first turn of the loop, as a new one is. */
    if (!dial->stream)
        dial->error = dial_connect(dial);
    dial_enter(dial, DIAL_TCP);
    return dial;
}

struct stream *dial_take_stream(struct dial *dial)
{
    struct stream *stream = dial->stream;
    assert(dial->state == DIAL_UP && stream);
    dial->stream = NULL;
    return stream;
}

void dial_tls_summary(const struct dial *dial, struct tls_summary *ret_summary)
{
    assert(dial->state == DIAL_UP);
    memset(ret_summary, 0, sizeof *ret_summary);
    if (dial->tls)
        tls_summary(dial->tls, ret_summary);
}

void dial_free(struct dial *dial)
{
    if (!dial)
        return;
    ev_io_stop(dial->loop, &dial->io);
    ev_timer_stop(dial->loop, &dial->timer);
    stream_free(dial->stream, true);
    exchange_fini(&dial->exchange);
    free(dial);
}
