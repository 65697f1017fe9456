/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/relay.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/stats.h"
#include "relay/listener.h"
#include "relay/settings.h"
#include "relay/worker.h"

#define FDS_RESERVED  64
#define PIPES_MAX     64 /* of 1 MiB: what an unprivileged user may have (pipe-user-pages-soft) */
#define SESSIONS_MOST 500000
#define LISTS_MAX     8
#define PREFIX_MAX    24

enum { LISTEN_IPV4, LISTEN_IPV6, N_LISTENERS };

/* What the gate waits for; each is sent as soon as it takes it. */
struct outbox {
    bool conf_done_due, pong_due;
    struct ipc_conf_done conf_done;
    uint64_t pong_id;
    uint64_t lists[LISTS_MAX]; /* the first one is under way */
    size_t n_lists;
    bool listing;
};

struct relay {
    struct ev_loop *loop;
    struct stats *stats;
    struct worker *worker;
    struct listener *listeners[N_LISTENERS];
    uint16_t port; /* that they listen on; 0: none yet */
    int cpu;       /* whose clients it prefers: relays are as many as CPUs, unless the configuration says otherwise */
    bool routed;   /* a first route came: until then nobody knows where connections may go, and they wait */
    ev_io readable, writable;
    struct outbox outbox;
    char prefix[PREFIX_MAX];
    int exit_status;
};

static void relay_stop(struct relay *relay, int exit_status)
{
    relay->exit_status = exit_status;
    ev_break(relay->loop, EVBREAK_ALL);
}

/* ---- to the gate ---- */

/* One open session, or the end of the list. True: sent. */
static bool send_next_listed(struct relay *relay)
{
    struct ipc_message message = {.type = IPC_SESSION};
    uint64_t id = relay->outbox.lists[0];
    bool more = worker_list_peek(relay->worker, &message.session);
    if (more) {
        message.session.request_id = id;
    } else {
        message.type = IPC_SESSIONS_END;
        message.request.id = id;
    }
    if (ipc_send(IPC_FD, &message, -1) < 0)
        return false;
    if (more)
        worker_list_advance(relay->worker);
    else
        relay->outbox.listing = false;
    return true;
}

static bool send_lists(struct relay *relay)
{
    struct outbox *outbox = &relay->outbox;
    while (outbox->n_lists > 0) {
        if (!outbox->listing) {
            worker_list_start(relay->worker);
            outbox->listing = true;
        }
        if (!send_next_listed(relay))
            return false;
        if (!outbox->listing)
            memmove(outbox->lists, outbox->lists + 1, --outbox->n_lists * sizeof outbox->lists[0]);
    }
    return true;
}

static bool send_due(struct relay *relay)
{
    struct outbox *outbox = &relay->outbox;
    if (outbox->conf_done_due) {
        struct ipc_message message = {.type = IPC_CONF_DONE, .conf_done = outbox->conf_done};
        if (ipc_send(IPC_FD, &message, -1) < 0)
            return false;
        outbox->conf_done_due = false;
    }
    if (outbox->pong_due) {
        struct ipc_message message = {.type = IPC_PONG, .request.id = outbox->pong_id};
        if (ipc_send(IPC_FD, &message, -1) < 0)
            return false;
        outbox->pong_due = false;
    }
    return send_lists(relay);
}

/* Also after an error: the readable side then tells that the gate is gone. */
static void relay_send(struct relay *relay)
{
    if (send_due(relay))
        ev_io_stop(relay->loop, &relay->writable);
    else
        ev_io_start(relay->loop, &relay->writable);
}

static bool trouble_cb(uint64_t generation, enum reason reason, const char *detail, void *data)
{
    struct ipc_message message = {.type = IPC_TROUBLE,
                                  .trouble = {.generation = generation, .reason = (uint8_t)reason}};
    snprintf(message.trouble.detail, sizeof message.trouble.detail, "%s", detail);
    return ipc_send(IPC_FD, &message, -1) == 0;
}

/* ---- configuration ---- */

static void first_error_cb(const char *text, void *data)
{
    char *error = data;
    if (!error[0])
        snprintf(error, DETAIL_MAX, "%s", text);
}

