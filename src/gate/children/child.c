/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/children/child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/timer.h"

#define MESSAGES_PER_WAKEUP 64 /* then the loop's other watchers have their turn */
#define TERMINATE_SECONDS   1.0
#define MISSED_PINGS_MAX    2

enum child_state {
    CHILD_STATE_DOWN,        /* no process; the timer starts the next, unless retired */
    CHILD_STATE_CONFIGURING, /* the timer kills it */
    CHILD_STATE_UP,          /* the timer pings it */
    CHILD_STATE_REFUSING,    /* could not use its configuration; the timer offers it again */
    CHILD_STATE_ENDING,      /* told to end or killed, not reaped yet; the timer kills it */
};

enum due { DUE_CONF = 1, DUE_ROUTE = 2, DUE_TEST = 4, DUE_REQUEST = 8, DUE_PING = 16 };

struct child {
    const struct child_setup *setup;
    enum child_role role;
    uint32_t index;
    char name[16];
    enum child_state state;
    bool retired; /* not to be restarted */
    bool asked;   /* to end; its death is no news */
    bool usable;
    pid_t pid;
    int fd;
    ev_io readable, writable;
    ev_timer timer;
    ev_child reaper;
    struct backoff backoff, offers; /* of its starts; of a configuration that it refused */
    ev_tstamp started;

    int conf_fd; /* of the owner */
    uint64_t serial;
    char complaint[DETAIL_MAX];
    unsigned due; /* enum due, what is to be sent */
    struct route route;
    uint64_t test_id, request_id, ping_id;
    unsigned unanswered; /* pings */

    int stats_fd;
    struct stats *stats;
};

static void enter(struct child *child, enum child_state state, double timer)
{
    child->state = state;
    ev_timer_stop(child->setup->loop, &child->timer);
    if (timer >= 0)
        timer_arm(child->setup->loop, &child->timer, timer);
}

static bool connected(const struct child *child)
{
    return child->state == CHILD_STATE_CONFIGURING || child->state == CHILD_STATE_UP ||
           child->state == CHILD_STATE_REFUSING;
}

/* ---- to the child ---- */

static int send_conf(struct child *child)
{
    struct ipc_message message;
    char path[32];
    int fd, r;
    ipc_begin(&message, IPC_CONF);
    message.conf.serial = child->serial;
    message.conf.index = child->index;
    /* Opened anew, and for reading only: each child has its own file offset. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", child->conf_fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = ipc_send(child->fd, &message, fd);
    close(fd);
    return r;
}

static int send_one(struct child *child, enum due what)
{
    struct ipc_message message;
    switch (what) {
    case DUE_CONF:
        return send_conf(child);
    case DUE_ROUTE:
        ipc_begin(&message, IPC_ROUTE);
        message.route = child->route;
        break;
    case DUE_TEST:
        ipc_begin(&message, IPC_TEST);
        message.test.test_id = child->test_id;
        break;
    case DUE_REQUEST:
        ipc_begin(&message, child->role == CHILD_PROBER ? IPC_ALLOWED : IPC_SESSIONS);
        message.request.id = child->request_id;
        break;
    case DUE_PING:
        ipc_begin(&message, IPC_PING);
        message.request.id = child->ping_id;
        break;
    }
    return ipc_send(child->fd, &message, -1);
}

/* Sends what is due, the configuration first. A child that is gone shows as end of file in readable_cb. */
static void flush_due(struct child *child)
{
    static const enum due order[] = {DUE_CONF, DUE_ROUTE, DUE_TEST, DUE_REQUEST, DUE_PING};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!(child->due & order[i]))
            continue;
        int r = send_one(child, order[i]);
        if (r == -EAGAIN) {
            ev_io_start(child->setup->loop, &child->writable);
            return;
        }
        child->due &= ~(unsigned)order[i];
        if (r < 0 && r != -EPIPE) {
            log_error("%s: cannot send: %s", child->name, strerror(-r));
            child_kill(child, "it cannot be told what to do");
            return;
        }
    }
    ev_io_stop(child->setup->loop, &child->writable);
}

static void send_due(struct child *child, enum due what)
{
    assert(connected(child));
    child->due |= (unsigned)what;
    flush_due(child);
}

static void offer_conf(struct child *child)
{
    enter(child, CHILD_STATE_CONFIGURING, child->setup->timing.configure);
    send_due(child, DUE_CONF);
}

/* ---- life and death ---- */

static void schedule_restart(struct child *child)
{
    bool young = ev_now(child->setup->loop) - child->started < child->setup->timing.young;
    if (child->retired) {
        enter(child, CHILD_STATE_DOWN, -1);
        return;
    }
    if (!young)
        backoff_reset(&child->backoff);
    enter(child, CHILD_STATE_DOWN, young ? backoff_next(&child->backoff) / 1000. : 0.);
}

