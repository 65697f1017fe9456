/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/lookup.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/spawn.h"
#include "base/timer.h"

#define ANSWERS_PER_WAKEUP 256
#define ANSWERS_LEFT       (2u * CONF_GROUP_MEMBERS_MAX) /* that are there still when it has ended */

static void close_socket(struct lookup *lookup)
{
    ev_io_stop(lookup->loop, &lookup->readable);
    if (lookup->fd >= 0)
        close(lookup->fd);
    lookup->fd = -1;
}

void lookup_stop(struct lookup *lookup)
{
    ev_timer_stop(lookup->loop, &lookup->limit);
    ev_child_stop(lookup->loop, &lookup->end);
    close_socket(lookup);
    if (lookup->pid > 0) {
        kill(lookup->pid, SIGKILL);
        spawn_reap(lookup->pid, 0);
    }
    lookup->pid = 0;
}

bool lookup_runs(const struct lookup *lookup)
{
    return lookup->pid > 0;
}

/* ---- answers ---- */

/* False: nothing more for now. */
static bool take_answer(struct lookup *lookup)
{
    struct users_answer answer;
    ssize_t n = recv(lookup->fd, &answer, sizeof answer, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n != (ssize_t)sizeof answer) {
        close_socket(lookup);
        return false;
    }
    answer.name[sizeof answer.name - 1] = '\0';
    lookup->answer_cb(&answer, lookup->data);
    return true;
}

/* At most so many: the process has read the network, and the gate has other things to do. */
static void take_answers(struct lookup *lookup, size_t most)
{
    while (most-- > 0 && lookup->fd >= 0 && take_answer(lookup))
        ;
}

static void readable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct lookup *lookup = watcher->data;
    take_answers(lookup, ANSWERS_PER_WAKEUP);
    lookup->settled_cb(false, lookup->data);
}

static void end_cb(struct ev_loop *loop, ev_child *watcher, int revents)
{
    struct lookup *lookup = watcher->data;
    ev_child_stop(loop, watcher);
    ev_timer_stop(loop, &lookup->limit);
    lookup->pid = 0;
    take_answers(lookup, ANSWERS_LEFT);
    close_socket(lookup);
    if (watcher->rstatus != 0 && !lookup->overdue)
        spawn_log_end("the lookup of users", watcher->rpid, watcher->rstatus);
    lookup->settled_cb(true, lookup->data);
}

static void limit_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct lookup *lookup = watcher->data;
    log_warning("users: the lookup has taken more than %d s and is given up", (int)LOOKUP_LIMIT_S);
    lookup->overdue = true;
    kill(lookup->pid, SIGKILL); /* end_cb() follows */
}

/* ---- doors ---- */

void lookup_init(struct lookup *lookup, struct ev_loop *loop, const char *program, lookup_answer_cb *answer_cb,
                 lookup_settled_cb *settled_cb, void *data)
{
    *lookup = (struct lookup){
        .loop = loop, .program = program, .answer_cb = answer_cb, .settled_cb = settled_cb, .data = data, .fd = -1};
    ev_timer_init(&lookup->limit, limit_cb, 0., 0.);
    ev_init(&lookup->readable, readable_cb);
    ev_init(&lookup->end, end_cb);
    lookup->limit.data = lookup->readable.data = lookup->end.data = lookup;
}

/* One message; its socket has room for the longest. */
static int ask(struct lookup *lookup, const struct users_question *question)
{
    size_t length = offsetof(struct users_question, names) + question->n * sizeof question->names[0];
    assert(question->n <= CONF_UNKNOWN_USERS_MAX && question->n_uids <= USERS_UIDS_MAX);
    return send(lookup->fd, question, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -errno;
}

int lookup_start(struct lookup *lookup, const struct users_question *question)
{
    const int none[SPAWN_FDS] = {-1, -1, -1};
    assert(!lookup_runs(lookup));
    int r = spawn_child(lookup->program, "users", none, &lookup->pid, &lookup->fd);
    if (r < 0)
        return r;
    lookup->overdue = false;
    ev_child_set(&lookup->end, lookup->pid, 0);
    ev_child_start(lookup->loop, &lookup->end);
    ev_io_set(&lookup->readable, lookup->fd, EV_READ);
    ev_io_start(lookup->loop, &lookup->readable);
    timer_arm(lookup->loop, &lookup->limit, LOOKUP_LIMIT_S);
    r = ask(lookup, question);
    if (r < 0)
        lookup_stop(lookup);
    return r;
}
