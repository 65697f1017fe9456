/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/sockdiag.h"
#include "base/timer.h"
#include "model/answers.h"
#include "relay/admission.h"
#include "relay/close/close.h"
#include "relay/session/destination.h"
#include "relay/session/private.h"
#include "relay/session/session_log.h"

/* ---- state ---- */

static const struct {
    const char *text;
    double limit_s; /* 0: none of our own; the dial has its timers */
} states[] = {
    [SESSION_NEW] = {"new", 0.},
    [SESSION_SNIFF] = {"sniff", SESSION_SILENCE_S},
    [SESSION_DIAL] = {"dial", 0.},
    [SESSION_UNNAMED] = {"unnamed", 0.}, /* session_await_names() sets it */
    [SESSION_HELD] = {"held", 0.},       /* session_hold() sets it */
    [SESSION_READY] = {"ready", SESSION_YOUNG_S},
    [SESSION_REFUSED] = {"refused", 0.}, /* session_limit_hearing() sets it */
    [SESSION_OPEN] = {"open", SESSION_YOUNG_S},
    [SESSION_REQUESTS] = {"requests", SESSION_YOUNG_S},
    [SESSION_ENDED] = {"ended", 0.},
};

void session_set_timer(struct session *session, double after)
{
    timer_arm(session->worker->loop, &session->timer, after);
}

void session_enter(struct session *session, enum session_state state)
{
    log_debug("session %" PRIu64 ": %s -> %s", session->id, states[session->state].text, states[state].text);
    int held = (state == SESSION_HELD) - (session->state == SESSION_HELD);
    session->worker->n_held += (size_t)held;
    session->worker->held_by[session->share] += (unsigned)held;
    session->state = state;
    ev_timer_stop(session->worker->loop, &session->timer);
    if (states[state].limit_s > 0.)
        session_set_timer(session, states[state].limit_s);
    if (session->requests && (state == SESSION_DIAL || state == SESSION_UNNAMED || state == SESSION_HELD))
        session_watch_client(session, true);
    /* From here on the pump or the requests poll the client, or nobody does. */
    if (state == SESSION_OPEN || state == SESSION_REQUESTS || state == SESSION_ENDED)
        session_watch_client(session, false);
}

/* ---- the end ---- */

static void session_sum_up(struct session *session, enum reason reason)
{
    struct sums *sums = &session->worker->sums;
    bool failed = reason_counts_as(reason) == REASON_COUNT_FAILED;
    uint64_t up = session_up(session), down = session_down(session);
    char uid[16];
    snprintf(uid, sizeof uid, "%u", (unsigned)session->uid);
    sums_add(sums, SUM_BY_USER, session->uid != SHARES_UNKNOWN ? uid : NULL, failed, up, down);
    sums_add(sums, SUM_BY_UNIT, session_unit(session), failed, up, down);
    sums_add(sums, SUM_BY_NAME, session->name, failed, up, down);
}

static void session_write_log(const struct session *session, enum reason reason, const char *detail)
{
    struct worker *worker = session->worker;
    char uid[16] = "", rule[POLICY_RULE_TEXT_MAX];
    const struct route *route = &worker->route;
    bool same = addr_equal(&session->proxy_address, &route->address);
    const struct conf *conf = session->settings ? session->settings->conf : NULL;
    if (session->uid != SHARES_UNKNOWN)
        snprintf(uid, sizeof uid, "%u", (unsigned)session->uid);
    if ((worker->settings && !worker->settings->conf->log_sessions) || !worker_may_log(worker))
        return;
    session_log_write(&(struct session_log){.id = session->id,
                                            .http_status = session->http_status,
                                            .client = &session->client_address,
                                            .uid = uid[0] ? uid : NULL,
                                            .unit = session_unit(session),
                                            .destination = &session->destination,
                                            .proxy = &session->proxy_address,
                                            .status = route->status,
                                            .server = same ? route->server : NULL,
                                            .name = session->name,
                                            .rule = conf ? policy_rule_text(conf, &session->rule, rule) : NULL,
                                            .ech = session->ech,
                                            .target = session->target,
                                            .mode = session->mode,
                                            .up = session_up(session),
                                            .down = session_down(session),
                                            .requests = session_answered(session),
                                            .seconds = ev_now(session->worker->loop) - session->began_at,
                                            .reason = reason,
                                            .cause = session->cause,
                                            .detail = detail});
}

