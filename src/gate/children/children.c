/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/children/children.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "base/spawn.h"
#include "base/timer.h"
#include "gate/children/listeners.h"

#define LIST_SECONDS    5.0
#define END_MS          1000
#define LISTEN_FIRST_MS 100
#define LISTEN_MAX_MS   2000

struct children {
    struct child_setup setup;
    struct event_sink sink;
    int conf_fd; /* the effective configuration, sealed */
    int try_fd;  /* the one that the prober tries; -1: none */
    uint64_t serial;
    uint16_t listen_port;
    struct child *prober;
    struct child *relays[CONF_RELAYS_MAX]; /* those from n_relays on are retired */
    unsigned n_relays;
    struct route route;
    struct listeners listeners;
    char listen_error[DETAIL_MAX]; /* empty: none */
    struct backoff listen_backoff;
    ev_timer listen_timer;

    uint64_t list_id; /* 0: no list is being made */
    bool list_open[CONF_RELAYS_MAX];
    ev_timer list_timer;
};

/* ---- what the children say ---- */

static unsigned count_ready(const struct children *children)
{
    unsigned ready = 0;
    for (unsigned i = 0; i < children->n_relays; i++)
        ready += child_usable(children->relays[i]);
    return ready;
}

/* CONF_RELAYS_MAX: not one of those in use. */
static unsigned find_relay(const struct children *children, const struct child *relay)
{
    for (unsigned i = 0; i < children->n_relays; i++)
        if (children->relays[i] == relay)
            return i;
    return CONF_RELAYS_MAX;
}

static void end_list(struct children *children)
{
    struct ipc_message message = {.type = IPC_SESSIONS_END, .request.id = children->list_id};
    const struct event event = {.type = EVENT_MESSAGE, .message = &message};
    ev_timer_stop(children->setup.loop, &children->list_timer);
    children->list_id = 0;
    children->sink.event_cb(&event, children->sink.data);
}

static void end_list_of(struct children *children, const struct child *relay)
{
    unsigned index = find_relay(children, relay);
    if (children->list_id == 0)
        return;
    if (index < CONF_RELAYS_MAX)
        children->list_open[index] = false;
    for (unsigned i = 0; i < children->n_relays; i++)
        if (children->list_open[i])
            return;
    end_list(children);
}

static void list_timeout_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    end_list(watcher->data);
}

/* One of the list that is being made, from a relay that has not ended it. */
static bool is_listed(const struct children *children, const struct child *relay, uint64_t list_id)
{
    unsigned index = find_relay(children, relay);
    return children->list_id != 0 && list_id == children->list_id && index < CONF_RELAYS_MAX &&
           children->list_open[index];
}

/* False: it is not for the gate. */
static bool take_message(struct children *children, struct child *child, const struct ipc_message *message)
{
    if (message->type == IPC_SESSION)
        return is_listed(children, child, message->session.request_id);
    if (message->type == IPC_SUM)
        return is_listed(children, child, message->sum.request_id);
    if (message->type == IPC_SESSIONS_END) {
        if (message->request.id == children->list_id)
            end_list_of(children, child);
        return false;
    }
    if (message->type == IPC_CONF_DONE && child_role(child) == CHILD_RELAY && child_usable(child))
        child_send_route(child, &children->route);
    return true;
}

static void child_event_cb(const struct event *event, void *data)
{
    struct children *children = data;
    assert(event->type == EVENT_MESSAGE || event->type == EVENT_CHILD_LOST);
    if (event->type == EVENT_MESSAGE && !take_message(children, event->child, event->message))
        return;
    children->sink.event_cb(event, children->sink.data);
    if (event->type == EVENT_CHILD_LOST && child_role(event->child) == CHILD_RELAY)
        end_list_of(children, event->child);
}

/* ---- configuration ---- */

static void listen_cb(struct ev_loop *loop, ev_timer *watcher, int revents);

static void free_shares(struct children *children)
{
    shares_unmap(children->setup.shares);
    if (children->setup.shares_fd >= 0)
        close(children->setup.shares_fd);
}

