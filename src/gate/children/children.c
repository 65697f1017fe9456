/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/children/children.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gate/children/spawn.h"

#define LIST_SECONDS 5.0
#define END_MS       1000

struct children {
    struct child_setup setup;
    struct children_cbs cbs;
    void *data;
    int conf_fd; /* the effective configuration, sealed */
    int try_fd;  /* the one that the prober tries; -1: none */
    uint64_t serial;
    uint16_t listen_port;
    struct child *prober;
    struct child *relays[CONF_RELAYS_MAX]; /* those from n_relays on are retired */
    unsigned n_relays;
    bool relays_ready; /* as last reported */
    struct route route;

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

static void report_ready(struct children *children)
{
    bool ready = count_ready(children) > 0;
    if (ready == children->relays_ready)
        return;
    children->relays_ready = ready;
    children->cbs.relays_ready(ready, children->data);
}

static bool is_settled(const struct children *children)
{
    for (unsigned i = 0; i < children->n_relays; i++)
        if (child_configuring(children->relays[i]))
            return false;
    return !child_configuring(children->prober);
}

/* A prober that starts from now on gets the configuration in force. */
static void end_try(struct children *children, bool ok, const char *detail)
{
    close(children->try_fd);
    children->try_fd = -1;
    child_set_conf(children->prober, children->conf_fd, children->serial);
    children->cbs.conf_tried(ok, detail, children->data);
}

static void conf_done_cb(struct child *child, bool ok, const char *detail, void *data)
{
    struct children *children = data;
    if (child_role(child) == CHILD_PROBER && children->try_fd >= 0) {
        end_try(children, ok, detail);
        return;
    }
    if (child_role(child) == CHILD_RELAY && child_usable(child))
        child_send_route(child, &children->route);
    children->cbs.conf_done(child_name(child), ok, detail, is_settled(children), children->data);
    if (child_role(child) == CHILD_PROBER)
        children->cbs.prober_ready(children->data);
    else
        report_ready(children);
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
    uint64_t id = children->list_id;
    ev_timer_stop(children->setup.loop, &children->list_timer);
    children->list_id = 0;
    children->cbs.sessions_end(id, children->data);
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

static void session_cb(struct children *children, const struct child *relay, const struct ipc_session *session)
{
    unsigned index = find_relay(children, relay);
    if (children->list_id != 0 && session->request_id == children->list_id && index < CONF_RELAYS_MAX &&
        children->list_open[index])
        children->cbs.session(session, children->data);
}

static void message_cb(struct child *child, const struct ipc_message *message, void *data)
{
    struct children *children = data;
    switch ((enum ipc_type)message->type) {
    case IPC_REPORT:
        children->cbs.report(&message->report, children->data);
        return;
    case IPC_TROUBLE:
        children->cbs.trouble(&message->trouble, children->data);
        return;
    case IPC_SESSION:
        session_cb(children, child, &message->session);
        return;
    case IPC_SESSIONS_END:
        if (message->request.id == children->list_id)
            end_list_of(children, child);
        return;
    case IPC_CONF:
    case IPC_ROUTE:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_PING:
    case IPC_CONF_DONE:
    case IPC_PONG:
        break;
    }
    assert(false); /* child.c passes nothing else on */
}

static void lost_cb(struct child *child, void *data)
{
    struct children *children = data;
    if (child_role(child) == CHILD_PROBER) {
        children->cbs.prober_lost(children->data);
        if (children->try_fd >= 0)
            end_try(children, false, "the prober ended while it read the configuration; try again");
        return;
    }
    end_list_of(children, child);
    report_ready(children);
}

/* ---- configuration ---- */

struct children *children_new(struct ev_loop *loop, const char *program, const struct children_cbs *cbs, void *data)
{
    struct children *children = calloc(1, sizeof *children);
    assert(ev_is_default_loop(loop));
    if (!children)
        return NULL;
    children->setup = (struct child_setup){
        .loop = loop,
        .program = program,
        .cbs = {.conf_done = conf_done_cb, .message = message_cb, .lost = lost_cb},
        .data = children,
        .timing = {.restart_first_ms = 100, .restart_max_ms = 10000, .young = 10., .configure = 10., .ping = 10.},
    };
    children->cbs = *cbs;
    children->data = data;
    children->conf_fd = children->try_fd = -1;
    children->route.mode = ROUTE_CLOSED;
    ev_timer_init(&children->list_timer, list_timeout_cb, 0., 0.);
    children->list_timer.data = children;
    children->prober = child_new(&children->setup, CHILD_PROBER, 0);
    if (!children->prober) {
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

/* The configuration as a sealed memfd. 0 or -errno. */
static int write_conf(const struct conf *conf, int *ret_fd)
{
    int fd = memfd_create("penstock-conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FILE *stream;
    int copy, r;
    if (fd < 0)
        return -errno;
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    stream = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (!stream) {
        r = -errno;
        if (copy >= 0)
            close(copy);
        close(fd);
        return r;
    }
    conf_print(conf, stream);
    r = fclose(stream) == 0 ? 0 : -errno;
    if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
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

int children_configure(struct children *children, const struct conf *conf)
{
    unsigned n = wanted_relays(conf);
    bool move = children->n_relays > 0 && conf->listen_port != children->listen_port;
    int fd = -1;
    int r = make_relays(children, n);
    assert(children->try_fd < 0);
    if (r < 0)
        return r;
    r = write_conf(conf, &fd);
    if (r < 0)
        return r;
    if (children->conf_fd >= 0)
        close(children->conf_fd);
    children->conf_fd = fd;
    children->serial++;
    children->listen_port = conf->listen_port;

    for (unsigned i = n; i < children->n_relays; i++)
        child_retire(children->relays[i]);
    children->n_relays = n;
    child_configure(children->prober, fd, children->serial);
    for (unsigned i = 0; i < n; i++) {
        if (move) /* a relay listens once */
            child_restart(children->relays[i]);
        child_configure(children->relays[i], fd, children->serial);
    }
    return 0;
}

int children_try(struct children *children, const struct conf *conf)
{
    int fd = -1, r;
    assert(children->try_fd < 0);
    if (!child_usable(children->prober) || child_configuring(children->prober))
        return -EAGAIN;
    r = write_conf(conf, &fd);
    if (r < 0)
        return r;
    children->try_fd = fd;
    children->serial++;
    child_configure(children->prober, fd, children->serial);
    return 0;
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
            child_send_sessions(children->relays[i], request_id);
    }
    /* With nobody to ask, the end comes from the loop as well. */
    ev_timer_stop(children->setup.loop, &children->list_timer);
    ev_timer_set(&children->list_timer, any ? LIST_SECONDS : 0., 0.);
    ev_timer_start(children->setup.loop, &children->list_timer);
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
        sum.sessions_open += one.sessions_open;
        sum.sessions_total += one.sessions_total;
        sum.sessions_failed += one.sessions_failed;
        sum.bytes_up += one.bytes_up;
        sum.bytes_down += one.bytes_down;
    }
    *ret_sum = sum;
}

void children_free(struct children *children)
{
    int64_t deadline;
    if (!children)
        return;
    ev_timer_stop(children->setup.loop, &children->list_timer);
    /* All are asked before any is waited for. */
    child_terminate(children->prober);
    for (unsigned i = 0; i < CONF_RELAYS_MAX; i++)
        if (children->relays[i])
            child_terminate(children->relays[i]);
    deadline = spawn_now_ms() + END_MS;
    child_free(children->prober, deadline);
    for (unsigned i = 0; i < CONF_RELAYS_MAX; i++)
        child_free(children->relays[i], deadline);
    if (children->try_fd >= 0)
        close(children->try_fd);
    if (children->conf_fd >= 0)
        close(children->conf_fd);
    free(children);
}
