/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/linger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define END_LIMIT_S     2.
#define RESET_LIMIT_S   5.
#define RESET_FIRST_S   0.005 /* then doubling */
#define DROPPED_AT_ONCE 16384
#define DROPS_PER_TURN  16

struct linger_entry {
    struct lingering *all;
    struct linger_entry *previous, *next;
    struct stream *stream;
    struct settings *settings;
    enum linger_how how;
    ev_io io;
    ev_timer timer;
    double waited, step;
};

struct lingering {
    struct ev_loop *loop;
    struct linger_entry *first;
    size_t n, max;
};

static void entry_free(struct linger_entry *entry, bool reset)
{
    struct lingering *all = entry->all;
    ev_io_stop(all->loop, &entry->io);
    ev_timer_stop(all->loop, &entry->timer);
    stream_free(entry->stream, reset);
    settings_unref(entry->settings);
    if (entry->previous)
        entry->previous->next = entry->next;
    else
        all->first = entry->next;
    if (entry->next)
        entry->next->previous = entry->previous;
    all->n--;
    free(entry);
}

/* True: over, *ret_reset says how to close. */
static bool end_is_here(int fd, bool *ret_reset)
{
    char dropped[DROPPED_AT_ONCE]; /* of TCP, MSG_TRUNC copies nothing into it (tcp(7)) */
    for (int i = 0; i < DROPS_PER_TURN; i++) {
        ssize_t n = recv(fd, dropped, sizeof dropped, MSG_TRUNC);
        if (n > 0)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
        *ret_reset = n < 0;
        return true;
    }
    return false;
}

static bool all_delivered(int fd)
{
    int left;
    return ioctl(fd, SIOCOUTQ, &left) < 0 || left == 0;
}

static void entry_io_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct linger_entry *entry = io->data;
    bool reset;
    if (end_is_here(entry->stream->fd, &reset))
        entry_free(entry, reset);
}

static void entry_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct linger_entry *entry = timer->data;
    entry->waited += entry->step;
    if (entry->how == LINGER_FOR_END || entry->waited >= RESET_LIMIT_S || all_delivered(entry->stream->fd)) {
        entry_free(entry, true);
        return;
    }
    entry->step *= 2;
    ev_timer_set(timer, entry->step, 0.);
    ev_timer_start(loop, timer);
}

struct lingering *lingering_new(struct ev_loop *loop, size_t max)
{
    struct lingering *all = calloc(1, sizeof *all);
    if (all) {
        all->loop = loop;
        all->max = max;
    }
    return all;
}

void lingering_free(struct lingering *lingering)
{
    if (!lingering)
        return;
    while (lingering->first)
        entry_free(lingering->first, lingering->first->how == LINGER_THEN_RESET);
    free(lingering);
}

static void lingering_insert(struct lingering *all, struct linger_entry *entry)
{
    entry->all = all;
    entry->next = all->first;
    if (all->first)
        all->first->previous = entry;
    all->first = entry;
    all->n++;
}

/* True: there is nothing to wait for, *ret_reset says how to close. */
static bool is_over(const struct stream *stream, enum linger_how how, bool *ret_reset)
{
    switch (how) {
    case LINGER_FOR_END:
        *ret_reset = false;
        return end_is_here(stream->fd, ret_reset);
    case LINGER_THEN_RESET:
        *ret_reset = true;
        return all_delivered(stream->fd);
    }
    return true;
}

void lingering_add(struct lingering *lingering, struct stream *stream, struct settings *settings, enum linger_how how)
{
    bool reset = true;
    struct linger_entry *entry;
    if (is_over(stream, how, &reset) || lingering->n >= lingering->max || !(entry = calloc(1, sizeof *entry))) {
        stream_free(stream, reset);
        return;
    }
    entry->stream = stream;
    entry->settings = settings ? settings_ref(settings) : NULL;
    entry->how = how;
    entry->step = how == LINGER_FOR_END ? END_LIMIT_S : RESET_FIRST_S;
    lingering_insert(lingering, entry);
    ev_io_init(&entry->io, entry_io_cb, stream->fd, EV_READ);
    ev_timer_init(&entry->timer, entry_timer_cb, entry->step, 0.);
    entry->io.data = entry->timer.data = entry;
    if (how == LINGER_FOR_END)
        ev_io_start(lingering->loop, &entry->io);
    ev_timer_start(lingering->loop, &entry->timer);
}

size_t lingering_count(const struct lingering *lingering)
{
    return lingering->n;
}
