/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sockdiag.h"
#include "base/timer.h"
#include "relay/session/private.h"

#define LINGERING_MAX  4096
#define LOSSES_EVERY_S 60.

/* Links that rest: a burst's worth, and shorter than the time after which most proxies close them. */
#define WARM_MAX    64
#define WARM_REST_S 30.

static void draining_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *worker = timer->data;
    struct session *next;
    for (struct session *session = TAILQ_FIRST(&worker->sessions); session; session = next) {
        next = TAILQ_NEXT(session, among);
        session_drain(session);
    }
}

static void telling_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct worker *worker = timer->data;
    if (worker->answers_cb(&worker->answers, worker->data))
        worker->answers = (struct answers){0};
    else
        timer_arm(loop, timer, WORKER_TELLING_S);
}

static void tell_untold(struct worker *worker)
{
    uint64_t untold = log_rate_tell(&worker->log_rate);
    if (untold > 0)
        log_info("%" PRIu64 " more sessions ended, without a line each (LogRate= of [Limits])", untold);
}

static void untold_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    tell_untold(timer->data);
}

/* A part of the descriptors that sessions may have. */
static size_t lingering_max(size_t max)
{
    size_t part = max / 8 < LINGERING_MAX ? max / 8 : LINGERING_MAX;
    return part > 0 ? part : 1;
}

void worker_set_row(struct worker *worker, unsigned index)
{
    assert(!worker->own_row && index < CONF_RELAYS_MAX);
    worker->own_row = &worker->shares->rows[index];
    shares_begin_row(worker->own_row, worker->max < UINT32_MAX ? (uint32_t)worker->max : UINT32_MAX);
}

struct worker *worker_new(struct ev_loop *loop, struct stats *stats, struct shares *shares, size_t max,
                          size_t max_pipes, worker_trouble_cb *trouble_cb, void *data)
{
    struct worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return NULL;
    worker->loop = loop;
    worker->stats = stats;
    worker->shares = shares;
    worker->max = max;
    worker->trouble_cb = trouble_cb;
    worker->data = data;
    worker->route.mode = ROUTE_CLOSED;
    ev_timer_init(&worker->draining, draining_cb, WORKER_DRAINING_S, 0.);
    worker->draining.data = worker;
    ev_timer_init(&worker->telling, telling_cb, WORKER_TELLING_S, 0.);
    worker->telling.data = worker;
    ev_timer_init(&worker->untold, untold_cb, WORKER_UNTOLD_S, 0.);
    worker->untold.data = worker;
    worker->diag_fd = sockdiag_open();
    source_ports_init(&worker->ports);
    TAILQ_INIT(&worker->sessions);
    worker->buffers = buffers_new(max_pipes);
    worker->pump_means = (struct pump_means){.loop = loop, .buffers = worker->buffers, .stats = stats};
    worker->warm = warm_new(loop, max / 8 < WARM_MAX ? max / 8 : WARM_MAX, WARM_REST_S);
    worker->lingering = lingering_new(loop, lingering_max(max), LINGER_STALLED_S);
    if (!worker->buffers || !worker->warm || !worker->lingering) {
        worker_free(worker);
        return NULL;
    }
    return worker;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    while (!TAILQ_EMPTY(&worker->sessions))
        session_close(TAILQ_FIRST(&worker->sessions), REASON_SHUTDOWN, NULL);
    ev_timer_stop(worker->loop, &worker->draining);
    ev_timer_stop(worker->loop, &worker->telling);
    warm_free(worker->warm);
    ev_timer_stop(worker->loop, &worker->untold);
    tell_untold(worker);
    lingering_free(worker->lingering);
    buffers_free(worker->buffers);
    settings_unref(worker->settings);
    names_fini(&worker->users);
    names_fini(&worker->units);
    names_fini(&worker->system_units);
    if (worker->diag_fd >= 0)
        close(worker->diag_fd);
    free(worker);
}

/* What rests on the old one is of no more use, and may not be used. */
static void worker_take_other_way(struct worker *worker)
{
    worker->way++;
    warm_keep_way(worker->warm, worker->way);
}

void worker_set_settings(struct worker *worker, struct settings *settings)
{
    struct settings *old = worker->settings;
    worker->settings = settings_ref(settings);
    worker_take_other_way(worker);
    settings_unref(old);
}

/* Sessions on the plain route may go on for a while after the channel is back, and for good when it goes again. */
static void worker_update_draining(struct worker *worker, uint8_t previous_mode)
{
    if (worker->route.mode == ROUTE_SECURE && previous_mode == ROUTE_PLAIN) {
        timer_arm(worker->loop, &worker->draining, WORKER_DRAINING_S);
    } else if (worker->route.mode != ROUTE_SECURE) {
        ev_timer_stop(worker->loop, &worker->draining);
    }
}