static void session_free(struct session *session)
{
    session_drop_way(session);
    requests_free(session->requests);
    settings_unref(session->settings);
    free(session->name);
    free(session->user);
    free(session->system_unit);
    free(session->held_detail);
    free(session->name_detail);
    first_bytes_fini(&session->head);
    free(session);
}

static void session_count_end(struct stats *stats, enum reason reason)
{
    switch (reason_counts_as(reason)) {
    case REASON_COUNT_ENDED:
        return;
    case REASON_COUNT_CLIENT:
        stats_add(&stats->sessions_client_ended, 1);
        return;
    case REASON_COUNT_REFUSED:
        stats_add(&stats->sessions_refused, 1);
        return;
    case REASON_COUNT_FAILED:
        stats_add(&stats->sessions_failed, 1);
        return;
    }
}

/* In which it is told why. A client of an address without a name may know more addresses of its server, but only after
 * a reset it tries them: an alert would be the server's last word. */
static enum sniff_kind session_language(const struct session *session, enum reason reason)
{
    bool unreached = reason == REASON_PROXY_REFUSED && answers_is_unreached(session->http_status);
    return session->kind == SNIFF_TLS && !session->name && unreached ? SNIFF_OTHER : session->kind;
}

/* Its place is another's now: nothing of it stays. */
static void session_make_way(struct session *session, bool had_tunnel)
{
    if (had_tunnel) {
        pump_fini(&session->pump);
        stream_free(session->pump.streams[PUMP_PROXY], true);
    }
    requests_free(session->requests);
    session->requests = NULL;
    stream_free(session->client, true);
}

void session_close(struct session *session, enum reason reason, const char *detail)
{
    struct worker *worker = session->worker;
    bool had_tunnel = session->state == SESSION_OPEN;
    assert(session->state != SESSION_ENDED);
    session_enter(session, SESSION_ENDED);
    session_count_end(worker->stats, reason);
    session_sum_up(session, reason);
    session_write_log(session, reason, detail);
    if (reason == REASON_FAIR_SHARE) {
        session_make_way(session, had_tunnel);
    } else if (had_tunnel) {
        pump_fini(&session->pump);
        close_tunnel(worker->lingering, &session->pump, reason, session->mode == ROUTE_SECURE);
    } else if (session->requests) {
        session_close_requests(session, reason, detail);
    } else {
        close_refused(worker->lingering, session->client, session_language(session, reason), reason,
                      session->http_status, detail);
    }
    worker_remove(worker, session);
    admission_leave(worker, session->share);
    session_free(session);
}

/* ---- open ---- */

/* As the pump has ended, or as far as it has. */
static void session_close_pumped(struct session *session)
{
    const struct pump *pump = &session->pump;
    bool failed = pump->fault != FLOW_FAULT_NONE && pump->fault_status == STREAM_FAILED;
    session_close(session, close_reason(pump), failed ? stream_error(pump->streams[pump->fault_side]) : NULL);
}

/* Has it closed its socket for good, after an answer? */
static bool session_client_is_gone(const struct session *session)
{
    return session->pump.answered &&
           sockdiag_is_closed(session->worker->diag_fd, &session->client_address, &session->destination);
}

/* On the plain route a client's end is passed on as a FIN, and whoever sends the first FIN keeps TIME_WAIT. When nobody
 * is left who would read an answer, there is nothing left to say: the proxy is reset. */
static void session_client_ends(struct session *session)
{
    struct worker *worker = session->worker;
    if (session->mode != ROUTE_PLAIN)
        return;
    if (session_client_is_gone(session))
        pump_abandon(&session->pump);
    else
        source_ports_note_lost(&worker->ports, ev_now(worker->loop));
}

static void session_pump_cb(struct pump *pump, enum pump_event event, void *data)
{
    struct session *session = data;
    switch (event) {
    case PUMP_HALF_CLOSED:
        stream_keep_tracked(pump->streams[PUMP_CLIENT]);
        stream_keep_tracked(pump->streams[PUMP_PROXY]);
        session_set_timer(session, SESSION_HALF_CLOSED_S);
        return;
    case PUMP_CLIENT_ENDS:
        session_client_ends(session);
        return;
    case PUMP_DONE:
    case PUMP_FAILED:
        session_close_pumped(session);
        return;
    }
}

void session_open(struct session *session)
{
    assert(session->facts.heard && session->proxy && !session->link && !session->tunnel);
    pump_init(&session->pump, &session->worker->pump_means, session->client, session->proxy, session_pump_cb, session);
    session->proxy = NULL;
    session_enter(session, SESSION_OPEN);
    pump_start(&session->pump);
}