struct children *children_new(struct ev_loop *loop, const char *program, const struct event_sink *sink)
{
    struct children *children = calloc(1, sizeof *children);
    assert(ev_is_default_loop(loop));
    if (!children)
        return NULL;
    children->setup = (struct child_setup){
        .loop = loop,
        .program = program,
        .sink = {.event_cb = child_event_cb, .data = children},
        .timing = {.restart_first_ms = 100, .restart_max_ms = 10000, .young = 10., .configure = 10., .ping = 10.},
        .shares_fd = -1,
    };
    children->sink = *sink;
    children->conf_fd = children->try_fd = -1;
    children->route.mode = ROUTE_CLOSED;
    listeners_init(&children->listeners);
    children->setup.listeners = &children->listeners;
    backoff_init(&children->listen_backoff, LISTEN_FIRST_MS, LISTEN_MAX_MS);
    ev_timer_init(&children->listen_timer, listen_cb, 0., 0.);
    children->listen_timer.data = children;
    ev_timer_init(&children->list_timer, list_timeout_cb, 0., 0.);
    children->list_timer.data = children;
    if (shares_create(&children->setup.shares_fd, &children->setup.shares) == 0)
        children->prober = child_new(&children->setup, CHILD_PROBER, 0);
    if (!children->prober) {
        free_shares(children);
        free(children);
        return NULL;
    }
    return children;
}

void children_set_timing(struct children *children, const struct child_timing *timing)
{
    assert(children->conf_fd < 0);
    children->setup.timing = *timing;
}

static unsigned wanted_relays(const struct conf *conf)
{
    cpu_set_t cpus;
    int n = 1;
    if (conf->relays > 0)
        return conf->relays < CONF_RELAYS_MAX ? conf->relays : CONF_RELAYS_MAX;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
        n = CPU_COUNT(&cpus);
    return n < 1 ? 1 : n < CONF_RELAYS_MAX ? (unsigned)n : CONF_RELAYS_MAX;
}

/* Objects for the first n relays. 0 or -ENOMEM; what was made stays for the next try. */
static int make_relays(struct children *children, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!children->relays[i])
            children->relays[i] = child_new(&children->setup, CHILD_RELAY, i);
        if (!children->relays[i])
            return -ENOMEM;
    }
    return 0;
}

static void start_relays(struct children *children)
{
    for (unsigned i = 0; i < children->n_relays; i++)
        child_configure(children->relays[i], children->conf_fd, children->serial);
}

/* Without the port there are no relays; it is tried again until it is free. */
static void listen_or_wait(struct children *children)
{
    char error[DETAIL_MAX];
    ev_timer_stop(children->setup.loop, &children->listen_timer);
    if (listeners_open(&children->listeners, children->listen_port, error) == 0) {
        if (children->listen_error[0] != '\0')
            log_notice("listening on port %u", children->listen_port);
        children->listen_error[0] = '\0';
        backoff_reset(&children->listen_backoff);
        start_relays(children);
        return;
    }
    if (strcmp(error, children->listen_error) != 0)
        log_error("%s", error);
    memcpy(children->listen_error, error, sizeof error);
    timer_arm(children->setup.loop, &children->listen_timer, backoff_next(&children->listen_backoff) / 1000.);
}

static void listen_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    listen_or_wait(watcher->data);
}

int children_configure(struct children *children, const struct conf *conf)
{
    unsigned n = wanted_relays(conf);
    bool move = children->n_relays > 0 && conf->listen_port != children->listen_port;
    int fd = -1;
    int r = make_relays(children, n);
    if (r < 0)
        return r;
    r = children->try_fd < 0 ? handover_write(conf, &fd) : 0;
    if (r < 0)
        return r;
    if (children->try_fd >= 0)
        fd = children->try_fd;
    children->try_fd = -1;
    if (children->conf_fd >= 0)
        close(children->conf_fd);
    children->conf_fd = fd;
    children->serial++;
    children->listen_port = conf->listen_port;

    /* A relay gets its listeners at its start. */
    for (unsigned i = move ? 0 : n; i < children->n_relays; i++)
        child_retire(children->relays[i]);
    children->n_relays = n;
    child_configure(children->prober, fd, children->serial);
    listen_or_wait(children);
    return 0;
}

bool children_settled(const struct children *children)
{
    for (unsigned i = 0; i < children->n_relays; i++)
        if (child_configuring(children->relays[i]))
            return false;
    return !child_configuring(children->prober);
}

