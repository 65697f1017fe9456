/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/sessions.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "relay/session.h"
#include "relay/sockdiag.h"

#define LINGERING_MAX  4096
#define LOSSES_EVERY_S 60.

static void draining_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct sessions *sessions = timer->data;
    struct session *next;
    for (struct session *session = sessions->first; session; session = next) {
        next = *session_next(session);
        session_drain(session);
    }
}

/* A part of the descriptors that sessions may have. */
static size_t lingering_max(size_t max)
{
    size_t part = max / 8 < LINGERING_MAX ? max / 8 : LINGERING_MAX;
    return part > 0 ? part : 1;
}

struct sessions *sessions_new(struct ev_loop *loop, struct stats *stats, size_t max, size_t max_pipes,
                              sessions_trouble_cb *trouble_cb, void *data)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (!sessions)
        return NULL;
    sessions->loop = loop;
    sessions->stats = stats;
    sessions->max = max;
    sessions->trouble_cb = trouble_cb;
    sessions->data = data;
    sessions->route.mode = ROUTE_CLOSED;
    ev_timer_init(&sessions->draining, draining_cb, SESSIONS_DRAINING_S, 0.);
    sessions->draining.data = sessions;
    sessions->diag_fd = sockdiag_open();
    ports_init(&sessions->ports);
    sessions->pool = pool_new(max_pipes);
    sessions->lingering = lingering_new(loop, lingering_max(max), LINGER_STALLED_S);
    if (!sessions->pool || !sessions->lingering) {
        sessions_free(sessions);
        return NULL;
    }
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
    if (!sessions)
        return;
    while (sessions->first)
        session_close(sessions->first, REASON_SHUTDOWN, NULL);
    ev_timer_stop(sessions->loop, &sessions->draining);
    lingering_free(sessions->lingering);
    pool_free(sessions->pool);
    settings_unref(sessions->settings);
    if (sessions->diag_fd >= 0)
        close(sessions->diag_fd);
    free(sessions);
}

void sessions_set_settings(struct sessions *sessions, struct settings *settings)
{
    struct settings *old = sessions->settings;
    sessions->settings = settings_ref(settings);
    settings_unref(old);
}

/* Sessions on the plain route may go on for a while after the channel is back, and for good when it goes again. */
static void sessions_update_draining(struct sessions *sessions, uint8_t previous_mode)
{
    if (sessions->route.mode == ROUTE_SECURE && previous_mode == ROUTE_PLAIN) {
        ev_timer_set(&sessions->draining, SESSIONS_DRAINING_S, 0.);
        ev_timer_start(sessions->loop, &sessions->draining);
    } else if (sessions->route.mode != ROUTE_SECURE) {
        ev_timer_stop(sessions->loop, &sessions->draining);
    }
}

void sessions_set_route(struct sessions *sessions, const struct route *route)
{
    struct route previous = sessions->route;
    sessions->route = *route;
    sessions_update_draining(sessions, previous.mode);
    struct session *next;
    for (struct session *session = sessions->first; session; session = next) {
        next = *session_next(session);
        session_route_changed(session, &previous);
    }
}

bool sessions_are_full(const struct sessions *sessions)
{
    return sessions->n + lingering_count(sessions->lingering) >= sessions->max;
}

void sessions_add(struct sessions *sessions, struct session *session)
{
    *session_previous(session) = sessions->last;
    *session_next(session) = NULL;
    if (sessions->last)
        *session_next(sessions->last) = session;
    else
        sessions->first = session;
    sessions->last = session;
    sessions->n++;
    stats_add(&sessions->stats->sessions_total, 1);
    stats_set(&sessions->stats->sessions_open, sessions->n);
}

/* One line for many: a peer can make as many of them as it likes. */
static void sessions_tell_losses(struct sessions *sessions)
{
    uint64_t lost = lingering_lost(sessions->lingering);
    ev_tstamp now = ev_now(sessions->loop);
    if (lost == sessions->losses_told || now - sessions->losses_told_at < LOSSES_EVERY_S)
        return;
    log_warning("%" PRIu64
                " connections were reset before their peers had taken all bytes: nothing taken for %.0f s, or "
                "more than %zu such at once",
                lost - sessions->losses_told, LINGER_STALLED_S, lingering_max(sessions->max));
    sessions->losses_told = lost;
    sessions->losses_told_at = now;
}

void sessions_remove(struct sessions *sessions, struct session *session)
{
    struct session *previous = *session_previous(session), *next = *session_next(session);
    assert(sessions->n > 0);
    if (sessions->next_listed == session)
        sessions->next_listed = next;
    if (previous)
        *session_next(previous) = next;
    else
        sessions->first = next;
    if (next)
        *session_previous(next) = previous;
    else
        sessions->last = previous;
    sessions->n--;
    stats_set(&sessions->stats->sessions_open, sessions->n);
    sessions_tell_losses(sessions);
}

void sessions_report_trouble(struct sessions *sessions, uint64_t generation, enum reason reason, const char *detail)
{
    if (generation <= sessions->troubled_generation)
        return;
    if (sessions->trouble_cb(generation, reason, detail, sessions->data))
        sessions->troubled_generation = generation;
}

void sessions_list_start(struct sessions *sessions)
{
    sessions->next_listed = sessions->first;
}

bool sessions_list_peek(struct sessions *sessions, struct ipc_session *ret_session)
{
    if (!sessions->next_listed)
        return false;
    session_describe(sessions->next_listed, ret_session);
    return true;
}

void sessions_list_advance(struct sessions *sessions)
{
    sessions->next_listed = *session_next(sessions->next_listed);
}
