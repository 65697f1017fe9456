/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/link/tunnel.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "channel/http/exchange.h"

#define ANSWER_LIMIT_MS 30000

enum tunnel_state {
    TUNNEL_BEGIN,  /* until the loop goes on */
    TUNNEL_LISTEN, /* what does the proxy say unasked? */
    TUNNEL_ASK,    /* request being written, answer being read */
    TUNNEL_OPEN,
    TUNNEL_FAILED,
};

struct tunnel {
    struct ev_loop *loop;
    const struct conf *conf;
    const struct identity *identity;
    struct link *link; /* NULL: failed */
    tunnel_cb *cb;
    void *data;
    ev_timer timer;
    struct exchange exchange;
    enum tunnel_state state;
    int wants; /* STREAM_READABLE, STREAM_WRITABLE: what the last attempt has to wait for */
    int http_status;
    uint32_t listen_ms, answer_ms;
    uint16_t port;
    bool ping, keep_refusal;
    char host[];
};

static const char *tunnel_question(const struct tunnel *tunnel)
{
    return tunnel->ping ? "OPTIONS" : "CONNECT";
}

/* ---- state ---- */

static uint32_t tunnel_limit_ms(const struct tunnel *tunnel)
{
    switch (tunnel->state) {
    case TUNNEL_LISTEN:
        return tunnel->listen_ms;
    case TUNNEL_ASK:
        return tunnel->answer_ms ? tunnel->answer_ms : ANSWER_LIMIT_MS;
    case TUNNEL_BEGIN:
    case TUNNEL_OPEN:
    case TUNNEL_FAILED:
        break;
    }
    return 0;
}

static bool tunnel_is_under_way(const struct tunnel *tunnel)
{
    return tunnel->state == TUNNEL_LISTEN || tunnel->state == TUNNEL_ASK;
}

static void tunnel_ready_cb(int events, void *data);

static void tunnel_watch(struct tunnel *tunnel)
{
    stream_watch(link_stream(tunnel->link), tunnel->loop, tunnel_is_under_way(tunnel) ? tunnel->wants : 0,
                 tunnel_ready_cb, tunnel);
}

static void tunnel_enter(struct tunnel *tunnel, enum tunnel_state state)
{
    tunnel->state = state;
    ev_timer_stop(tunnel->loop, &tunnel->timer);
    if (tunnel_limit_ms(tunnel) > 0) {
        timer_arm(tunnel->loop, &tunnel->timer, tunnel_limit_ms(tunnel) / 1e3);
    }
    tunnel_watch(tunnel);
}

/* ---- the two ends ---- */

/* The tunnel may be gone afterwards: callers return at once. */
static void tunnel_open(struct tunnel *tunnel)
{
    tunnel_enter(tunnel, TUNNEL_OPEN);
    exchange_fini(&tunnel->exchange);
    tunnel->cb(tunnel, NULL, tunnel->data);
}

/* As tunnel_open(). */
static void tunnel_finish(struct tunnel *tunnel, const struct link_failure *failure)
{
    tunnel_enter(tunnel, TUNNEL_FAILED);
    exchange_fini(&tunnel->exchange);
    if (!tunnel->keep_refusal || !tunnel->http_status) {
        link_free(tunnel->link);
        tunnel->link = NULL;
    }
    tunnel->cb(tunnel, failure, tunnel->data);
}

__attribute__((format(printf, 5, 6))) static void tunnel_fail(struct tunnel *tunnel, enum reason reason,
                                                              enum cause cause, bool proxy_at_fault, const char *format,
                                                              ...)
{
    struct link_failure failure = {.reason = reason, .cause = cause, .proxy_at_fault = proxy_at_fault};
    va_list args;
    va_start(args, format);
    vsnprintf(failure.detail, sizeof failure.detail, format, args);
    va_end(args);
    tunnel_finish(tunnel, &failure);
}

static enum cause tunnel_refusal_cause(const struct answer *answer)
{
    if (answer->status == 407)
        return answer->hint[0] && !answer->basic ? CAUSE_PROXY_AUTHENTICATION_SCHEME : CAUSE_PROXY_AUTHENTICATION;
    /* RFC 6585 section 6 */
    return (answer->status >= 300 && answer->status <= 399) || answer->status == 511 ? CAUSE_PROXY_REDIRECT
                                                                                     : CAUSE_PROXY_REFUSED;
}

