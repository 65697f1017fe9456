/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/session/destination.h"
#include "relay/session/private.h"

void session_drop_way(struct session *session)
{
    tunnel_free(session->tunnel);
    link_free(session->link);
    session->tunnel = NULL;
    session->link = NULL;
}

/* The proxy could not be reached or authenticated: a test of it will follow, and a route from that. */
static void session_hold(struct session *session, const struct link_failure *failure)
{
    struct worker *worker = session->worker;
    session->tries++;
    worker_report_trouble(worker, session->generation, failure->reason, failure->cause, failure->detail);
    if (session->tries >= WORKER_TRIES_MAX) {
        session_close(session, failure->reason, failure->detail);
    } else if (worker->route.generation > session->generation) {
        session_dial(session);
    } else if (worker->n_held >= WORKER_HELD_MAX) {
        session_close(session, REASON_HOLD_LIMIT, failure->detail);
    } else {
        free(session->held_detail);
        session->held_detail = strdup(failure->detail);
        session_enter(session, SESSION_HELD);
        if (session->held_until <= 0.)
            session->held_until = ev_now(worker->loop) + WORKER_HELD_S;
        session_set_timer(session, session->held_until - ev_now(worker->loop));
    }
}

/* There is no way through the proxy. */
static void session_way_failed(struct session *session, const struct link_failure *failure)
{
    session_drop_way(session);
    session->cause = (uint8_t)failure->cause;
    if (failure->proxy_at_fault)
        session_hold(session, failure);
    else
        session_close(session, failure->reason, failure->detail);
}

static void session_tunnel_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data)
{
    struct session *session = data;
    assert(session->state == SESSION_DIAL && tunnel == session->tunnel);
    session->http_status = tunnel_http_status(tunnel);
    if (failure) {
        session_way_failed(session, failure);
        return;
    }
    struct stream *proxy = tunnel_take_stream(tunnel);
    session_drop_way(session);
    session_open(session, proxy);
}

static void session_link_cb(struct link *link, const struct link_failure *failure, void *data)
{
    struct session *session = data;
    char text[ADDR_TEXT_MAX];
    assert(session->state == SESSION_DIAL && link == session->link && !session->tunnel);
    if (failure) {
        session_way_failed(session, failure);
        return;
    }
    struct tunnel_request request = {.conf = session->settings->conf,
                                     .host = destination_target(session->name, &session->destination, text),
                                     .port = addr_port(&session->destination)};
    session->tunnel = tunnel_start(session->worker->loop, link, &request, session_tunnel_cb, session);
    session->link = NULL;
    if (!session->tunnel)
        session_close(session, REASON_NO_MEMORY, NULL);
}

static void session_start_link(struct session *session)
{
    struct worker *worker = session->worker;
    const struct route *route = &worker->route;
    const struct conf *conf = session->settings->conf;
    struct link_request request = {.conf = conf,
                                   .tls = route->mode == ROUTE_SECURE ? session->settings->tls : NULL,
                                   .address = route->address,
                                   .tls_name = conf->server_name ? conf->server_name : route->server,
                                   .resume = true,
                                   .local_port = source_ports_next(&worker->ports, ev_now(worker->loop))};
    session->link = link_start(worker->loop, &request, session_link_cb, session);
    if (session->link)
        session_enter(session, SESSION_DIAL);
    else
        session_close(session, REASON_NO_MEMORY, NULL);
}

void session_dial(struct session *session)
{
    struct worker *worker = session->worker;
    const struct route *route = &worker->route;
    assert(session->state == SESSION_SNIFF || session->state == SESSION_DIAL || session->state == SESSION_HELD);
    if (route->mode == ROUTE_CLOSED || !worker->settings) {
        session_close(session, REASON_BLOCKED, route->status);
        return;
    }
    session_drop_way(session);
    settings_unref(session->settings);
    session->settings = settings_ref(worker->settings);
    session->mode = route->mode;
    session->cause = CAUSE_NONE;
    session->generation = route->generation;
    session->proxy_address = route->address;
    enum reason reason;
    if (!destination_judge(session->settings->conf, &session->destination, &session->own, &route->address, &reason))
        session_close(session, reason, NULL);
    else if (route->mode == ROUTE_SECURE && !session->settings->tls)
        session_close(session, REASON_TLS_FAILED, session->settings->tls_error.text);
    else
        session_start_link(session);
}

void session_route_changed(struct session *session, const struct route *previous)
{
    const struct route *route = &session->worker->route;
    bool other_way = route->mode != previous->mode || !addr_equal(&route->address, &previous->address) ||
                     strcmp(route->server, previous->server) != 0;
    if (route->mode == ROUTE_CLOSED) {
        session_close(session, session->state == SESSION_OPEN ? REASON_CUT : REASON_BLOCKED, route->status);
        return;
    }
    switch (session->state) {
    case SESSION_HELD:
        if (route->generation > session->generation)
            session_dial(session);
        return;
    case SESSION_DIAL:
        /* A dial on its way to where nothing may go any more must not get there. */
        if (other_way)
            session_dial(session);
        return;
    case SESSION_NEW:
    case SESSION_SNIFF:
    case SESSION_OPEN:
    case SESSION_ENDED:
        return;
    }
}
