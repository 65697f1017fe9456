/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/link/link.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "channel/net/tcp.h"

#define SMALL_PACKET 536 /* bytes; every path must let it pass (RFC 9293 section 3.7.1) */

enum link_state {
    LINK_DOWN, /* not begun, failed, or its stream was taken */
    LINK_TCP,  /* connect() is under way, or failed at once and is reported by the timer */
    LINK_TLS,  /* handshake */
    LINK_UP,
};

struct link {
    struct ev_loop *loop;
    const struct conf *conf;
    link_cb *cb;
    void *data;
    ev_timer timer;
    struct tls_context *tls_context;
    struct stream *stream; /* the socket, later the TLS above it */
    struct tls *tls;       /* inside stream; NULL: none (yet) */
    enum link_state state;
    int wants; /* STREAM_READABLE, STREAM_WRITABLE: what the last attempt has to wait for */
    int error; /* errno of a connect that failed at once */
    struct addr address;
    bool resume;
    char tls_name[];
};

/* ---- state ---- */

static uint32_t link_limit_ms(const struct link *link)
{
    switch (link->state) {
    case LINK_TCP:
        return link->error ? 0 : link->conf->connect_timeout_ms;
    case LINK_TLS:
        return link->conf->handshake_timeout_ms;
    case LINK_DOWN:
    case LINK_UP:
        break;
    }
    return 0;
}

static int link_interest(const struct link *link)
{
    switch (link->state) {
    case LINK_TCP:
        return link->error ? 0 : STREAM_WRITABLE;
    case LINK_TLS:
        return link->wants;
    case LINK_DOWN:
    case LINK_UP:
        break;
    }
    return 0;
}

static void link_ready_cb(int events, void *data);

static void link_watch(struct link *link)
{
    if (link->stream)
        stream_watch(link->stream, link->loop, link_interest(link), link_ready_cb, link);
}

static void link_enter(struct link *link, enum link_state state)
{
    link->state = state;
    ev_timer_stop(link->loop, &link->timer);
    if (state == LINK_TCP || state == LINK_TLS) {
        timer_arm(link->loop, &link->timer, link_limit_ms(link) / 1e3);
    }
    link_watch(link);
}

/* ---- the two ends ---- */

/* The link may be gone afterwards: callers return at once. */
static void link_up(struct link *link)
{
    link_enter(link, LINK_UP);
    link->cb(link, NULL, link->data);
}

/* As link_up(). */
static void link_finish(struct link *link, const struct link_failure *failure)
{
    link_enter(link, LINK_DOWN);
    stream_free(link->stream, true);
    link->stream = NULL;
    link->tls = NULL;
    link->cb(link, failure, link->data);
}

__attribute__((format(printf, 5, 6))) static void link_fail(struct link *link, enum reason reason, enum cause cause,
                                                            bool proxy_at_fault, const char *format, ...)
{
    struct link_failure failure = {.reason = reason, .cause = cause, .proxy_at_fault = proxy_at_fault};
    va_list args;
    va_start(args, format);
    vsnprintf(failure.detail, sizeof failure.detail, format, args);
    va_end(args);
    link_finish(link, &failure);
}

static void link_fail_tcp(struct link *link, int error)
{
    /* Only what connect() says at once is about our own routes; later it may come from a router far away. */
    bool routing = link->error && (error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN);
    bool own = tcp_error_is_own(error);
    struct link_failure failure = {.reason = own                  ? REASON_NO_MEMORY
                                             : error == ETIMEDOUT ? REASON_CONNECT_TIMEOUT
                                                                  : REASON_CONNECT_FAILED,
                                   .cause = routing ? CAUSE_NO_ROUTE : tcp_error_cause(error),
                                   .proxy_at_fault = !own,
                                   .no_route = own || routing};
    char address[ADDR_TEXT_MAX], words[TCP_WORDS_MAX];
    snprintf(failure.detail, sizeof failure.detail, "connect to %s: %s", addr_text(&link->address, address),
             tcp_error_words(error, words));
    link_finish(link, &failure);
}