static int spawn(struct child *child)
{
    bool relay = child->role == CHILD_RELAY;
    const int *listeners = child->setup->listeners->fds;
    const int fds[] = {child->stats_fd, child->setup->shares_fd, listeners[LISTENER_IPV4], listeners[LISTENER_IPV6]};
    static const int none[] = {-1, -1, -1, -1};
    return spawn_child(child->setup->program, relay ? "relay" : "prober", relay ? fds : none, &child->pid, &child->fd);
}

static void start(struct child *child)
{
    struct ev_loop *loop = child->setup->loop;
    ev_now_update(loop);
    child->started = ev_now(loop);
    int r = spawn(child);
    if (r < 0) {
        log_error("%s: cannot be started: %s", child->name, strerror(-r));
        schedule_restart(child);
        return;
    }
    ev_child_set(&child->reaper, child->pid, 0);
    ev_child_start(loop, &child->reaper);
    ev_io_set(&child->readable, child->fd, EV_READ);
    ev_io_set(&child->writable, child->fd, EV_WRITE);
    ev_io_start(loop, &child->readable);
    child->asked = false;
    child->unanswered = 0;
    child->due = 0;
    backoff_reset(&child->offers);
    offer_conf(child);
}

static void disconnect(struct child *child)
{
    ev_io_stop(child->setup->loop, &child->readable);
    ev_io_stop(child->setup->loop, &child->writable);
    if (child->fd >= 0)
        close(child->fd);
    child->fd = -1;
    child->due = 0;
    child->usable = false;
    child->complaint[0] = '\0';
}

static void tell(struct child *child, enum event_type type, const struct ipc_message *message)
{
    const struct event event = {.type = type, .child = child, .message = message};
    child->setup->sink.event_cb(&event, child->setup->sink.data);
}

/* Its end of the socket is gone, or it is no longer to be believed. */
static void lose(struct child *child)
{
    assert(connected(child));
    disconnect(child);
    kill(child->pid, SIGKILL);
    enter(child, CHILD_STATE_ENDING, -1);
    tell(child, EVENT_CHILD_LOST, NULL);
}

void child_kill(struct child *child, const char *why)
{
    if (child->pid == 0)
        return;
    log_error("%s (pid %d) is killed: %s", child->name, (int)child->pid, why);
    kill(child->pid, SIGKILL); /* end of file follows */
}

static void reaped_cb(struct ev_loop *loop, ev_child *watcher, int revents)
{
    struct child *child = watcher->data;
    bool was_connected = connected(child);
    if (!child->asked)
        spawn_log_end(child->name, child->pid, watcher->rstatus);
    ev_child_stop(loop, watcher);
    disconnect(child);
    child->pid = 0;
    if (child->role == CHILD_RELAY) {
        stats_zero_gauges(child->stats);
        shares_clear_row(&child->setup->shares->rows[child->index]);
    }
    schedule_restart(child);
    if (was_connected)
        tell(child, EVENT_CHILD_LOST, NULL);
}

static void ping(struct child *child)
{
    if (child->unanswered >= MISSED_PINGS_MAX) {
        child_kill(child, "it does not answer");
        enter(child, CHILD_STATE_UP, -1);
        return;
    }
    child->unanswered++;
    child->ping_id++;
    enter(child, CHILD_STATE_UP, child->setup->timing.ping);
    send_due(child, DUE_PING);
}

static void timer_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct child *child = watcher->data;
    switch (child->state) {
    case CHILD_STATE_DOWN:
        start(child);
        break;
    case CHILD_STATE_CONFIGURING:
        child_kill(child, "it did not take its configuration in time");
        break;
    case CHILD_STATE_UP:
        ping(child);
        break;
    case CHILD_STATE_REFUSING:
        offer_conf(child);
        break;
    case CHILD_STATE_ENDING:
        kill(child->pid, SIGKILL);
        break;
    }
}

/* ---- from the child ---- */

static bool take_conf_done(struct child *child, const struct ipc_message *message)
{
    const struct ipc_conf_done *done = &message->conf_done;
    if (done->serial > child->serial)
        return false;
    if (child->state != CHILD_STATE_CONFIGURING || done->serial < child->serial)
        return true; /* to a configuration that is outdated already */
    /* The prober can always test; without keys every authentication fails, with the reason. */
    child->usable = child->usable || done->ok || child->role == CHILD_PROBER;
    snprintf(child->complaint, sizeof child->complaint, "%s", done->detail);
    if (done->ok)
        enter(child, CHILD_STATE_UP, child->setup->timing.ping);
    else
        enter(child, CHILD_STATE_REFUSING, backoff_next(&child->offers) / 1000.);
    tell(child, EVENT_MESSAGE, message);
    return true;
}

static bool take_pong(struct child *child, uint64_t id)
{
    if (id == 0 || id > child->ping_id)
        return false;
    if (id == child->ping_id)
        child->unanswered = 0;
    return true;
}

