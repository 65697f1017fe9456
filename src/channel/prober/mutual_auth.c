/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/prober/mutual_auth.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/link/dial.h"

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
    struct dial *dial; /* of this state */
    struct mutual_auth_result result;
};

static void auth_finish(struct mutual_auth *auth, bool passed)
{
    auth->state = AUTH_DONE;
    auth->result.passed = passed;
    auth->cb(auth, &auth->result, auth->data);
}

__attribute__((format(printf, 2, 3))) static void auth_fail(struct mutual_auth *auth, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(auth->result.detail, sizeof auth->result.detail, format, args);
    va_end(args);
    auth_finish(auth, false);
}

static const char *auth_tls_name(const struct mutual_auth *auth)
{
    return auth->conf->server_name ? auth->conf->server_name : auth->server;
}

static void auth_dial_cb(struct dial *dial, const struct dial_result *result, void *data);

/* The next dial is there before the old one goes: stream is the old one's. False: out of memory. */
static bool auth_dial(struct mutual_auth *auth, enum auth_state state, const struct dial_request *request)
{
    struct dial *dial = dial_start(auth->loop, request, auth_dial_cb, auth);
    if (!dial)
        return false;
    dial_free(auth->dial);
    auth->dial = dial;
    auth->state = state;
    return true;
}

/* stream NULL: a new connection. */
static bool auth_dial_channel(struct mutual_auth *auth, enum auth_state state, struct stream *stream)
{
    const struct conf_auth_url *url = &auth->conf->auth_url;
    struct dial_request request = {.conf = auth->conf,
                                   .tls = auth->tls,
                                   .address = auth->address,
                                   .tls_name = auth_tls_name(auth),
                                   .below = stream,
                                   .host = url->text ? url->host : auth->server,
                                   .port = url->port,
                                   .ping = !url->text,
                                   .listen_ms = state == AUTH_CONFIRM ? CONFIRM_LISTEN_MS : 0,
                                   .answer_ms = auth->conf->handshake_timeout_ms};
    return auth_dial(auth, state, &request);
}

static void auth_dial_inside(struct mutual_auth *auth)
{
    const struct conf_auth_url *url = &auth->conf->auth_url;
    struct dial_request request = {.conf = auth->conf,
                                   .tls = auth->tls,
                                   .address = auth->address,
                                   .tls_name = url->host,
                                   .below = dial_take_stream(auth->dial)};
    if (!auth_dial(auth, AUTH_INSIDE, &request))
        auth_fail(auth, "AuthURL %s: out of memory", url->text);
}

/* An orderly end: the proxy shall not log an error for every test. */
static void auth_hang_up(struct mutual_auth *auth)
{
    struct stream *stream = dial_take_stream(auth->dial);
    (void)stream_shutdown_write(stream);
    stream_free(stream, false);
}

static void auth_channel_up(struct mutual_auth *auth)
{
    dial_tls_summary(auth->dial, &auth->result.tls);
    if (auth->conf->auth_url.text) {
        auth_dial_inside(auth);
        return;
    }
    auth_hang_up(auth);
    auth_finish(auth, true);
}

/* The channel stood, what failed is the request for AuthURL's host. */
static bool is_about_request(const struct dial_result *result)
{
    return result->http_status || result->reason == REASON_PROXY_TIMEOUT || result->reason == REASON_PROXY_GARBAGE ||
           result->reason == REASON_PROXY_HEADER;
}

static void auth_channel_failed(struct mutual_auth *auth, const struct dial_result *result)
{
    const char *url = auth->conf->auth_url.text;
    if (result->http_status == 407 && url)
        auth_fail(auth, "AuthURL %s: %s (it asks for authentication, which [Proxy] Header= can carry)", url,
                  result->detail);
    else if (url && is_about_request(result))
        auth_fail(auth, "AuthURL %s: %s", url, result->detail);
    else
        auth_fail(auth, "%s", result->detail);
}

/* Ended without a word: was it meant for our certificate, or an accident? */
static bool is_suspect(const struct dial_result *result)
{
    return result->reason == REASON_PROXY_CLOSED && result->proxy_at_fault;
}

/* True when the second connection did not get far enough to say more than the first. */
static bool is_no_news(const struct dial_result *result)
{
    return is_suspect(result) || result->reason == REASON_CONNECT_FAILED || result->reason == REASON_CONNECT_TIMEOUT ||
           result->reason == REASON_NO_MEMORY;
}

static void auth_confirm(struct mutual_auth *auth, const struct dial_result *result)
{
    memcpy(auth->result.detail, result->detail, sizeof auth->result.detail);
    if (!auth_dial_channel(auth, AUTH_CONFIRM, NULL))
        auth_finish(auth, false);
}

static void auth_dial_cb(struct dial *dial, const struct dial_result *result, void *data)
{
    struct mutual_auth *auth = data;
    assert(dial == auth->dial);
    switch (auth->state) {
    case AUTH_CHANNEL:
        if (result->up)
            auth_channel_up(auth);
        else if (is_suspect(result))
            auth_confirm(auth, result);
        else
            auth_channel_failed(auth, result);
        return;
    case AUTH_CONFIRM:
        if (result->up)
            auth_channel_up(auth);
        else if (is_no_news(result))
            auth_finish(auth, false); /* with the first one's detail */
        else
            auth_channel_failed(auth, result);
        return;
    case AUTH_INSIDE:
        if (result->up) {
            auth_hang_up(auth);
            auth_finish(auth, true);
        } else if (result->reason == REASON_TLS_TIMEOUT) {
            auth_fail(auth, "AuthURL %s: TLS handshake not finished within %g s", auth->conf->auth_url.text,
                      auth->conf->handshake_timeout_ms / 1e3);
        } else {
            auth_fail(auth, "AuthURL %s: %s", auth->conf->auth_url.text, result->detail);
        }
        return;
    case AUTH_DONE:
        assert(!"a finished test dials no more");
    }
}

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
    if (!auth_dial_channel(auth, AUTH_CHANNEL, request->stream)) {
        free(auth);
        return NULL;
    }
    return auth;
}

void mutual_auth_free(struct mutual_auth *auth)
{
    if (!auth)
        return;
    dial_free(auth->dial);
    free(auth);
}
