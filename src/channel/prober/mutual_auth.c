/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/prober/mutual_auth.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/link/link.h"
#include "channel/link/tunnel.h"
#include "model/answers.h"

/* An alert that a server sends before it closes is here by then, on any usual path. */
#define CONFIRM_LISTEN_MS 300

enum auth_state {
    AUTH_CHANNEL, /* TLS and the first answer, on the connection of the TCP test */
    AUTH_CONFIRM, /* the same on a connection of its own */
    AUTH_INSIDE,  /* AuthURL's handshake, through the channel */
    AUTH_DONE,
};

struct mutual_auth {
    struct ev_loop *loop;
    const struct conf *conf;
    struct tls_context *tls;
    struct addr address;
    const char *server;
    mutual_auth_cb *cb;
    void *data;
    enum auth_state state;
    struct link *link;     /* of this state; NULL: none, or in the tunnel */
    struct tunnel *tunnel; /* NULL: none (yet) */
    struct tls_summary channel;
    struct mutual_auth_result result;
};

static void auth_finish(struct mutual_auth *auth, bool passed)
{
    auth->state = AUTH_DONE;
    auth->result.passed = passed;
    auth->cb(auth, &auth->result, auth->data);
}

__attribute__((format(printf, 3, 4))) static void auth_fail(struct mutual_auth *auth, enum cause cause,
                                                            const char *format, ...)
{
    va_list args;
    auth->result.cause = cause;
    va_start(args, format);
    vsnprintf(auth->result.detail, sizeof auth->result.detail, format, args);
    va_end(args);
    auth_finish(auth, false);
}

static const char *auth_tls_name(const struct mutual_auth *auth)
{
    return auth->conf->server_name ? auth->conf->server_name : auth->server;
}

static void auth_drop(struct mutual_auth *auth)
{
    tunnel_free(auth->tunnel);
    link_free(auth->link);
    auth->tunnel = NULL;
    auth->link = NULL;
}

static void auth_link_cb(struct link *link, const struct link_failure *failure, void *data);
static void auth_tunnel_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data);

/* ---- the channel ---- */

/* stream NULL: a new connection. False: out of memory. */
static bool auth_link_channel(struct mutual_auth *auth, enum auth_state state, struct stream *stream)
{
    struct link_request request = {
        .conf = auth->conf, .tls = auth->tls, .address = auth->address, .tls_name = auth_tls_name(auth)};
    auth_drop(auth);
    auth->link = stream ? link_start_over(auth->loop, stream, &request, auth_link_cb, auth)
                        : link_start(auth->loop, &request, auth_link_cb, auth);
    auth->state = state;
    return auth->link;
}

/* What sessions ask for, too; NULL: nothing is known that the proxy would connect to. */
static const struct conf_endpoint *auth_target(const struct mutual_auth *auth)
{
    if (auth->conf->auth_url.text)
        return &auth->conf->auth_url;
    return auth->conf->test_target.text ? &auth->conf->test_target : NULL;
}

static void auth_ask(struct mutual_auth *auth)
{
    const struct conf_endpoint *target = auth_target(auth);
    struct tunnel_request request = {.conf = auth->conf,
                                     .host = target ? target->host : auth->server,
                                     .port = target ? target->port : 0,
                                     .ping = !target,
                                     .listen_ms = auth->state == AUTH_CONFIRM ? CONFIRM_LISTEN_MS : 0,
                                     .answer_ms = auth->conf->handshake_timeout_ms};
    link_tls_summary(auth->link, &auth->channel);
    auth->tunnel = tunnel_start(auth->loop, auth->link, &request, auth_tunnel_cb, auth);
    auth->link = NULL;
    if (!auth->tunnel)
        auth_fail(auth, CAUSE_NO_RESOURCES, "out of memory");
}

/* Ended without a word: was it meant for our certificate, for the question, or an accident? */
static bool is_suspect(const struct link_failure *failure)
{
    return failure->cause == CAUSE_CLIENT_CERTIFICATE_SUSPECTED ||
           (failure->cause == CAUSE_OPTIONS_UNANSWERED && failure->reason == REASON_PROXY_CLOSED);
}

/* True when the second connection did not get far enough to say more than the first. */
static bool is_no_news(const struct link_failure *failure)
{
    return failure->reason == REASON_CONNECT_FAILED || failure->reason == REASON_CONNECT_TIMEOUT ||
           failure->reason == REASON_NO_MEMORY;
}

static void auth_confirm(struct mutual_auth *auth, const struct link_failure *failure)
{
    auth->result.cause = failure->cause;
    memcpy(auth->result.detail, failure->detail, sizeof auth->result.detail);
    if (!auth_link_channel(auth, AUTH_CONFIRM, NULL))
        auth_finish(auth, false);
}

/* The channel stood, what failed is the request for AuthURL's host, or Target's. */
static bool is_about_request(const struct link_failure *failure, int http_status)
{
    return http_status || failure->reason == REASON_PROXY_TIMEOUT || failure->reason == REASON_PROXY_GARBAGE ||
           failure->reason == REASON_PROXY_HEADER;
}