/* Takes the descriptor over. NULL: ret_error says why. */
static struct conf *read_conf(int fd, char ret_error[static DETAIL_MAX])
{
    struct conf *conf = NULL;
    FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;
    ret_error[0] = '\0';
    if (!stream) {
        snprintf(ret_error, DETAIL_MAX, "the configuration came without a descriptor");
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    rewind(stream); /* the offset is shared with whoever wrote it */
    if (conf_read(stream, "configuration", first_error_cb, ret_error, &conf) < 0)
        conf = NULL;
    fclose(stream);
    return conf;
}

/* 0, or -errno with a sentence. A host without IPv6 has no second listener. */
static int open_listeners(struct relay *relay, uint16_t port, struct listener *ret_listeners[static N_LISTENERS],
                          char error[static DETAIL_MAX])
{
    static const char *const hosts[N_LISTENERS] = {"127.0.0.1", "::1"};
    struct listener *opened[N_LISTENERS] = {NULL};
    for (int i = 0; i < N_LISTENERS; i++) {
        struct addr address;
        bool parsed = addr_parse(hosts[i], port, &address);
        assert(parsed);
        int result = listener_new(relay->loop, &address, relay->cpu, relay->worker, &opened[i]);
        if (result == 0 || (i == LISTEN_IPV6 && (result == -EADDRNOTAVAIL || result == -EAFNOSUPPORT)))
            continue;
        snprintf(error, DETAIL_MAX, "listen on %s port %u: %s", hosts[i], port, strerror(-result));
        for (int j = 0; j < i; j++)
            listener_free(opened[j]);
        return result;
    }
    memcpy(ret_listeners, opened, sizeof opened);
    return 0;
}

static bool relay_listen(struct relay *relay, uint16_t port, char error[static DETAIL_MAX])
{
    struct listener *opened[N_LISTENERS];
    if (port == relay->port)
        return true;
    if (open_listeners(relay, port, opened, error) < 0)
        return false;
    for (int i = 0; i < N_LISTENERS; i++) {
        listener_free(relay->listeners[i]);
        relay->listeners[i] = opened[i];
        if (opened[i] && !relay->routed)
            listener_hold(opened[i]);
    }
    relay->port = port;
    return true;
}

/* False: error says why, and what was in force stays. Without TLS files the first configuration is taken all the same,
 * for a route that needs none; its sessions over the secure channel fail with the reason. */
static bool take_conf(struct relay *relay, struct conf *conf, char error[static DETAIL_MAX])
{
    struct settings *settings = settings_new(conf);
    bool first = !relay->worker->settings;
    if (!settings) {
        snprintf(error, DETAIL_MAX, "out of memory");
        return false;
    }
    bool bad_tls = conf->secure && !settings->tls;
    bool taken = (first || !bad_tls) && relay_listen(relay, conf->listen_port, error);
    if (taken) {
        log_set_level(conf->log_level);
        worker_set_settings(relay->worker, settings);
    }
    if (bad_tls && !error[0])
        snprintf(error, DETAIL_MAX, "%s", settings->tls_error);
    settings_unref(settings);
    return taken;
}

/* Before the first byte from the network. */
static bool confine(char error[static DETAIL_MAX])
{
    int result = sandbox_drop_all();
    if (result == 0)
        result = filter_system_calls();
    if (result < 0)
        snprintf(error, DETAIL_MAX, "sandbox: %s", strerror(-result));
    return result == 0;
}

static void handle_conf(struct relay *relay, const struct ipc_conf *request, int fd)
{
    struct ipc_conf_done *done = &relay->outbox.conf_done;
    bool first = !relay->worker->settings;
    if (first) {
        relay->cpu = (int)request->index;
        snprintf(relay->prefix, sizeof relay->prefix, "relay %u", request->index);
        log_init(relay->prefix, LOG_LEVEL_INFO);
    }
    *done = (struct ipc_conf_done){.serial = request->serial};
    struct conf *conf = read_conf(fd, done->detail);
    done->ok = conf && take_conf(relay, conf, done->detail);
    if (first && !confine(done->detail)) {
        done->ok = false;
        log_error("%s", done->detail);
        relay_stop(relay, EXIT_FAILURE);
    }
    relay->outbox.conf_done_due = true;
    relay_send(relay);
}

/* ---- from the gate ---- */

static void handle_list(struct relay *relay, uint64_t id)
{
    struct outbox *outbox = &relay->outbox;
    if (outbox->n_lists == LISTS_MAX)
        return; /* the gate asks faster than it reads, and bounds its own wait */
    outbox->lists[outbox->n_lists++] = id;
    relay_send(relay);
}

static void handle_route(struct relay *relay, const struct route *route)
{
    worker_set_route(relay->worker, route);
    for (int i = 0; i < N_LISTENERS && !relay->routed; i++) {
        if (relay->listeners[i])
            listener_release(relay->listeners[i]);
    }
    relay->routed = true;
}

static void handle_message(struct relay *relay, const struct ipc_message *message, int fd)
{
    switch ((enum ipc_type)message->type) {
    case IPC_CONF:
        handle_conf(relay, &message->conf, fd);
        return;
    case IPC_ROUTE:
        handle_route(relay, &message->route);
        break;
    case IPC_SESSIONS:
        handle_list(relay, message->request.id);
        break;
    case IPC_PING:
        relay->outbox.pong_due = true;
        relay->outbox.pong_id = message->request.id;
        relay_send(relay);
        break;
    case IPC_TEST:
    case IPC_CONF_DONE:
    case IPC_REPORT:
    case IPC_TROUBLE:
    case IPC_SESSION:
    case IPC_SESSIONS_END:
    case IPC_PONG:
        log_warning("message %u from the gate is not for a relay", message->type);
        break;
    }
    if (fd >= 0)
        close(fd);
}

static void readable_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct relay *relay = io->data;
    struct ipc_message message;
    int fd, result;
    while ((result = ipc_receive(IPC_FD, &message, &fd)) == 1)
        handle_message(relay, &message, fd);
    if (result == 0)
        return;
    if (result != -EPIPE)
        log_error("message from the gate: %s", strerror(-result));
    relay_stop(relay, result == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void writable_cb(struct ev_loop *loop, ev_io *io, int events)
{
    relay_send(io->data);
}

/* ---- life ---- */

static bool relay_init(struct relay *relay)
{
    unsigned nofile = sandbox_raise_nofile();
    size_t pipes = nofile / 16 < PIPES_MAX ? nofile / 16 : PIPES_MAX;
    size_t fds = nofile > 2 * FDS_RESERVED ? nofile - FDS_RESERVED - 2 * pipes : FDS_RESERVED;
    size_t max = fds / 2 < SESSIONS_MOST ? fds / 2 : SESSIONS_MOST; /* the client's and the proxy's */
    int result = stats_map(IPC_STATS_FD, &relay->stats);
    if (result < 0) {
        log_error("counters: %s", strerror(-result));
        return false;
    }
    relay->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    relay->worker = relay->loop ? worker_new(relay->loop, relay->stats, max, pipes, trouble_cb, relay) : NULL;
    if (!relay->worker) {
        log_error("out of memory");
        return false;
    }
    ev_io_init(&relay->readable, readable_cb, IPC_FD, EV_READ);
    /* The route is sent before the rules let connections come: it must be seen before they are accepted. */
    ev_set_priority(&relay->readable, EV_MAXPRI);
    ev_io_init(&relay->writable, writable_cb, IPC_FD, EV_WRITE);
    relay->readable.data = relay->writable.data = relay;
    ev_io_start(relay->loop, &relay->readable);
    return true;
}

static void relay_fini(struct relay *relay)
{
    for (int i = 0; i < N_LISTENERS; i++)
        listener_free(relay->listeners[i]);
    worker_free(relay->worker);
    if (relay->loop) {
        ev_io_stop(relay->loop, &relay->readable);
        ev_io_stop(relay->loop, &relay->writable);
        ev_loop_destroy(relay->loop);
    }
    stats_unmap(relay->stats);
}

int relay_main(void)
{
    struct relay relay = {.prefix = "relay"};
    log_init(relay.prefix, LOG_LEVEL_INFO);
    /* The gate decides when to end: a Ctrl-C at the terminal reaches it too. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* splice() has no MSG_NOSIGNAL */
    if (relay_init(&relay))
        ev_run(relay.loop, 0);
    else
        relay.exit_status = EXIT_FAILURE;
    relay_fini(&relay);
    return relay.exit_status;
}
