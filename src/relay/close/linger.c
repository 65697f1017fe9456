/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/timer.h"
#include "relay/close/linger.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/queue.h>

#define END_LIMIT_S   2.    /* for the FIN of a peer that has everything */
#define RESET_FIRST_S 0.005 /* then doubling */
#define LOOK_S        1.    /* at most from one look at what is left to the next */

struct linger_entry {
    TAILQ_ENTRY(linger_entry) link;
    struct lingering *all;
    struct stream *stream;
    enum linger_how how;
    ev_timer timer;
    double step;
    size_t left; /* bytes that the peer had not acknowledged at the last look */
    ev_tstamp moved_at;
};

TAILQ_HEAD(linger_list, linger_entry);

struct lingering {
    struct ev_loop *loop;
    struct linger_list entries; /* eldest first */
    size_t n, max;
    double stalled_s;
    uint64_t lost;
};

static void linger_entry_free(struct linger_entry *entry, bool reset)
{
    struct lingering *all = entry->all;
    assert(all->n > 0);
    ev_timer_stop(all->loop, &entry->timer);
    stream_free(entry->stream, reset);
    TAILQ_REMOVE(&all->entries, entry, link);
    all->n--;
    free(entry);
}

/* True: over, *ret_reset says how to close. */
static bool end_is_here(struct stream *stream, bool *ret_reset)
{
    enum stream_status status = stream_drop(stream);
    if (status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE)
        return false;
    *ret_reset = status != STREAM_EOF;
    return true;
}

/* ---- waiting ---- */

static void linger_ready_cb(int events, void *data)
{
    struct linger_entry *entry = data;
    bool reset;
    if (end_is_here(entry->stream, &reset))
        linger_entry_free(entry, reset);
}

static void linger_look(struct linger_entry *entry)
{
    size_t left = stream_undelivered(entry->stream);
    if (left != entry->left)
        entry->moved_at = ev_now(entry->all->loop);
    entry->left = left;
}

/* Nothing more is to be waited for. Counts what is lost. */
static bool linger_is_over(struct linger_entry *entry)
{
    double still = ev_now(entry->all->loop) - entry->moved_at;
    if (stream_is_dead(entry->stream))
        return true;
    if (entry->left == 0)
        return entry->how == LINGER_THEN_RESET || still >= END_LIMIT_S;
    if (still < entry->all->stalled_s)
        return false;
    entry->all->lost++;
    return true;
}

static void linger_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct linger_entry *entry = timer->data;
    linger_look(entry);
    if (linger_is_over(entry)) {
        linger_entry_free(entry, true);
        return;
    }
    entry->step = entry->step < LOOK_S / 2 ? entry->step * 2 : LOOK_S;
    timer_arm(loop, timer, entry->step);
}

/* ---- all of them ---- */

struct lingering *lingering_new(struct ev_loop *loop, size_t max, double stalled_s)
{
    struct lingering *all = calloc(1, sizeof *all);
    assert(max > 0);
    if (!all)
        return NULL;
    all->loop = loop;
    all->max = max;
    all->stalled_s = stalled_s;
    TAILQ_INIT(&all->entries);
    return all;
}

void lingering_free(struct lingering *lingering)
{
    if (!lingering)
        return;
    while (!TAILQ_EMPTY(&lingering->entries)) {
        struct linger_entry *entry = TAILQ_FIRST(&lingering->entries);
        linger_entry_free(entry, entry->how == LINGER_THEN_RESET);
    }
    free(lingering);
}

/* Closes the one that costs least. */
static void lingering_make_room(struct lingering *all)
{
    struct linger_entry *victim;
    TAILQ_FOREACH(victim, &all->entries, link) {
        if (victim->left == 0)
            break;
    }
    if (!victim) {
        victim = TAILQ_FIRST(&all->entries);
        all->lost++;
    }
    linger_entry_free(victim, true);
}

/* True: there is nothing to wait for, *ret_reset says how to close. */
static bool is_over(struct stream *stream, enum linger_how how, bool *ret_reset)
{
    switch (how) {
    case LINGER_FOR_END:
        *ret_reset = false;
        return end_is_here(stream, ret_reset);
    case LINGER_THEN_RESET:
        *ret_reset = true;
        return stream_undelivered(stream) == 0 || stream_is_dead(stream);
    }
    return true;
}

static struct linger_entry *linger_entry_new(struct lingering *all, struct stream *stream, enum linger_how how)
{
    struct linger_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    entry->all = all;
    entry->stream = stream;
    entry->how = how;
    entry->step = how == LINGER_FOR_END ? LOOK_S : RESET_FIRST_S;
    entry->moved_at = ev_now(all->loop);
    entry->left = stream_undelivered(stream);
    ev_timer_init(&entry->timer, linger_timer_cb, entry->step, 0.);
    entry->timer.data = entry;
    return entry;
}

void lingering_add(struct lingering *lingering, struct stream *stream, enum linger_how how)
{
    bool reset = true;
    if (is_over(stream, how, &reset)) {
        stream_free(stream, reset);
        return;
    }
    struct linger_entry *entry = linger_entry_new(lingering, stream, how);
    if (!entry) {
        lingering->lost++;
        stream_free(stream, reset);
        return;
    }
    if (lingering->n >= lingering->max)
        lingering_make_room(lingering);
    TAILQ_INSERT_TAIL(&lingering->entries, entry, link);
    lingering->n++;
    if (how == LINGER_FOR_END)
        stream_watch(stream, lingering->loop, STREAM_READABLE, linger_ready_cb, entry);
    ev_timer_start(lingering->loop, &entry->timer);
}

size_t lingering_count(const struct lingering *lingering)
{
    return lingering->n;
}

uint64_t lingering_lost(const struct lingering *lingering)
{
    return lingering->lost;
}