int children_try(struct children *children, const struct conf *conf, uint64_t *ret_serial)
{
    int fd = -1, r;
    assert(children->try_fd < 0);
    if (!child_usable(children->prober) || child_configuring(children->prober))
        return -EAGAIN;
    r = handover_write(conf, &fd);
    if (r < 0)
        return r;
    children->try_fd = fd;
    children->serial++;
    child_configure(children->prober, fd, children->serial);
    *ret_serial = children->serial;
    return 0;
}

void children_end_try(struct children *children)
{
    assert(children->try_fd >= 0);
    close(children->try_fd);
    children->try_fd = -1;
    /* A prober that starts from now on gets the configuration in force. */
    child_set_conf(children->prober, children->conf_fd, children->serial);
}

/* ---- for the gate ---- */

void children_set_route(struct children *children, const struct route *route)
{
    children->route = *route;
    for (unsigned i = 0; i < children->n_relays; i++)
        if (child_usable(children->relays[i]))
            child_send_route(children->relays[i], route);
}

bool children_start_test(struct children *children, uint64_t test_id)
{
    if (!child_usable(children->prober))
        return false;
    child_send_test(children->prober, test_id);
    return true;
}

void children_allow(struct children *children, uint64_t id)
{
    if (child_usable(children->prober))
        child_send_request(children->prober, id);
}

void children_tell_user(struct children *children, const struct ipc_user *user)
{
    struct ipc_message message;
    ipc_begin(&message, IPC_USER);
    message.user = *user;
    for (unsigned i = 0; i < children->n_relays; i++)
        child_tell(children->relays[i], &message);
}

void children_kill_prober(struct children *children, const char *why)
{
    child_kill(children->prober, why);
}

void children_list_sessions(struct children *children, uint64_t request_id)
{
    bool any = false;
    assert(request_id != 0);
    children->list_id = request_id;
    for (unsigned i = 0; i < children->n_relays; i++) {
        children->list_open[i] = child_usable(children->relays[i]);
        any = any || children->list_open[i];
        if (children->list_open[i])
            child_send_request(children->relays[i], request_id);
    }
    /* With nobody to ask, the end comes from the loop as well. */
    timer_arm(children->setup.loop, &children->list_timer, any ? LIST_SECONDS : 0.);
}

const char *children_listen_error(const struct children *children)
{
    return children->listen_error;
}

bool children_listen(const struct children *children)
{
    return listeners_are_open(&children->listeners);
}

bool children_listen_full(const struct children *children)
{
    return listeners_are_full(&children->listeners);
}

void children_count_relays(const struct children *children, unsigned *ret_ready, unsigned *ret_wanted)
{
    *ret_ready = count_ready(children);
    *ret_wanted = children->n_relays;
}

const char *children_complaint(const struct children *children, unsigned i)
{
    if (i == 0)
        return child_complaint(children->prober);
    return i <= children->n_relays ? child_complaint(children->relays[i - 1]) : NULL;
}

void children_read_stats(const struct children *children, struct stats *ret_sum)
{
    struct stats sum = {0};
    /* Retired ones too: totals never shrink. */
    for (unsigned i = 0; i < CONF_RELAYS_MAX; i++) {
        struct stats one;

        if (!children->relays[i])
            continue;
        stats_read(child_stats(children->relays[i]), &one);
        stats_sum(&sum, &one);
    }
    *ret_sum = sum;
}

const struct shares *children_shares(const struct children *children)
{
    return children->setup.shares;
}

void children_free(struct children *children)
{
    int64_t deadline;
    if (!children)
        return;
    ev_timer_stop(children->setup.loop, &children->list_timer);
    ev_timer_stop(children->setup.loop, &children->listen_timer);
    /* All are asked before any is waited for. */
    child_terminate(children->prober);
    for (unsigned i = 0; i < CONF_RELAYS_MAX; i++)
        if (children->relays[i])
            child_terminate(children->relays[i]);
    deadline = clock_ms() + END_MS;
    child_free(children->prober, deadline);
    for (unsigned i = 0; i < CONF_RELAYS_MAX; i++)
        child_free(children->relays[i], deadline);
    listeners_fini(&children->listeners);
    free_shares(children);
    if (children->try_fd >= 0)
        close(children->try_fd);
    if (children->conf_fd >= 0)
        close(children->conf_fd);
    free(children);
}