/* How long nothing need move. */
static double session_patience(const struct session *session)
{
    if (!session->pump.half_closed)
        return SESSION_IDLE_S;
    return pump_is_delivering(&session->pump) ? LINGER_STALLED_S : SESSION_HALF_CLOSED_S;
}

/* Lazy: activity does not touch the timer, it looks when it fires. */
static void session_check_idle(struct session *session)
{
    bool half = session->pump.half_closed;
    if (!half)
        stream_keep_alive(session->pump.streams[PUMP_PROXY]); /* once and again, but rarely */
    double left = session->pump.active_at + session_patience(session) - ev_now(session->worker->loop);
    if (left > 0.)
        session_set_timer(session, left);
    else if (session->pump.fault != FLOW_FAULT_NONE)
        session_close_pumped(session);
    else
        session_close(session, half ? REASON_HALF_CLOSED_IDLE : REASON_IDLE, NULL);
}

void session_drain(struct session *session)
{
    bool asks = session->state == SESSION_REQUESTS && session->requests->link;
    if (session->mode == ROUTE_PLAIN && (session->state == SESSION_OPEN || session->state == SESSION_READY || asks))
        session_close(session, REASON_DRAINED, NULL);
}

/* ---- events ---- */

static void session_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct session *session = timer->data;
    switch (session->state) {
    case SESSION_SNIFF:
    case SESSION_READY:
    case SESSION_REFUSED:
        session_hearing_timer(session);
        return;
    case SESSION_UNNAMED:
        session_dial(session);
        return;
    case SESSION_HELD:
        session_close(session, REASON_HOLD_EXPIRED, session->held_detail);
        return;
    case SESSION_OPEN:
        session_check_idle(session);
        return;
    case SESSION_REQUESTS:
        session_check_requests(session);
        return;
    case SESSION_NEW:
    case SESSION_DIAL:
    case SESSION_ENDED:
        break;
    }
    assert(!"there is no timer in this state");
}

/* ---- the beginning ---- */

static struct session *session_new(struct worker *worker, int fd, const struct addr *client,
                                   const struct addr *destination, const struct addr *own)
{
    struct stream *stream = stream_new_plain(fd);
    struct session *session = calloc(1, sizeof *session);
    if (!stream || !session) {
        stream_free(stream, true);
        free(session);
        return NULL;
    }
    session->worker = worker;
    session->client = stream;
    session->id = ++worker->last_id;
    session->mode = ROUTE_CLOSED;
    session->began_at = ev_now(worker->loop);
    session->client_address = *client;
    session->destination = *destination;
    session->own = *own;
    ev_init(&session->timer, session_timer_cb);
    session->timer.data = session;
    return session;
}

void session_begin(struct worker *worker, int fd, const struct addr *client, const struct addr *destination,
                   const struct addr *own)
{
    struct session *session = session_new(worker, fd, client, destination, own);
    if (!session) {
        log_warning("a connection is refused: out of memory");
        return;
    }
    session_identify(session);
    if (!admission_take(worker, session->uid, &session->share)) {
        stream_free(session->client, true);
        session_free(session);
        return;
    }
    worker_add(worker, session);
    session->settings = worker->settings ? settings_ref(worker->settings) : NULL;
    if (session->settings && !session_judge(session))
        return;
    if (worker->route.mode == ROUTE_CLOSED || !worker->settings) {
        session_close(session, REASON_BLOCKED, worker->route.status);
        return;
    }
    session_enter(session, SESSION_SNIFF);
    session_watch_client(session, true);
    session_hear(session);
}

/* "open" is what carries bytes, whatever carries it. */
static const char *session_state_text(const struct session *session)
{
    if (session->state != SESSION_REQUESTS)
        return states[session->state].text;
    return requests_are_idle(session->requests) ? "idle" : states[SESSION_OPEN].text;
}

void session_describe(const struct session *session, struct ipc_session *ret_description)
{
    *ret_description = (struct ipc_session){
        .id = session->id,
        .client = session->client_address,
        .destination = session->destination,
        .ech = session->ech,
        .target = session->target,
        .mode = session->mode,
        .proxy = session->proxy_address,
        .bytes_up = session_up(session),
        .bytes_down = session_down(session),
        .age_ms = (uint64_t)((ev_now(session->worker->loop) - session->began_at) * 1e3),
    };
    snprintf(ret_description->name, sizeof ret_description->name, "%s", session->name ? session->name : "");
    snprintf(ret_description->state, sizeof ret_description->state, "%s", session_state_text(session));
}
