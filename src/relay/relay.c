/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/relay.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gate_link.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/stats.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/worker.h"

#define FDS_RESERVED  128 /* warm links, and a connection that is to be refused, too */
#define PIPES_MAX     64  /* of 1 MiB: what an unprivileged user may have (pipe-user-pages-soft) */
#define SESSIONS_MOST 500000
#define PREFIX_MAX    24
#define USERS_KEEP_S  60. /* a user may be renamed, and a number given to another; a control group's never is */

enum { LISTEN_IPV4, LISTEN_IPV6, N_LISTENERS };

struct relay {
    struct ev_loop *loop;
    struct gate_link *gate;
    struct stats *stats;
    struct shares *shares;
    struct worker *worker;
    struct listener *listeners[N_LISTENERS];
    bool routed;      /* a first route came: until then nobody knows where connections may go, and they wait */
    uint64_t list_id; /* of the list of sessions that is being told; 0: none is */
    char prefix[PREFIX_MAX];
};

/* ---- to the gate ---- */

/* One open session, then one sum of finished ones, or the end of the list. False: no room now. */
static bool tell_next_listed(struct relay *relay)
{
    struct worker *worker = relay->worker;
    struct ipc_message message;
    const struct sum *sum = worker_list_peek_sum(worker);
    ipc_begin(&message, IPC_SESSION);
    bool session = worker_list_peek(worker, &message.session);
    if (session) {
        message.session.request_id = relay->list_id;
    } else if (sum) {
        ipc_begin(&message, IPC_SUM);
        message.sum.request_id = relay->list_id;
        message.sum.sum = *sum;
    } else {
        ipc_begin(&message, IPC_SESSIONS_END);
        message.request.id = relay->list_id;
    }
    if (!gate_link_offer(relay->gate, &message))
        return false;
    if (session)
        worker_list_advance(worker);
    else if (sum)
        worker_list_advance_sum(worker);
    else
        relay->list_id = 0;
    return true;
}

static void room_cb(void *data)
{
    struct relay *relay = data;
    while (relay->list_id != 0 && tell_next_listed(relay))
        ;
}

static void trouble_cb(uint64_t generation, enum reason reason, enum cause cause, const char *detail, void *data)
{
    struct relay *relay = data;
    struct ipc_message message;
    ipc_begin(&message, IPC_TROUBLE);
    message.trouble.generation = generation;
    message.trouble.reason = (uint8_t)reason;
    message.trouble.cause = (uint8_t)cause;
    snprintf(message.trouble.detail, sizeof message.trouble.detail, "%s", detail);
    gate_link_send(relay->gate, &message);
}

static bool answers_cb(const struct answers *answers, void *data)
{
    struct relay *relay = data;
    struct ipc_message message;
    ipc_begin(&message, IPC_ANSWERS);
    message.answers = *answers;
    return gate_link_offer(relay->gate, &message);
}

/* Who gets no answer asks again. */
static void ask(struct relay *relay, enum ipc_type type, uint64_t id)
{
    struct ipc_message message;
    ipc_begin(&message, type);
    message.request.id = id;
    (void)gate_link_offer(relay->gate, &message);
}

static void ask_user_cb(uint64_t uid, void *data)
{
    ask(data, IPC_UID, uid);
}

static void ask_unit_cb(uint64_t cgroup, void *data)
{
    ask(data, IPC_CGROUP, cgroup);
}

static void hear_cb(void *data)
{
    struct relay *relay = data;
    gate_link_hear(relay->gate);
}

/* ---- configuration ---- */

static void close_listeners(struct relay *relay)
{
    for (int i = 0; i < N_LISTENERS; i++) {
        listener_free(relay->listeners[i]);
        relay->listeners[i] = NULL;
    }
}

/* On what the gate has opened; a host without IPv6 has one alone. False: error says why. */
static bool relay_listen(struct relay *relay, char error[static DETAIL_MAX])
{
    static const int fds[N_LISTENERS] = {IPC_LISTEN4_FD, IPC_LISTEN6_FD};
    for (int i = 0; i < N_LISTENERS; i++) {
        if (relay->listeners[i])
            continue;
        int result = listener_new(relay->loop, fds[i], relay->worker, &relay->listeners[i]);
        if (result < 0 && !(fds[i] == IPC_LISTEN6_FD && result == -EBADF)) {
            snprintf(error, DETAIL_MAX, "listener from the gate: %s", strerror(-result));
            return false;
        }
        if (relay->listeners[i] && !relay->routed)
            listener_hold(relay->listeners[i]);
    }
    return true;
}

