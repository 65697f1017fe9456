/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/admission.h"
#include "relay/session/destination.h"
#include "relay/session/private.h"

void session_drop_way(struct session *session)
{
    stream_free(session->proxy, true);
    tunnel_free(session->tunnel);
    link_free(session->link);
    session->proxy = NULL;
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
    } else if (!admission_may_hold(worker, session->share)) {
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

/* Where both were tried, the client is told of the name, for that is what it has asked for. */
static void session_close_refused(struct session *session, const struct link_failure *failure)
{
    char detail[2 * DETAIL_MAX];
    if (failure->reason == REASON_PROXY_REFUSED)
        worker_note_answer(session->worker, addr_port(&session->destination), session->http_status, failure->cause,
                           failure->detail);
    if (!session->name_detail) {
        session_close(session, failure->reason, failure->detail);
        return;
    }
    snprintf(detail, sizeof detail, "by name: %s; by address: %s", session->name_detail, failure->detail);
    session->http_status = session->name_status;
    session_close(session, failure->reason, detail);
}

void session_way_failed(struct session *session, const struct link_failure *failure)
{
    session_drop_way(session);
    session->cause = (uint8_t)failure->cause;
    if (failure->proxy_at_fault)
        session_hold(session, failure);
    else
        session_close_refused(session, failure);
}

/* ---- the policy ---- */

static bool session_close_by_rule(struct session *session, enum reason reason)
{
    char text[POLICY_RULE_TEXT_MAX];
    const struct conf *conf = session->settings->conf;
    session_close(session, reason, reason == REASON_RULE ? policy_rule_text(conf, &session->rule, text) : NULL);
    return false;
}

/* A request is judged by the host that it names itself: by that the proxy is asked for it, also where it is an address.
 */
bool session_judge(struct session *session)
{
    const struct conf *conf = session->settings->conf;
    struct addr host = session->destination;
    struct destination_question question = {.destination = &session->destination,
                                            .own = &session->own,
                                            .proxy = &session->worker->route.address,
                                            .name = session->name};
    char name[HOSTNAME_SIZE];
    enum reason reason;
    if (session->requests) {
        session_request_host(session, name, &host);
        question.name = name[0] ? name : NULL;
    }
    if (!destination_judge(conf, &question, &session->rule, &reason))
        return session_close_by_rule(session, reason);
    question.destination = &host;
    if (!addr_equal_host(&host, &session->destination) && !destination_judge(conf, &question, &session->rule, &reason))
        return session_close_by_rule(session, reason);
    return true;
}

/* A name that comes late may still be one that is refused. */
static bool session_awaits_late_name(const struct session *session)
{
    const struct conf *conf = session->settings->conf;
    return conf->names == CONF_NAMES_PREFER || conf->n_block_domains > 0;
}

/* ---- by name, by address ---- */

static enum conf_names session_names(const struct session *session)
{
    return session->settings->conf->names;
}

/* The proxy could not reach the name. The address is where the client wanted to go in the first place. */
static void session_try_address(struct session *session, const struct link_failure *failure)
{
    free(session->name_detail);
    session->name_detail = strdup(failure->detail);
    session->name_status = session->http_status;
    session->facts.name_failed = true;
    session_dial(session);
}

/* The proxy does not go to the address, but perhaps to the name: until one comes, or for long enough, nobody need know.
 */
static void session_await_name(struct session *session, const struct link_failure *failure)
{
    session_drop_way(session);
    session->cause = (uint8_t)failure->cause;
    session->refused = (uint8_t)failure->reason;
    free(session->held_detail);
    session->held_detail = strdup(failure->detail);
    session_enter(session, SESSION_REFUSED);
    session_limit_hearing(session);
}

static void session_tunnel_failed(struct session *session, const struct link_failure *failure)
{
    bool may_hear_name =
        !session->facts.heard && session_names(session) == CONF_NAMES_PREFER && session->http_status != 407;
    if (destination_may_try_address(session_names(session), &session->facts, session->target, session->http_status))
        session_try_address(session, failure);
    else if (failure->reason == REASON_PROXY_REFUSED && may_hear_name)
        session_await_name(session, failure);
    else if (session->upgrading && session->http_status && session->http_status != 407)
        session_pass_refusal(session, tunnel_take_refusal(session->tunnel));
    else
        session_way_failed(session, failure);
}

static void session_proxy_cb(int events, void *data);

static void session_watch_proxy(struct session *session, int events)
{
    stream_watch(session->proxy, session->worker->loop, events, session_proxy_cb, session);
}

/* While nothing has passed: does the server speak first? What comes may be TLS's own business. */
static void session_proxy_cb(int events, void *data)
{
    struct session *session = data;
    unsigned char bytes[1024];
    size_t n = 0;
    switch (stream_read(session->proxy, bytes, sizeof bytes, &n)) {
    case STREAM_OK:
        if (stream_unread(session->proxy, bytes, n) < 0)
            session_close(session, REASON_NO_MEMORY, NULL);
        else
            session_hear_no_more(session);
        return;
    case STREAM_AGAIN_READ:
        session_watch_proxy(session, STREAM_READABLE);
        return;
    case STREAM_AGAIN_WRITE:
        session_watch_proxy(session, STREAM_READABLE | STREAM_WRITABLE);
        return;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
        session_hear_no_more(session);
        return;
    case STREAM_RESET:
        session_close(session, REASON_PROXY_RESET, NULL);
        return;
    case STREAM_FAILED:
        session_close(session, REASON_PROXY_ERROR, stream_error(session->proxy));
        return;
    }
}

static void session_tunnel_up(struct session *session)
{
    worker_note_answer(session->worker, addr_port(&session->destination), session->http_status, CAUSE_NONE, "");
    if (session->facts.heard) {
        session_open(session);
        return;
    }
    session_enter(session, SESSION_READY);
    session->ready_at = ev_now(session->worker->loop);
    if (!session_awaits_late_name(session) || stream_pending(session->proxy)) {
        session_hear_no_more(session);
        return;
    }
    session_watch_proxy(session, STREAM_READABLE);
    session_limit_hearing(session);
}

void session_reconsider(struct session *session)
{
    bool otherwise =
        target_is_name(destination_choose(session_names(session), &session->facts)) && !target_is_name(session->target);
    if (!session_judge(session))
        return;
    switch (session->state) {
    case SESSION_DIAL: /* before CONNECT, session_link_cb() will see it */
        if (otherwise && session->tunnel)
            session_dial(session);
        return;
    case SESSION_READY:
        if (otherwise)
            session_dial(session);
        else
            session_open(session);
        return;
    case SESSION_REFUSED:
        if (otherwise)
            session_dial(session);
        else
            session_close(session, (enum reason)session->refused, session->held_detail);
        return;
    case SESSION_NEW:
    case SESSION_SNIFF:
    case SESSION_UNNAMED:
    case SESSION_HELD:
    case SESSION_OPEN:
    case SESSION_REQUESTS:
    case SESSION_ENDED:
        break;
    }
    assert(!"nothing was chosen in this state");
}

/* ---- the way ---- */

static void session_tunnel_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data)
{
    struct session *session = data;
    assert(session->state == SESSION_DIAL && tunnel == session->tunnel);
    session->http_status = tunnel_http_status(tunnel);
    if (failure) {
        session_tunnel_failed(session, failure);
        return;
    }
    struct stream *proxy = tunnel_take_stream(tunnel);
    session_drop_way(session);
    session->proxy = proxy;
    session_tunnel_up(session);
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
    if (session->requests) {
        session->link = NULL;
        session_ask(session, link, false);
        return;
    }
    session->target = (uint8_t)destination_choose(session_names(session), &session->facts);
    session->facts.asked_address |= !target_is_name(session->target);
    struct tunnel_request request = {.conf = session->settings->conf,
                                     .identity = &session->identity,
                                     .host =
                                         destination_host(session->target, session->name, &session->destination, text),
                                     .port = addr_port(&session->destination),
                                     .keep_refusal = session->upgrading};
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

/* A request says itself where it goes. */
static bool session_has_target(const struct session *session)
{
    if (session->requests)
        return session_names(session) != CONF_NAMES_REQUIRE || session_request_has_name(session);
    return destination_choose(session_names(session), &session->facts) != TARGET_NONE;
}

void session_dial(struct session *session)
{
    struct worker *worker = session->worker;
    const struct route *route = &worker->route;
    assert(session->state != SESSION_NEW && session->state != SESSION_OPEN && session->state != SESSION_ENDED);
    if (route->mode == ROUTE_CLOSED || !worker->settings) {
        session_close(session, REASON_BLOCKED, route->status);
        return;
    }
    session_drop_way(session);
    settings_unref(session->settings);
    session->settings = settings_ref(worker->settings);
    if (!session_judge(session))
        return;
    session->mode = route->mode;
    session->cause = CAUSE_NONE;
    session->generation = route->generation;
    if (session->requests && session->way != worker->way)
        requests_drop_link(session->requests);
    session->way = worker->way;
    session->proxy_address = route->address;
    if (!session_has_target(session))
        session_close(session, REASON_NAME_REQUIRED, NULL);
    else if (route->mode == ROUTE_SECURE && !session->settings->tls)
        session_close(session, REASON_TLS_FAILED, session->settings->tls_error.text);
    else if (!session_await_names(session) && (!session->requests || !session_ask_over_kept(session)))
        session_start_link(session);
}

void session_route_changed(struct session *session, const struct route *previous)
{
    const struct route *route = &session->worker->route;
    bool other_way = route_is_other_way(route, previous);
    if (route->mode == ROUTE_CLOSED) {
        bool had_tunnel =
            session->state == SESSION_OPEN || session->state == SESSION_READY || session->state == SESSION_REQUESTS;
        session_close(session, had_tunnel ? REASON_CUT : REASON_BLOCKED, route->status);
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
    case SESSION_UNNAMED:
    case SESSION_READY:
    case SESSION_REFUSED:
    case SESSION_OPEN:
    case SESSION_REQUESTS:
    case SESSION_ENDED:
        return;
    }
}
