/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prober process: what ipc.h says on one side, a prober on the other. */
#include "config.h"

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
#include "channel/prober/prober.h"
#include "model/conf/conf.h"

struct child {
    struct ev_loop *loop;
    ev_io io;
    struct conf *conf; /* of the prober; NULL: none yet */
    struct prober *prober;
    int status; /* to exit with */
    bool done_waits, report_waits;
    struct ipc_message done, report; /* the last ones that the gate had no room for */
};

static void child_end(struct child *child, int status)
{
    child->status = status;
    ev_break(child->loop, EVBREAK_ALL);
}

/* ---- to the gate ---- */

static void child_watch(struct child *child)
{
    int interest = EV_READ | (child->done_waits || child->report_waits ? EV_WRITE : 0);
    ev_io_stop(child->loop, &child->io);
    ev_io_set(&child->io, IPC_FD, interest);
    ev_io_start(child->loop, &child->io);
}

/* True: the gate has no room for it now. */
static bool child_send(struct child *child, const struct ipc_message *message)
{
    int error = ipc_send(IPC_FD, message, -1);
    if (error == -EAGAIN)
        return true;
    if (error == -EPIPE) {
        child_end(child, EXIT_SUCCESS);
    } else if (error < 0) {
        log_error("message to the gate: %s", strerror(-error));
        child_end(child, EXIT_FAILURE);
    }
    return false;
}

static void child_flush(struct child *child)
{
    if (child->done_waits)
        child->done_waits = child_send(child, &child->done);
    if (child->report_waits)
        child->report_waits = child_send(child, &child->report);
    child_watch(child);
}

/* A report that does not fit is followed by others that hold all it says; only the last one has to arrive. */
static void report_cb(const struct test_report *report, void *data)
{
    struct child *child = data;
    child->report.type = IPC_REPORT;
    child->report.report = *report;
    child->report_waits = child_send(child, &child->report) && report->complete;
    child_watch(child);
}

/* ---- configuration ---- */

/* The first mistake; the gate has found all of them before. */
static void conf_error(const char *text, void *data)
{
    char *detail = data;
    if (!detail[0])
        snprintf(detail, DETAIL_MAX, "%s", text);
}

static struct conf *read_conf(int fd, char detail[static DETAIL_MAX])
{
    struct conf *conf = NULL;
    FILE *stream = fdopen(fd, "r");
    if (!stream) {
        snprintf(detail, DETAIL_MAX, "configuration: %s", strerror(errno));
        close(fd);
        return NULL;
    }
    rewind(stream);
    if (conf_read(stream, "configuration", conf_error, detail, &conf) < 0)
        conf = NULL;
    fclose(stream);
    return conf;
}

/* A new configuration whose TLS files are bad is refused when there is an older one to go on with. At the start there
 * is none: then it is taken, and every mutual authentication test fails with what is wrong. */
static bool child_take_conf(struct child *child, int fd, char detail[static DETAIL_MAX])
{
    struct conf *conf = read_conf(fd, detail);
    struct prober *prober;
    if (!conf)
        return false;
    prober = prober_new(child->loop, conf, report_cb, child);
    if (!prober) {
        snprintf(detail, DETAIL_MAX, "out of memory");
        conf_free(conf);
        return false;
    }
    if (prober_tls_error(prober))
        snprintf(detail, DETAIL_MAX, "%s", prober_tls_error(prober));
    if (prober_tls_error(prober) && child->prober) {
        prober_free(prober);
        conf_free(conf);
        return false;
    }
    prober_free(child->prober);
    conf_free(child->conf);
    child->prober = prober;
    child->conf = conf;
    child->report_waits = false;
    log_set_level(conf->log_level);
    return true;
}

static int child_confine(void)
{
    int error = sandbox_drop_all();
    if (error == 0)
        error = filter_system_calls();
    return error;
}

static void child_on_conf(struct child *child, const struct ipc_conf *conf, int fd)
{
    bool first = !child->prober;
    struct ipc_conf_done *done = &child->done.conf_done;
    memset(&child->done, 0, sizeof child->done);
    child->done.type = IPC_CONF_DONE;
    done->serial = conf->serial;
    if (fd < 0)
        snprintf(done->detail, sizeof done->detail, "no configuration came with the message");
    else
        done->ok = child_take_conf(child, fd, done->detail);
    if (first && done->ok) {
        int error = child_confine();
        if (error < 0) {
            log_error("sandbox: %s", strerror(-error));
            child_end(child, EXIT_FAILURE);
            return;
        }
    }
    child->done_waits = true;
    child_flush(child);
}

/* ---- from the gate ---- */

static void child_on_message(struct child *child, const struct ipc_message *message, int fd)
{
    switch ((enum ipc_type)message->type) {
    case IPC_CONF:
        child_on_conf(child, &message->conf, fd);
        return;
    case IPC_TEST:
        child->report_waits = false; /* of a test that nobody waits for any more */
        if (child->prober)
            prober_start(child->prober, message->test.test_id);
        break;
    case IPC_PING: {
        struct ipc_message pong = {.type = IPC_PONG, .request = message->request};
        (void)child_send(child, &pong); /* a gate that does not read has no use for it */
        break;
    }
    case IPC_ROUTE:
    case IPC_SESSIONS:
    case IPC_CONF_DONE:
    case IPC_REPORT:
    case IPC_TROUBLE:
    case IPC_PONG:
    case IPC_SESSION:
    case IPC_SESSIONS_END:
        break; /* for relays, or for the gate */
    }
    if (fd >= 0)
        close(fd);
}

static void child_receive(struct child *child)
{
    struct ipc_message message;
    int fd, result;
    while ((result = ipc_receive(IPC_FD, &message, &fd)) == 1)
        child_on_message(child, &message, fd);
    if (result == -EPIPE) {
        child_end(child, EXIT_SUCCESS);
    } else if (result < 0) {
        log_error("message from the gate: %s", strerror(-result));
        child_end(child, EXIT_FAILURE);
    }
}

static void io_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct child *child = io->data;
    if (events & EV_WRITE)
        child_flush(child);
    if (events & EV_READ)
        child_receive(child);
}

int prober_main(void)
{
    struct child *child = calloc(1, sizeof *child);
    int status = EXIT_FAILURE;
    log_init("prober", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* from a terminal it is meant for the gate, whose end is ours */
    signal(SIGHUP, SIG_IGN);
    if (child)
        child->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    if (!child || !child->loop) {
        log_error("out of memory");
        free(child);
        return status;
    }
    ev_init(&child->io, io_cb);
    child->io.data = child;
    child_watch(child);
    ev_run(child->loop, 0);
    status = child->status;
    prober_free(child->prober);
    conf_free(child->conf);
    ev_io_stop(child->loop, &child->io);
    ev_loop_destroy(child->loop);
    free(child);
    return status;
}