void worker_set_route(struct worker *worker, const struct route *route)
{
    struct route previous = worker->route;
    worker->route = *route;
    if (route_is_other_way(route, &previous))
        worker_take_other_way(worker);
    worker_update_draining(worker, previous.mode);
    struct session *next;
    for (struct session *session = TAILQ_FIRST(&worker->sessions); session; session = next) {
        next = TAILQ_NEXT(session, among);
        session_route_changed(session, &previous);
    }
}

static size_t worker_places_taken(const struct worker *worker)
{
    return worker->n + lingering_count(worker->lingering);
}

bool worker_is_full(const struct worker *worker)
{
    return worker_places_taken(worker) >= worker->max;
}

void worker_add(struct worker *worker, struct session *session)
{
    TAILQ_INSERT_TAIL(&worker->sessions, session, among);
    worker->n++;
    shares_set_open(worker->own_row, worker_places_taken(worker));
    stats_add(&worker->stats->sessions_total, 1);
    stats_set(&worker->stats->sessions_open, worker->n);
}

/* One line for many: a peer can make as many of them as it likes. */
static void worker_tell_losses(struct worker *worker)
{
    uint64_t lost = lingering_lost(worker->lingering);
    ev_tstamp now = ev_now(worker->loop);
    if (lost == worker->losses_told || now - worker->losses_told_at < LOSSES_EVERY_S)
        return;
    log_warning("%" PRIu64
                " connections were reset before their peers had taken all bytes: nothing taken for %.0f s, or "
                "more than %zu such at once",
                lost - worker->losses_told, LINGER_STALLED_S, lingering_max(worker->max));
    worker->losses_told = lost;
    worker->losses_told_at = now;
}

void worker_remove(struct worker *worker, struct session *session)
{
    assert(worker->n > 0);
    if (worker->next_listed == session)
        worker->next_listed = TAILQ_NEXT(session, among);
    TAILQ_REMOVE(&worker->sessions, session, among);
    worker->n--;
    shares_set_open(worker->own_row, worker_places_taken(worker));
    stats_set(&worker->stats->sessions_open, worker->n);
    worker_tell_losses(worker);
}

void worker_note_answer(struct worker *worker, uint16_t port, int http_status, enum cause cause, const char *detail)
{
    if (!worker->answers_cb)
        return;
    answers_add(&worker->answers, port, http_status, cause, detail);
    if (!ev_is_active(&worker->telling))
        timer_arm(worker->loop, &worker->telling, WORKER_TELLING_S);
}

bool worker_may_log(struct worker *worker)
{
    unsigned per_second = worker->settings ? worker->settings->conf->log_rate : 1;
    if (log_rate_take(&worker->log_rate, per_second, ev_now(worker->loop)))
        return true;
    if (!ev_is_active(&worker->untold))
        timer_arm(worker->loop, &worker->untold, WORKER_UNTOLD_S);
    return false;
}

void worker_report_trouble(struct worker *worker, uint64_t generation, enum reason reason, enum cause cause,
                           const char *detail)
{
    if (generation <= worker->troubled_generation)
        return;
    worker->troubled_generation = generation;
    worker->trouble_cb(generation, reason, cause, detail, worker->data);
}

/* One of them was awaited. */
static void worker_names_told(struct worker *worker)
{
    struct session *next;
    for (struct session *session = TAILQ_FIRST(&worker->sessions); session; session = next) {
        next = TAILQ_NEXT(session, among);
        session_names_told(session);
    }
}

void worker_take_user(struct worker *worker, const struct ipc_user *user)
{
    names_take(&worker->users, user->uid, user->name, ev_now(worker->loop));
    worker_names_told(worker);
}

void worker_take_unit(struct worker *worker, const struct ipc_unit *unit)
{
    names_take(&worker->units, unit->cgroup, unit->unit, ev_now(worker->loop));
    names_take(&worker->system_units, unit->cgroup, unit->system_unit, ev_now(worker->loop));
    worker_names_told(worker);
}

void worker_list_start(struct worker *worker)
{
    worker->next_listed = TAILQ_FIRST(&worker->sessions);
    worker->next_sum = 0;
}

bool worker_list_peek(struct worker *worker, struct ipc_session *ret_session)
{
    if (!worker->next_listed)
        return false;
    session_describe(worker->next_listed, ret_session);
    return true;
}

void worker_list_advance(struct worker *worker)
{
    worker->next_listed = TAILQ_NEXT(worker->next_listed, among);
}

const struct sum *worker_list_peek_sum(const struct worker *worker)
{
    return sums_at(&worker->sums, worker->next_sum);
}

void worker_list_advance_sum(struct worker *worker)
{
    worker->next_sum++;
}