static void tunnel_answered(struct tunnel *tunnel, const struct answer *answer)
{
    const char *about = answer->status == 407 ? "; it offers " : ", a redirect to ";
    tunnel->http_status = answer->status;
    if (tunnel->ping || (answer->status >= 200 && answer->status <= 299))
        tunnel_open(tunnel);
    else
        tunnel_fail(tunnel, REASON_PROXY_REFUSED, tunnel_refusal_cause(answer), false, "proxy answered %d%s%s%s%s",
                    answer->status, answer->reason[0] ? " " : "", answer->reason, answer->hint[0] ? about : "",
                    answer->hint);
}

/* The connection ended before the first byte of an answer. */
static void tunnel_ended_unheard(struct tunnel *tunnel, bool reset, const char *address)
{
    struct link_failure failure;
    enum tls_failure tls = link_tls_failure(tunnel->link, &failure);
    bool silent = tls == TLS_FAILURE_NONE || tls == TLS_FAILURE_CLOSED;
    if (silent && tunnel->ping && tunnel->state == TUNNEL_ASK) {
        tunnel_fail(tunnel, REASON_PROXY_CLOSED, CAUSE_OPTIONS_UNANSWERED, true,
                    "%s %s the connection instead of an answer to OPTIONS", address, reset ? "reset" : "closed");
    } else {
        link_ended_unheard(tunnel->link, reset, &failure);
        tunnel_finish(tunnel, &failure);
    }
}

/* The connection ended before the answer did. */
static void tunnel_ended(struct tunnel *tunnel, enum exchange_result how)
{
    bool heard = exchange_has_heard(&tunnel->exchange);
    const char *verb = how == EXCHANGE_RESET ? "reset" : "closed";
    struct link_failure failure;
    char address[ADDR_TEXT_MAX];
    addr_text(link_address(tunnel->link), address);
    if (!heard && link_is_secure(tunnel->link))
        tunnel_ended_unheard(tunnel, how == EXCHANGE_RESET, address);
    else if (how == EXCHANGE_FAILED && link_tls_failure(tunnel->link, &failure) != TLS_FAILURE_CLOSED)
        tunnel_fail(tunnel, REASON_PROXY_CLOSED, CAUSE_PROXY_CLOSED, false, "answer of %s to %s: %s", address,
                    tunnel_question(tunnel), stream_error(link_stream(tunnel->link)));
    else
        tunnel_fail(tunnel, REASON_PROXY_CLOSED, CAUSE_PROXY_CLOSED, false, "%s %s the connection %s to %s", address,
                    verb, heard ? "in the middle of its answer" : "instead of an answer", tunnel_question(tunnel));
}

/* ---- the question and its answer ---- */

static void tunnel_exchange(struct tunnel *tunnel)
{
    bool want_write;
    char address[ADDR_TEXT_MAX];
    enum exchange_result result = exchange_step(&tunnel->exchange, link_stream(tunnel->link), &want_write);
    addr_text(link_address(tunnel->link), address);
    switch (result) {
    case EXCHANGE_AGAIN:
        tunnel->wants = want_write ? STREAM_READABLE | STREAM_WRITABLE : STREAM_READABLE;
        tunnel_watch(tunnel);
        return;
    case EXCHANGE_DONE:
        tunnel_answered(tunnel, &tunnel->exchange.answer);
        return;
    case EXCHANGE_BAD:
        tunnel_fail(tunnel, REASON_PROXY_GARBAGE, CAUSE_PROXY_NOT_HTTP, false, "answer of %s to %s is not HTTP",
                    address, tunnel_question(tunnel));
        return;
    case EXCHANGE_TOO_LARGE:
        tunnel_fail(tunnel, REASON_PROXY_HEADER, CAUSE_PROXY_NOT_HTTP, false,
                    "header of the answer of %s to %s is larger than %d bytes", address, tunnel_question(tunnel),
                    ANSWER_MAX);
        return;
    case EXCHANGE_CLOSED:
    case EXCHANGE_RESET:
    case EXCHANGE_FAILED:
        tunnel_ended(tunnel, result);
        return;
    case EXCHANGE_NO_MEMORY:
        tunnel_fail(tunnel, REASON_NO_MEMORY, CAUSE_NO_RESOURCES, false, "out of memory");
        return;
    }
}