/* Without TLS files the first configuration is taken all the same, for a route that needs none; its sessions over the
 * secure channel fail with the reason. */
static bool take_settings(struct relay *relay, struct settings *settings, char ret_error[static DETAIL_MAX])
{
    const struct conf *conf = settings->conf;
    bool bad_tls = conf->secure && !settings->tls;
    if (bad_tls)
        snprintf(ret_error, DETAIL_MAX, "%s", settings->tls_error.text);
    if ((bad_tls && relay->worker->settings) || !relay_listen(relay, ret_error))
        return false;
    log_set_level(conf->log_level);
    worker_set_settings(relay->worker, settings);
    return true;
}

static bool configure_cb(struct conf *conf, uint32_t index, struct ipc_conf_done *ret_done, void *data)
{
    struct relay *relay = data;
    snprintf(relay->prefix, sizeof relay->prefix, "relay %u", index); /* the log holds on to it */
    if (!relay->worker->own_row)
        worker_set_row(relay->worker, index);
    struct settings *settings = settings_new(conf);
    if (!settings) {
        snprintf(ret_done->detail, DETAIL_MAX, "out of memory");
        return false;
    }
    bool taken = take_settings(relay, settings, ret_done->detail);
    settings_unref(settings);
    return taken;
}

/* ---- from the gate ---- */

static void handle_route(struct relay *relay, const struct route *route)
{
    worker_set_route(relay->worker, route);
    for (int i = 0; i < N_LISTENERS && !relay->routed; i++) {
        if (relay->listeners[i])
            listener_release(relay->listeners[i]);
    }
    relay->routed = true;
}

/* Another list replaces one that is being told: the gate has abandoned it. */
static void handle_list(struct relay *relay, uint64_t id)
{
    relay->list_id = id;
    worker_list_start(relay->worker);
    room_cb(relay);
}

static void message_cb(const struct ipc_message *message, void *data)
{
    struct relay *relay = data;
    if (message->type == IPC_ROUTE)
        handle_route(relay, &message->route);
    else if (message->type == IPC_UNIT)
        worker_take_unit(relay->worker, &message->unit);
    else if (message->type == IPC_USER)
        worker_take_user(relay->worker, &message->user);
    else if (message->type == IPC_SESSIONS)
        handle_list(relay, message->request.id);
}

/* ---- life ---- */

static bool relay_init(struct relay *relay)
{
    static const struct gate_link_cbs cbs = {.configure = configure_cb, .message = message_cb, .room = room_cb};
    unsigned nofile = sandbox_raise_nofile();
    size_t pipes = nofile / 16 < PIPES_MAX ? nofile / 16 : PIPES_MAX;
    size_t fds = nofile > 2 * FDS_RESERVED ? nofile - FDS_RESERVED - 2 * pipes : FDS_RESERVED;
    size_t max = fds / 2 < SESSIONS_MOST ? fds / 2 : SESSIONS_MOST; /* the client's and the proxy's */
    int result = stats_map(IPC_STATS_FD, &relay->stats);
    if (result == 0)
        result = shares_map(IPC_SHARES_FD, &relay->shares);
    if (result < 0) {
        log_error("counters: %s", strerror(-result));
        return false;
    }
    relay->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    relay->worker =
        relay->loop ? worker_new(relay->loop, relay->stats, relay->shares, max, pipes, trouble_cb, relay) : NULL;
    if (!relay->worker) {
        log_error("out of memory");
        return false;
    }
    relay->worker->answers_cb = answers_cb;
    relay->worker->hear_cb = hear_cb;
    names_init(&relay->worker->users, USERS_KEEP_S, ask_user_cb, relay);
    names_init(&relay->worker->units, 0., ask_unit_cb, relay);
    names_init(&relay->worker->system_units, 0., ask_unit_cb, relay);
    relay->gate = gate_link_new(relay->loop, FILTER_RELAY, &cbs, relay);
    return relay->gate;
}

static void relay_fini(struct relay *relay)
{
    close_listeners(relay);
    worker_free(relay->worker);
    gate_link_free(relay->gate);
    if (relay->loop)
        ev_loop_destroy(relay->loop);
    shares_unmap(relay->shares);
    stats_unmap(relay->stats);
}

int relay_main(void)
{
    struct relay relay = {.prefix = "relay"};
    log_init(relay.prefix, LOG_LEVEL_INFO);
    int status = relay_init(&relay) ? gate_link_run(relay.gate) : EXIT_FAILURE;
    relay_fini(&relay);
    return status;
}
