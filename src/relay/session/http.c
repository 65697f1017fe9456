/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session whose client speaks plain HTTP: what its requests ask for. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "relay/close/close.h"
#include "relay/session/private.h"

#define FRESH_S 1. /* a proxy that has just answered does not close within this time */

uint64_t session_answered(const struct session *session)
{
    return session->requests_answered + (session->requests ? session->requests->count : 0);
}

uint64_t session_up(const struct session *session)
{
    return session->pump.up.delivered + session->requests_up +
           (session->requests ? session->requests->up.delivered : 0);
}

uint64_t session_down(const struct session *session)
{
    return session->pump.down.delivered + session->requests_down +
           (session->requests ? session->requests->down.delivered : 0);
}

/* ---- a link ---- */

void session_request_host(const struct session *session, char ret_name[static HOSTNAME_SIZE], struct addr *ret_addr)
{
    char text[ADDR_TEXT_MAX];
    struct addr addr;
    struct span host = session->requests->head.host;
    ret_name[0] = '\0';
    if (host.length == 0 || hostname_parse(host.text, host.length, ret_name) || host.length >= sizeof text)
        return;
    memcpy(text, host.text, host.length);
    text[host.length] = '\0';
    /* ::ffff:192.0.2.1 is 192.0.2.1, for the rules, too. */
    if (addr_parse(text, addr_port(&session->destination), &addr))
        (void)addr_from_sockaddr(&addr.sa, addr_length(&addr), ret_addr);
}

bool session_request_has_name(const struct session *session)
{
    char name[HOSTNAME_SIZE];
    struct span host = session->requests->head.host;
    return hostname_parse(host.text, host.length, name);
}

void session_ask(struct session *session, struct link *link, bool idled)
{
    char text[ADDR_TEXT_MAX];
    if (session->state != SESSION_REQUESTS)
        session_enter(session, SESSION_REQUESTS);
    session->target = session_request_has_name(session) ? TARGET_NAME : TARGET_NO_NAME;
    const struct request_target target = {.conf = session->settings->conf,
                                          .identity = &session->identity,
                                          .default_host = addr_host_text(&session->destination, text),
                                          .port = addr_port(&session->destination)};
    if (!requests_go(session->requests, link, idled, &target))
        session_close(session, REASON_NO_MEMORY, NULL);
}

/* What may not be repeated gets one that was in use a moment ago, or a new one: an older one may have been closed by
 * now, and nobody could tell whether the request was heard. */
bool session_ask_over_kept(struct session *session)
{
    struct requests *requests = session->requests;
    struct warm_key key = session_warm_key(session);
    if (requests->want_fresh) {
        requests_drop_link(requests);
        return false;
    }
    struct link *link = NULL;
    if (!requests->link)
        link = warm_take(session->worker->warm, &key, requests->head.repeatable ? INFINITY : FRESH_S);
    if (!requests->link && !link)
        return false;
    session_ask(session, link, true);
    return true;
}

/* For the next request of anybody, unless it leads where nobody may go any more. */
static void session_put_link(struct session *session)
{
    struct link *link = requests_take_link(session->requests);
    struct warm_key key = session_warm_key(session);
    if (link && session->way == session->worker->way)
        warm_put(session->worker->warm, &key, link);
    else
        link_free(link);
}

/* ---- another protocol ---- */

/* The tunnel leads to where the request would have gone, which need not be where the first one went. */
static bool session_take_host(struct session *session)
{
    char name[HOSTNAME_SIZE];
    struct span host = session->requests->head.host;
    free(session->name);
    session->name = NULL;
    session->facts.named = false;
    if (!hostname_parse(host.text, host.length, name))
        return true;
    session->name = strdup(name);
    session->facts.named = true;
    return session->name;
}

static void session_leave_requests(struct session *session)
{
    bool good = session_take_host(session) && requests_give_back(session->requests) == 0;
    session->requests_answered = session_answered(session);
    session->requests_up = session_up(session);
    session->requests_down = session_down(session);
    requests_free(session->requests);
    session->requests = NULL;
    session->upgrading = true;
    if (!good)
        session_close(session, REASON_NO_MEMORY, NULL);
    else
        session_dial(session);
}

/* ---- events ---- */

static void session_requests_over(struct session *session)
{
    const struct requests *requests = session->requests;
    struct link_failure failure = requests->failure;
    session->cause = (uint8_t)failure.cause;
    session->http_status = requests->http_status;
    if (failure.reason == REASON_PROXY_REFUSED)
        worker_note_answer(session->worker, addr_port(&session->destination), session->http_status, failure.cause,
                           failure.detail);
    if (failure.proxy_at_fault)
        worker_report_trouble(session->worker, session->generation, failure.reason, failure.cause, failure.detail);
    session_close(session, failure.reason, failure.detail);
}

static void session_requests_cb(struct requests *requests, enum requests_event event, void *data)
{
    struct session *session = data;
    assert(session->state == SESSION_REQUESTS && requests == session->requests);
    switch (event) {
    case REQUESTS_WANT_LINK:
        session_dial(session);
        return;
    case REQUESTS_WANT_TUNNEL:
        session_leave_requests(session);
        return;
    case REQUESTS_ANSWERED:
        if (session->upgrading)
            return;
        worker_note_answer(session->worker, addr_port(&session->destination), 200, CAUSE_NONE, "");
        session_put_link(session);
        session->tries = 0;
        session->held_until = 0.;
        return;
    case REQUESTS_NO_ANSWER:
        session_way_failed(session, &requests->failure);
        return;
    case REQUESTS_OVER:
        session_requests_over(session);
        return;
    }
}

void session_begin_requests(struct session *session)
{
    struct worker *worker = session->worker;
    session->requests = requests_new(&worker->pump_means, session->client, session_requests_cb, session);
    if (!session->requests) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    session_drop_way(session); /* if one was being opened to the address */
    session_enter(session, SESSION_REQUESTS);
    requests_start(session->requests);
}

void session_pass_refusal(struct session *session, struct link *link)
{
    session->requests = requests_new(&session->worker->pump_means, session->client, session_requests_cb, session);
    if (!session->requests)
        link_free(link);
    if (!session->requests || !requests_pass_answer(session->requests, link)) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    session_drop_way(session);
    session_enter(session, SESSION_REQUESTS);
}

/* ---- time ---- */

/* Lazy: activity does not touch the timer, it looks when it fires. */
void session_check_requests(struct session *session)
{
    const struct requests *requests = session->requests;
    if (requests->link)
        stream_keep_alive(link_stream(requests->link));
    double left = requests->active_at + requests_patience(requests) - ev_now(session->worker->loop);
    bool half = requests->client_ended && requests->state == REQUESTS_ASK;
    if (left > 0.)
        session_set_timer(session, left);
    else
        session_close(session, half ? REASON_HALF_CLOSED_IDLE : REASON_IDLE, NULL);
}

/* ---- the end ---- */

void session_close_requests(struct session *session, enum reason reason, const char *detail)
{
    struct lingering *lingering = session->worker->lingering;
    bool owed = requests_owe_answer(session->requests) || (reason == REASON_BAD_REQUEST && !session->requests->told);
    bool in_order = reason == REASON_DONE || reason == REASON_PROXY_TRUNCATED || requests_are_idle(session->requests);
    session->requests_answered = session_answered(session);
    requests_free(session->requests);
    session->requests = NULL;
    if (owed)
        close_refused(lingering, session->client, SNIFF_HTTP, reason, session->http_status, detail);
    else if (in_order)
        close_answered(lingering, session->client);
    else
        lingering_add(lingering, session->client, LINGER_THEN_RESET);
}