enum tls_failure link_tls_failure(const struct link *link, struct link_failure *ret_failure)
{
    enum tls_failure kind = link->tls ? tls_failure(link->tls) : TLS_FAILURE_NONE;
    struct link_failure failure = {.proxy_at_fault = true};
    if (kind != TLS_FAILURE_NONE)
        failure.cause = tls_failure_cause(link->tls);
    switch (kind) {
    case TLS_FAILURE_NONE:
        return kind;
    case TLS_FAILURE_SERVER_CERT:
    case TLS_FAILURE_CLIENT_CERT:
        failure.reason = REASON_AUTH_FAILED;
        break;
    case TLS_FAILURE_MEMORY:
        failure.reason = REASON_NO_MEMORY;
        failure.proxy_at_fault = false;
        break;
    case TLS_FAILURE_ALERT:
    case TLS_FAILURE_CLOSED:
    case TLS_FAILURE_PROTOCOL:
        failure.reason = REASON_TLS_FAILED;
        break;
    }
    snprintf(failure.detail, sizeof failure.detail, "%s", tls_failure_text(link->tls));
    *ret_failure = failure;
    return kind;
}

void link_ended_unheard(const struct link *link, bool reset, struct link_failure *ret_failure)
{
    const char *verb = reset ? "reset" : "closed";
    enum tls_failure tls = link_tls_failure(link, ret_failure);
    char address[ADDR_TEXT_MAX];
    addr_text(&link->address, address);
    if (tls == TLS_FAILURE_CLOSED)
        ret_failure->reason = REASON_PROXY_CLOSED;
    if (tls != TLS_FAILURE_NONE)
        return;
    *ret_failure = (struct link_failure){.reason = REASON_PROXY_CLOSED, .cause = CAUSE_PROXY_CLOSED};
    if (link->tls_context) {
        ret_failure->cause = CAUSE_CLIENT_CERTIFICATE_SUSPECTED;
        ret_failure->proxy_at_fault = true;
        snprintf(ret_failure->detail, sizeof ret_failure->detail,
                 "%s %s the connection after the handshake without an alert; it may refuse the client certificate",
                 address, verb);
    } else {
        snprintf(ret_failure->detail, sizeof ret_failure->detail, "%s %s the connection instead of an answer", address,
                 verb);
    }
}

static void link_fail_tls(struct link *link)
{
    struct link_failure failure = {.reason = REASON_TLS_FAILED, .cause = CAUSE_TLS_FAILED, .proxy_at_fault = true};
    (void)link_tls_failure(link, &failure);
    link_finish(link, &failure);
}

/* ---- TLS ---- */

static void link_shake(struct link *link)
{
    switch (tls_handshake(link->tls)) {
    case STREAM_OK:
        link_up(link);
        return;
    case STREAM_AGAIN_READ:
        link->wants = STREAM_READABLE;
        link_watch(link);
        return;
    case STREAM_AGAIN_WRITE:
        link->wants = STREAM_WRITABLE;
        link_watch(link);
        return;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
    case STREAM_RESET:
    case STREAM_FAILED:
        link_fail_tls(link);
        return;
    }
}

/* There is a connection to the proxy. */
static void link_connected(struct link *link)
{
    if (!link->tls_context) {
        link_up(link);
        return;
    }
    link->tls = tls_new(link->tls_context, link->stream, link->tls_name, link->resume);
    link->stream = link->tls ? tls_stream(link->tls) : NULL;
    if (!link->tls) {
        link_fail(link, REASON_NO_MEMORY, CAUSE_NO_RESOURCES, false, "out of memory");
        return;
    }
    link->wants = STREAM_WRITABLE;
    link_enter(link, LINK_TLS);
    link_shake(link);
}

/* ---- events ---- */

static void link_ready_cb(int events, void *data)
{
    struct link *link = data;
    int error;
    switch (link->state) {
    case LINK_TCP:
        error = stream_connect_error(link->stream);
        /* A connection that was refused says ECONNREFUSED; these two say that there was one (RFC 9293, 3.10.7.3-4). */
        if (error && error != ECONNRESET && error != EPIPE)
            link_fail_tcp(link, error);
        else
            link_connected(link);
        return;
    case LINK_TLS:
        link_shake(link);
        return;
    case LINK_DOWN:
    case LINK_UP:
        assert(!"nothing is polled in this state");
    }
}