/* False: not a message that this child may send. */
static bool take_message(struct child *child, const struct ipc_message *message)
{
    if (message->type == IPC_CONF_DONE)
        return take_conf_done(child, message);
    if (message->type == IPC_PONG)
        return take_pong(child, message->request.id);
    if (!ipc_may_say(message->type, child->role == CHILD_RELAY))
        return false;
    tell(child, EVENT_MESSAGE, message);
    return true;
}

static void readable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct child *child = watcher->data;
    struct ipc_message message;
    /* A callback may have ended the child or given it another life. */
    for (int i = 0; i < MESSAGES_PER_WAKEUP && connected(child) && ev_is_active(watcher); i++) {
        int passed = -1;
        int r = ipc_receive(child->fd, &message, &passed);
        if (r == 0)
            return;
        if (passed >= 0)
            close(passed);
        if (r < 0 || passed >= 0 || !take_message(child, &message)) {
            if (r != -EPIPE)
                log_error("%s (pid %d) sent what it may not send", child->name, (int)child->pid);
            lose(child);
            return;
        }
    }
}

static void writable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    flush_due(watcher->data);
}

/* ---- for the owner ---- */

struct child *child_new(const struct child_setup *setup, enum child_role role, uint32_t index)
{
    struct child *child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    *child = (struct child){.setup = setup, .role = role, .index = index, .fd = -1, .stats_fd = -1, .conf_fd = -1};
    if (role == CHILD_RELAY && stats_create(&child->stats_fd, &child->stats) < 0) {
        free(child);
        return NULL;
    }
    if (role == CHILD_PROBER)
        snprintf(child->name, sizeof child->name, "prober");
    else
        snprintf(child->name, sizeof child->name, "relay %u", index % 1000);
    backoff_init(&child->backoff, setup->timing.restart_first_ms, setup->timing.restart_max_ms);
    backoff_init(&child->offers, setup->timing.restart_first_ms, setup->timing.restart_max_ms);
    ev_io_init(&child->readable, readable_cb, -1, EV_READ);
    ev_io_init(&child->writable, writable_cb, -1, EV_WRITE);
    ev_timer_init(&child->timer, timer_cb, 0., 0.);
    ev_child_init(&child->reaper, reaped_cb, 0, 0);
    child->readable.data = child->writable.data = child->timer.data = child->reaper.data = child;
    return child;
}

void child_set_conf(struct child *child, int conf_fd, uint64_t serial)
{
    child->conf_fd = conf_fd;
    child->serial = serial;
    child->complaint[0] = '\0';
    backoff_reset(&child->offers);
    if (child->state == CHILD_STATE_REFUSING)
        enter(child, CHILD_STATE_UP, child->setup->timing.ping);
}

void child_configure(struct child *child, int conf_fd, uint64_t serial)
{
    child->retired = false;
    child_set_conf(child, conf_fd, serial);
    if (connected(child))
        offer_conf(child);
    else if (child->state == CHILD_STATE_DOWN && !ev_is_active(&child->timer))
        start(child);
    /* Else it is about to be started, and will get this one. */
}

void child_terminate(struct child *child)
{
    if (child->pid == 0)
        return;
    child->asked = true;
    kill(child->pid, SIGTERM);
    disconnect(child);
    enter(child, CHILD_STATE_ENDING, TERMINATE_SECONDS);
}

void child_retire(struct child *child)
{
    child->retired = true;
    if (child->state == CHILD_STATE_DOWN)
        enter(child, CHILD_STATE_DOWN, -1);
    else
        child_terminate(child);
}

void child_free(struct child *child, int64_t deadline)
{
    if (!child)
        return;
    child_terminate(child);
    ev_timer_stop(child->setup->loop, &child->timer);
    ev_child_stop(child->setup->loop, &child->reaper);
    if (child->pid > 0)
        spawn_reap(child->pid, deadline);
    stats_unmap(child->stats);
    if (child->stats_fd >= 0)
        close(child->stats_fd);
    free(child);
}

void child_tell(struct child *child, const struct ipc_message *message)
{
    if (connected(child))
        (void)ipc_send(child->fd, message, -1);
}

bool child_usable(const struct child *child)
{
    return child->usable;
}

bool child_configuring(const struct child *child)
{
    return child->state == CHILD_STATE_CONFIGURING;
}

const char *child_name(const struct child *child)
{
    return child->name;
}

const char *child_complaint(const struct child *child)
{
    return child->complaint;
}

enum child_role child_role(const struct child *child)
{
    return child->role;
}

const struct stats *child_stats(const struct child *child)
{
    return child->stats;
}

void child_send_route(struct child *child, const struct route *route)
{
    assert(child->usable);
    child->route = *route;
    send_due(child, DUE_ROUTE);
}

void child_send_test(struct child *child, uint64_t test_id)
{
    assert(child->usable);
    child->test_id = test_id;
    send_due(child, DUE_TEST);
}

void child_send_request(struct child *child, uint64_t request_id)
{
    assert(child->usable);
    child->request_id = request_id;
    send_due(child, DUE_REQUEST);
}
