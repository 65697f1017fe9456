/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/link/warm.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/timer.h"

struct warm_link {
    TAILQ_ENTRY(warm_link) among;
    struct warm *warm;
    struct link *link;
    struct warm_key key;
    ev_tstamp since;
};

TAILQ_HEAD(warm_list, warm_link);

struct warm {
    struct ev_loop *loop;
    struct warm_list links; /* used last first */
    size_t n, max;
    double rest_s;
    ev_timer timer; /* for the last of them */
};

/* ---- the list ---- */

static void warm_set_timer(struct warm *warm)
{
    const struct warm_link *last = TAILQ_LAST(&warm->links, warm_list);
    ev_timer_stop(warm->loop, &warm->timer);
    if (last)
        timer_arm(warm->loop, &warm->timer, last->since + warm->rest_s - ev_now(warm->loop));
}

static struct link *warm_remove(struct warm_link *entry)
{
    struct warm *warm = entry->warm;
    struct link *link = entry->link;
    assert(warm->n > 0);
    stream_watch(link_stream(link), warm->loop, 0, NULL, NULL);
    TAILQ_REMOVE(&warm->links, entry, among);
    warm->n--;
    free(entry);
    return link;
}

/* A reset costs nobody a TIME_WAIT, and there is nothing left to say. */
static void warm_close(struct warm_link *entry)
{
    link_free(warm_remove(entry));
}

/* ---- events ---- */

static void warm_ready_cb(int events, void *data)
{
    struct warm_link *entry = data;
    struct warm *warm = entry->warm;
    warm_close(entry);
    warm_set_timer(warm);
}

static void warm_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct warm *warm = timer->data;
    struct warm_link *last = TAILQ_LAST(&warm->links, warm_list);
    while (last && last->since + warm->rest_s <= ev_now(loop)) {
        warm_close(last);
        last = TAILQ_LAST(&warm->links, warm_list);
    }
    warm_set_timer(warm);
}

/* ---- life ---- */

struct warm *warm_new(struct ev_loop *loop, size_t max, double rest_s)
{
    struct warm *warm = calloc(1, sizeof *warm);
    if (!warm)
        return NULL;
    warm->loop = loop;
    warm->max = max;
    warm->rest_s = rest_s;
    TAILQ_INIT(&warm->links);
    ev_init(&warm->timer, warm_timer_cb);
    warm->timer.data = warm;
    return warm;
}

void warm_free(struct warm *warm)
{
    if (!warm)
        return;
    while (!TAILQ_EMPTY(&warm->links))
        warm_close(TAILQ_FIRST(&warm->links));
    ev_timer_stop(warm->loop, &warm->timer);
    free(warm);
}

void warm_put(struct warm *warm, const struct warm_key *key, struct link *link)
{
    struct warm_link *entry = warm->max > 0 ? calloc(1, sizeof *entry) : NULL;
    if (!entry) {
        link_free(link);
        return;
    }
    if (warm->n == warm->max)
        warm_close(TAILQ_LAST(&warm->links, warm_list));
    entry->warm = warm;
    entry->link = link;
    entry->key = *key;
    entry->since = ev_now(warm->loop);
    TAILQ_INSERT_HEAD(&warm->links, entry, among);
    warm->n++;
    stream_watch(link_stream(link), warm->loop, STREAM_READABLE, warm_ready_cb, entry);
    warm_set_timer(warm);
}

/* TLS may have read a byte too many already, which no poll sees. */
static bool is_silent(const struct link *link)
{
    struct stream *stream = link_stream(link);
    return !stream_pending(stream) && stream_look(stream) == STREAM_AGAIN_READ;
}

struct link *warm_take(struct warm *warm, const struct warm_key *key, double fresh_s)
{
    struct warm_link *next;
    struct link *taken = NULL;
    for (struct warm_link *entry = TAILQ_FIRST(&warm->links); entry && !taken; entry = next) {
        next = TAILQ_NEXT(entry, among);
        if (entry->key.way != key->way || entry->key.uid != key->uid || entry->key.cgroup != key->cgroup)
            continue;
        if (ev_now(warm->loop) - entry->since >= fresh_s)
            break;
        if (is_silent(entry->link))
            taken = warm_remove(entry);
        else
            warm_close(entry);
    }
    warm_set_timer(warm);
    return taken;
}

void warm_keep_way(struct warm *warm, uint64_t way)
{
    struct warm_link *next;
    for (struct warm_link *entry = TAILQ_FIRST(&warm->links); entry; entry = next) {
        next = TAILQ_NEXT(entry, among);
        if (entry->key.way != way)
            warm_close(entry);
    }
    warm_set_timer(warm);
}

size_t warm_count(const struct warm *warm)
{
    return warm->n;
}