bool link_is_clogged(const struct link *link)
{
    size_t left = link->stream ? stream_undelivered(link->stream) : 0;
    return left > SMALL_PACKET && left != SIZE_MAX;
}

static void link_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct link *link = timer->data;
    char address[ADDR_TEXT_MAX];
    double limit = link_limit_ms(link) / 1e3;
    addr_text(&link->address, address);
    switch (link->state) {
    case LINK_TCP:
        if (link->error)
            link_fail_tcp(link, link->error);
        else
            link_fail(link, REASON_CONNECT_TIMEOUT, CAUSE_TCP_TIMEOUT, true, "connect to %s: no answer within %g s",
                      address, limit);
        return;
    case LINK_TLS:
        if (link_is_clogged(link))
            link_fail(link, REASON_TLS_TIMEOUT, CAUSE_PATH_MTU, true,
                      "TLS handshake with %s: what was sent is not acknowledged within %g s; large packets may be lost "
                      "on the way",
                      address, limit);
        else
            link_fail(link, REASON_TLS_TIMEOUT, CAUSE_TLS_TIMEOUT, true,
                      "TLS handshake with %s: not finished within %g s", address, limit);
        return;
    case LINK_DOWN:
    case LINK_UP:
        assert(!"there is no timer in this state");
    }
}

/* ---- life ---- */

static struct link *link_new(struct ev_loop *loop, const struct link_request *request, link_cb *cb, void *data)
{
    size_t name_size = request->tls ? strlen(request->tls_name) + 1 : 0;
    struct link *link = calloc(1, sizeof *link + name_size);
    if (!link)
        return NULL;
    if (name_size)
        memcpy(link->tls_name, request->tls_name, name_size);
    link->loop = loop;
    link->cb = cb;
    link->data = data;
    link->conf = request->conf;
    link->tls_context = request->tls;
    link->address = request->address;
    link->resume = request->resume;
    ev_init(&link->timer, link_timer_cb);
    link->timer.data = link;
    return link;
}

/* 0 when the connection is under way, else errno. */
static int link_connect(struct link *link, uint16_t local_port)
{
    return -tcp_connect(&link->address, local_port, &link->stream);
}

struct link *link_start(struct ev_loop *loop, const struct link_request *request, link_cb *cb, void *data)
{
    struct link *link = link_new(loop, request, cb, data);
    if (!link)
        return NULL;
    link->error = link_connect(link, request->local_port);
    link_enter(link, LINK_TCP);
    return link;
}

/* What leads there already is found writable by the first turn of the loop, as a new connection is. */
struct link *link_start_over(struct ev_loop *loop, struct stream *below, const struct link_request *request,
                             link_cb *cb, void *data)
{
    struct link *link = link_new(loop, request, cb, data);
    assert(below && request->local_port == 0);
    if (!link) {
        stream_free(below, true);
        return NULL;
    }
    link->stream = below;
    link_enter(link, LINK_TCP);
    return link;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    ev_timer_stop(link->loop, &link->timer);
    stream_free(link->stream, true);
    free(link);
}

/* ---- once it is up ---- */

struct stream *link_stream(const struct link *link)
{
    assert(link->state == LINK_UP);
    return link->stream;
}

struct stream *link_take_stream(struct link *link)
{
    struct stream *stream = link_stream(link);
    link->state = LINK_DOWN;
    link->stream = NULL;
    link->tls = NULL;
    return stream;
}

bool link_is_secure(const struct link *link)
{
    return link->tls_context;
}

const struct addr *link_address(const struct link *link)
{
    return &link->address;
}

void link_tls_summary(const struct link *link, struct tls_summary *ret_summary)
{
    assert(link->state == LINK_UP);
    memset(ret_summary, 0, sizeof *ret_summary);
    if (link->tls)
        tls_summary(link->tls, ret_summary);
}