/* http_status: of the answer that refused; 0: there was none. */
static void auth_tell_channel(struct mutual_auth *auth, const struct link_failure *failure, int http_status)
{
    const struct conf_endpoint *target = auth_target(auth);
    bool url = target && target == &auth->conf->auth_url;
    const char *key = url ? "AuthURL" : "Target";
    if (target && !url && answers_is_unreached(http_status)) {
        auth->result.tls = auth->channel;
        auth_finish(auth, true); /* asked as any session, and for no fault of the proxy's in vain */
    } else if (target && http_status && failure->cause != CAUSE_PROXY_REFUSED)
        auth_fail(auth, failure->cause, "%s %s: %s", key, target->text, failure->detail);
    else if (target && is_about_request(failure, http_status))
        auth_fail(auth, url ? CAUSE_AUTH_URL_REFUSED : CAUSE_TARGET_REFUSED, "%s %s: %s", key, target->text,
                  failure->detail);
    else
        auth_fail(auth, failure->cause, "%s", failure->detail);
}

static void auth_channel_failed(struct mutual_auth *auth, const struct link_failure *failure, int http_status)
{
    if (auth->state == AUTH_CHANNEL && is_suspect(failure))
        auth_confirm(auth, failure);
    else if (auth->state == AUTH_CONFIRM && is_no_news(failure))
        auth_finish(auth, false); /* with the first one's detail */
    else
        auth_tell_channel(auth, failure, http_status);
}

/* ---- AuthURL's handshake, inside ---- */

static void auth_link_inside(struct mutual_auth *auth)
{
    const struct conf_endpoint *url = &auth->conf->auth_url;
    struct link_request request = {
        .conf = auth->conf, .tls = auth->tls, .address = auth->address, .tls_name = url->host};
    struct stream *stream = tunnel_take_stream(auth->tunnel);
    auth_drop(auth);
    auth->link = link_start_over(auth->loop, stream, &request, auth_link_cb, auth);
    auth->state = AUTH_INSIDE;
    if (!auth->link)
        auth_fail(auth, CAUSE_NO_RESOURCES, "AuthURL %s: out of memory", url->text);
}

static void auth_inside_failed(struct mutual_auth *auth, const struct link_failure *failure)
{
    const char *url = auth->conf->auth_url.text;
    if (failure->reason == REASON_TLS_TIMEOUT)
        auth_fail(auth, CAUSE_AUTH_URL_FAILED, "AuthURL %s: TLS handshake not finished within %g s", url,
                  auth->conf->handshake_timeout_ms / 1e3);
    else
        auth_fail(auth,
                  failure->cause == CAUSE_CERTIFICATE_UNTRUSTED ? CAUSE_AUTH_URL_UNTRUSTED : CAUSE_AUTH_URL_FAILED,
                  "AuthURL %s: %s", url, failure->detail);
}

/* An orderly end: the proxy shall not log an error for every test. */
static void auth_pass(struct mutual_auth *auth, struct stream *stream)
{
    (void)stream_shutdown_write(stream);
    stream_free(stream, false);
    auth_finish(auth, true);
}

/* ---- events ---- */

static void auth_link_cb(struct link *link, const struct link_failure *failure, void *data)
{
    struct mutual_auth *auth = data;
    assert(link == auth->link);
    switch (auth->state) {
    case AUTH_CHANNEL:
    case AUTH_CONFIRM:
        if (failure)
            auth_channel_failed(auth, failure, 0);
        else
            auth_ask(auth);
        return;
    case AUTH_INSIDE:
        if (failure)
            auth_inside_failed(auth, failure);
        else
            auth_pass(auth, link_take_stream(link));
        return;
    case AUTH_DONE:
        assert(!"a finished test links no more");
    }
}

static void auth_tunnel_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data)
{
    struct mutual_auth *auth = data;
    assert(tunnel == auth->tunnel && (auth->state == AUTH_CHANNEL || auth->state == AUTH_CONFIRM));
    if (failure) {
        auth_channel_failed(auth, failure, tunnel_http_status(tunnel));
        return;
    }
    auth->result.tls = auth->channel;
    if (auth->conf->auth_url.text)
        auth_link_inside(auth);
    else
        auth_pass(auth, tunnel_take_stream(tunnel));
}

/* ---- life ---- */

struct mutual_auth *mutual_auth_start(struct ev_loop *loop, const struct mutual_auth_request *request,
                                      mutual_auth_cb *cb, void *data)
{
    struct mutual_auth *auth = calloc(1, sizeof *auth);
    if (!auth) {
        stream_free(request->stream, true);
        return NULL;
    }
    auth->loop = loop;
    auth->conf = request->conf;
    auth->tls = request->tls;
    auth->address = request->address;
    auth->server = request->server;
    auth->cb = cb;
    auth->data = data;
    if (!auth_link_channel(auth, AUTH_CHANNEL, request->stream)) {
        free(auth);
        return NULL;
    }
    return auth;
}

void mutual_auth_free(struct mutual_auth *auth)
{
    if (!auth)
        return;
    auth_drop(auth);
    free(auth);
}