static void tunnel_ask(struct tunnel *tunnel)
{
    const struct identity *identity = headers_identity(tunnel->conf, tunnel->identity, link_is_secure(tunnel->link));
    int error = tunnel->ping ? exchange_ping(&tunnel->exchange, tunnel->conf, tunnel->host)
                             : exchange_ask(&tunnel->exchange, tunnel->conf, identity, tunnel->host, tunnel->port);
    if (error == -ENOMEM) {
        tunnel_fail(tunnel, REASON_NO_MEMORY, CAUSE_NO_RESOURCES, false, "out of memory");
    } else if (error < 0) {
        tunnel_fail(tunnel, REASON_PROXY_ERROR, CAUSE_NAME_INVALID, false,
                    "no %s request can be written for \"%s\": %s", tunnel_question(tunnel), tunnel->host,
                    error == -EMSGSIZE ? "it is too long" : "it is not a host name");
    } else {
        tunnel_enter(tunnel, TUNNEL_ASK);
        tunnel_exchange(tunnel);
    }
}

/* ---- events ---- */

static void tunnel_ready_cb(int events, void *data)
{
    struct tunnel *tunnel = data;
    assert(tunnel_is_under_way(tunnel));
    tunnel_exchange(tunnel);
}

/* What came behind a handshake may sit inside the TLS library already, where no poll sees it. */
static void tunnel_listen(struct tunnel *tunnel)
{
    tunnel_enter(tunnel, TUNNEL_LISTEN);
    tunnel_exchange(tunnel);
}

static void tunnel_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct tunnel *tunnel = timer->data;
    char address[ADDR_TEXT_MAX];
    switch (tunnel->state) {
    case TUNNEL_BEGIN:
        if (tunnel->listen_ms)
            tunnel_listen(tunnel);
        else
            tunnel_ask(tunnel);
        return;
    case TUNNEL_LISTEN:
        tunnel_ask(tunnel);
        return;
    case TUNNEL_ASK:
        addr_text(link_address(tunnel->link), address);
        if (link_is_clogged(tunnel->link))
            tunnel_fail(tunnel, REASON_PROXY_TIMEOUT, CAUSE_PATH_MTU, false,
                        "%s did not acknowledge what was sent within %g s; large packets may be lost on the way",
                        address, tunnel_limit_ms(tunnel) / 1e3);
        else
            tunnel_fail(tunnel, REASON_PROXY_TIMEOUT, tunnel->ping ? CAUSE_OPTIONS_UNANSWERED : CAUSE_PROXY_TIMEOUT,
                        false, "%s did not answer %s within %g s", address, tunnel_question(tunnel),
                        tunnel_limit_ms(tunnel) / 1e3);
        return;
    case TUNNEL_OPEN:
    case TUNNEL_FAILED:
        assert(!"there is no timer in this state");
    }
}

/* ---- life ---- */

static struct tunnel *tunnel_new(const struct tunnel_request *request)
{
    size_t host_size = strlen(request->host) + 1;
    struct tunnel *tunnel = calloc(1, sizeof *tunnel + host_size);
    if (!tunnel)
        return NULL;
    memcpy(tunnel->host, request->host, host_size);
    tunnel->conf = request->conf;
    tunnel->identity = request->identity;
    tunnel->port = request->port;
    tunnel->ping = request->ping;
    tunnel->keep_refusal = tunnel->exchange.keeps = request->keep_refusal;
    tunnel->listen_ms = request->listen_ms;
    tunnel->answer_ms = request->answer_ms;
    return tunnel;
}

struct tunnel *tunnel_start(struct ev_loop *loop, struct link *link, const struct tunnel_request *request,
                            tunnel_cb *cb, void *data)
{
    struct tunnel *tunnel = tunnel_new(request);
    if (!tunnel) {
        link_free(link);
        return NULL;
    }
    tunnel->loop = loop;
    tunnel->link = link;
    tunnel->cb = cb;
    tunnel->data = data;
    tunnel->wants = STREAM_READABLE;
    ev_init(&tunnel->timer, tunnel_timer_cb);
    tunnel->timer.data = tunnel;
    /* In this round of the loop, but not inside this call. */
    ev_feed_event(loop, &tunnel->timer, EV_TIMER);
    return tunnel;
}

int tunnel_http_status(const struct tunnel *tunnel)
{
    return tunnel->http_status;
}

struct stream *tunnel_take_stream(struct tunnel *tunnel)
{
    assert(tunnel->state == TUNNEL_OPEN);
    return link_take_stream(tunnel->link);
}

struct link *tunnel_take_refusal(struct tunnel *tunnel)
{
    struct link *link = tunnel->link;
    assert(tunnel->state == TUNNEL_FAILED);
    tunnel->link = NULL;
    return link;
}

void tunnel_free(struct tunnel *tunnel)
{
    if (!tunnel)
        return;
    ev_timer_stop(tunnel->loop, &tunnel->timer);
    exchange_fini(&tunnel->exchange);
    link_free(tunnel->link);
    free(tunnel);
}
