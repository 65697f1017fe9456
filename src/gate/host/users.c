/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/users.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/timer.h"
#include "gate/host/users_wire.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 300000
#define LIMIT_S      60. /* of one process: SSSD waits that long for a server that is away */

struct users {
    struct ev_loop *loop;
    const char *program;
    struct event_sink sink;
    struct conf *conf;
    struct backoff backoff;
    bool told;             /* that there are unknown ones in this configuration */
    ev_timer pause, limit; /* between two processes, and of the one that runs */
    ev_io readable;
    ev_child end;
    bool overdue;
    pid_t pid; /* 0: none runs */
    int fd;    /* to it, -1: none, or it has said all */
};

/* ---- the process ---- */

static void close_socket(struct users *users)
{
    ev_io_stop(users->loop, &users->readable);
    if (users->fd >= 0)
        close(users->fd);
    users->fd = -1;
}

/* Its answers would be about another configuration. */
static void abandon(struct users *users)
{
    ev_timer_stop(users->loop, &users->pause);
    ev_timer_stop(users->loop, &users->limit);
    ev_child_stop(users->loop, &users->end);
    close_socket(users);
    if (users->pid > 0) {
        kill(users->pid, SIGKILL);
        spawn_reap(users->pid, 0);
    }
    users->pid = 0;
}

static void pause_before_next(struct users *users)
{
    timer_arm(users->loop, &users->pause, backoff_next(&users->backoff) / 1000.);
}

/* All names in one message; it has room for all that a configuration can hold. */
static int send_names(struct users *users)
{
    struct users_question question = {.n = 0};
    struct conf_user *user = NULL;
    size_t length;
    while ((user = conf_next_unknown_user(users->conf, user))) {
        assert(question.n < CONF_UNKNOWN_USERS_MAX && strlen(user->name) < sizeof question.names[0]);
        strcpy(question.names[question.n++], user->name);
    }
    length = offsetof(struct users_question, names) + question.n * sizeof question.names[0];
    return send(users->fd, &question, length, MSG_NOSIGNAL) == (ssize_t)length ? 0 : -errno;
}

static int start_process(struct users *users)
{
    const int none[SPAWN_FDS] = {-1, -1, -1};
    int r = spawn_child(users->program, "users", none, &users->pid, &users->fd);
    if (r < 0)
        return r;
    users->overdue = false;
    ev_child_set(&users->end, users->pid, 0);
    ev_child_start(users->loop, &users->end);
    ev_io_set(&users->readable, users->fd, EV_READ);
    ev_io_start(users->loop, &users->readable);
    timer_arm(users->loop, &users->limit, LIMIT_S);
    r = send_names(users);
    if (r < 0)
        abandon(users);
    return r;
}

static void look_up(struct users *users)
{
    int r;
    if (!conf_next_unknown_user(users->conf, NULL))
        return;
    r = start_process(users);
    if (r < 0) {
        log_error("users cannot be looked up: %s", strerror(-r));
        pause_before_next(users);
    }
}

/* ---- answers ---- */

/* False: nothing more for now. What comes from the process, which reads the network, is a number of a name at most. */
static bool take_answer(struct users *users, bool *found)
{
    struct users_answer answer;
    ssize_t n = recv(users->fd, &answer, sizeof answer, MSG_DONTWAIT);
    struct conf_user *user = NULL;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n != (ssize_t)sizeof answer) {
        close_socket(users);
        return false;
    }
    answer.name[sizeof answer.name - 1] = '\0';
    while ((user = conf_next_unknown_user(users->conf, user)) && strcmp(user->name, answer.name) != 0)
        ;
    if (user && answer.uid != CONF_UID_UNKNOWN) {
        user->uid = answer.uid;
        *found = true;
        log_notice("user %s is known now: %u", user->name, (unsigned)user->uid);
    }
    return true;
}

static void take_answers(struct users *users)
{
    bool found = false;
    while (users->fd >= 0 && take_answer(users, &found))
        ;
    if (found)
        users->sink.event_cb(&(struct event){.type = EVENT_USERS_KNOWN}, users->sink.data);
}

static void readable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    take_answers(watcher->data);
}

static void tell_unknown(struct users *users)
{
    struct conf_user *user = NULL;
    if (users->told)
        return;
    while ((user = conf_next_unknown_user(users->conf, user)))
        log_warning("user %s cannot be looked up: no rule for it until it can be", user->name);
    users->told = true;
}

static void end_cb(struct ev_loop *loop, ev_child *watcher, int revents)
{
    struct users *users = watcher->data;
    ev_child_stop(loop, watcher);
    ev_timer_stop(loop, &users->limit);
    users->pid = 0;
    take_answers(users);
    close_socket(users);
    if (watcher->rstatus != 0 && !users->overdue)
        spawn_log_end("the lookup of users", watcher->rpid, watcher->rstatus);
    if (!conf_next_unknown_user(users->conf, NULL))
        return;
    tell_unknown(users);
    pause_before_next(users);
}

static void limit_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct users *users = watcher->data;
    log_warning("users: the lookup has taken more than %d s and is given up", (int)LIMIT_S);
    users->overdue = true;
    kill(users->pid, SIGKILL); /* end_cb() follows */
}

static void pause_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    look_up(watcher->data);
}

/* ---- doors ---- */

struct users *users_new(struct ev_loop *loop, const char *program, const struct event_sink *sink)
{
    struct users *users = calloc(1, sizeof *users);
    if (!users)
        return NULL;
    *users = (struct users){.loop = loop, .program = program, .sink = *sink, .fd = -1};
    backoff_init(&users->backoff, PAUSE_MIN_MS, PAUSE_MAX_MS);
    ev_timer_init(&users->pause, pause_cb, 0., 0.);
    ev_timer_init(&users->limit, limit_cb, 0., 0.);
    ev_init(&users->readable, readable_cb);
    ev_init(&users->end, end_cb);
    users->pause.data = users->limit.data = users->readable.data = users->end.data = users;
    return users;
}

void users_set_conf(struct users *users, struct conf *conf)
{
    abandon(users);
    users->conf = conf;
    users->told = false;
    backoff_reset(&users->backoff);
    look_up(users);
}

void users_free(struct users *users)
{
    if (!users)
        return;
    abandon(users);
    free(users);
}
