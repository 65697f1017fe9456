/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/gate_link.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/handover.h"
#include "base/log.h"
#include "base/sandbox.h"

enum slot { SLOT_CONF_DONE, SLOT_PONG, SLOT_TROUBLE, SLOT_NAMED, SLOT_REPORT, SLOT_COUNT };

struct gate_link {
    struct ev_loop *loop;
    const struct gate_link_cbs *cbs;
    void *data;
    ev_io readable, writable;
    int exit_status;
    bool waiting[SLOT_COUNT];
    struct ipc_message outbox[SLOT_COUNT];
};

/* error: 0 or -EPIPE when the gate is gone, which is how a child's life ends. */
static void end(struct gate_link *link, const char *what, int error)
{
    if (error < 0 && error != -EPIPE) {
        log_error("message %s the gate: %s", what, strerror(-error));
        link->exit_status = EXIT_FAILURE;
    }
    ev_break(link->loop, EVBREAK_ALL);
}

/* ---- to the gate ---- */

/* False: no room now. What cannot be sent for another reason is gone, and so is the gate. */
static bool send_now(struct gate_link *link, const struct ipc_message *message)
{
    int result = ipc_send(IPC_FD, message, -1);
    if (result == -EAGAIN) {
        ev_io_start(link->loop, &link->writable);
        return false;
    }
    if (result < 0)
        end(link, "to", result);
    return true;
}

/* True: nothing waits any more. */
static bool flush(struct gate_link *link)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        if (link->waiting[slot] && !send_now(link, &link->outbox[slot]))
            return false;
        link->waiting[slot] = false;
    }
    return true;
}

static enum slot slot_of(uint32_t type)
{
    switch ((enum ipc_type)type) {
    case IPC_CONF_DONE:
        return SLOT_CONF_DONE;
    case IPC_PONG:
        return SLOT_PONG;
    case IPC_TROUBLE:
        return SLOT_TROUBLE;
    case IPC_REPORT:
        return SLOT_REPORT;
    case IPC_NAMED:
        return SLOT_NAMED;
    case IPC_CONF:
    case IPC_ROUTE:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_PING:
    case IPC_SESSION:
    case IPC_SUM:
    case IPC_SESSIONS_END:
    case IPC_ANSWERS:
    case IPC_CGROUP:
    case IPC_UID:
    case IPC_UNIT:
    case IPC_USER:
    case IPC_ALLOWED:
        break;
    }
    return SLOT_COUNT;
}

void gate_link_send(struct gate_link *link, const struct ipc_message *message)
{
    enum slot slot = slot_of(message->type);
    assert(slot < SLOT_COUNT);
    if (flush(link) && send_now(link, message))
        return;
    memcpy(&link->outbox[slot], message, ipc_size(message));
    link->waiting[slot] = true;
}

bool gate_link_offer(struct gate_link *link, const struct ipc_message *message)
{
    return flush(link) && send_now(link, message);
}

static void writable_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct gate_link *link = io->data;
    if (!flush(link))
        return;
    ev_io_stop(loop, io);
    if (link->cbs->room)
        link->cbs->room(link->data);
}

/* ---- configuration ---- */

static void take_conf(struct gate_link *link, const struct ipc_conf *request, int fd)
{
    struct ipc_message answer;
    struct ipc_conf_done *done = &answer.conf_done;
    ipc_begin(&answer, IPC_CONF_DONE);
    done->serial = request->serial;
    struct conf *conf = handover_read(fd, done->detail);
    done->ok = conf && link->cbs->configure(conf, request->index, done, link->data);
    gate_link_send(link, &answer);
}

/* ---- from the gate ---- */

static void answer_ping(struct gate_link *link, const struct ipc_request *ping)
{
    struct ipc_message pong;
    ipc_begin(&pong, IPC_PONG);
    pong.request = *ping;
    gate_link_send(link, &pong);
}

static void take_message(struct gate_link *link, const struct ipc_message *message, int fd)
{
    switch ((enum ipc_type)message->type) {
    case IPC_CONF:
        take_conf(link, &message->conf, fd);
        break;
    case IPC_PING:
        answer_ping(link, &message->request);
        break;
    case IPC_ROUTE:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_UNIT:
    case IPC_USER:
    case IPC_ALLOWED:
        link->cbs->message(message, link->data);
        break;
    case IPC_CONF_DONE:
    case IPC_REPORT:
    case IPC_TROUBLE:
    case IPC_ANSWERS:
    case IPC_CGROUP:
    case IPC_UID:
    case IPC_SESSION:
    case IPC_SUM:
    case IPC_SESSIONS_END:
    case IPC_PONG:
    case IPC_NAMED:
        end(link, "from", -EBADMSG);
        break;
    }
}

void gate_link_hear(struct gate_link *link)
{
    struct ipc_message message;
    int fd, result;
    while ((result = ipc_receive(IPC_FD, &message, &fd)) == 1)
        take_message(link, &message, fd); /* ipc_receive() lets a descriptor come with a configuration alone */
    if (result < 0)
        end(link, "from", result);
}

static void readable_cb(struct ev_loop *loop, ev_io *io, int events)
{
    gate_link_hear(io->data);
}

/* ---- life ---- */

static bool confine(enum filter_role role)
{
    int result = sandbox_drop_all();
    if (result == 0)
        result = filter_system_calls(role);
    if (result < 0)
        log_error("sandbox: %s", strerror(-result));
    return result == 0;
}

struct gate_link *gate_link_new(struct ev_loop *loop, enum filter_role role, const struct gate_link_cbs *cbs,
                                void *data)
{
    struct gate_link *link;
    /* The gate decides when to end: a Ctrl-C at the terminal reaches it too. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* splice() has no MSG_NOSIGNAL */
    if (!confine(role))
        return NULL;
    link = calloc(1, sizeof *link);
    if (!link) {
        log_error("out of memory");
        return NULL;
    }
    link->loop = loop;
    link->cbs = cbs;
    link->data = data;
    ev_io_init(&link->readable, readable_cb, IPC_FD, EV_READ);
    /* A route is sent before the rules let connections come: it must be seen before they are accepted. */
    ev_set_priority(&link->readable, EV_MAXPRI);
    ev_io_init(&link->writable, writable_cb, IPC_FD, EV_WRITE);
    link->readable.data = link->writable.data = link;
    ev_io_start(loop, &link->readable);
    return link;
}

int gate_link_run(struct gate_link *link)
{
    ev_run(link->loop, 0);
    return link->exit_status;
}

void gate_link_free(struct gate_link *link)
{
    if (!link)
        return;
    ev_io_stop(link->loop, &link->readable);
    ev_io_stop(link->loop, &link->writable);
    free(link);
}
