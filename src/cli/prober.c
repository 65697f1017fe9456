/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/prober.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/spawn.h"
#include "cli/cli.h"

#define END_MS 1000

static bool start(struct cli_prober *prober)
{
    char path[PATH_MAX];
    int worker = spawn_open_worker(path);
    static const int none[SPAWN_FDS] = {-1, -1, -1};
    int r = worker < 0 ? worker : spawn_child(path, "prober", none, &prober->pid, &prober->fd);
    if (worker >= 0)
        close(worker);
    if (r < 0)
        cli_problem("%s: %s", path, strerror(-r));
    return r == 0;
}

/* False: the problem has been written. */
static bool hear(struct cli_prober *prober, struct ipc_message *ret_message)
{
    for (;;) {
        struct pollfd readable = {.fd = prober->fd, .events = POLLIN};
        int64_t left = prober->deadline_ms - clock_ms();
        int passed = -1, r;
        if (left <= 0 || poll(&readable, 1, (int)left) < 0) {
            cli_problem("%s", left > 0 ? strerror(errno) : "the test did not end in time");
            return false;
        }
        r = ipc_receive(prober->fd, ret_message, &passed);
        if (passed >= 0)
            close(passed);
        if (r > 0)
            return true;
        if (r < 0) {
            cli_problem(r == -EPIPE ? "the prober ended" : "the prober: %s", strerror(-r));
            return false;
        }
    }
}

static int send_conf(struct cli_prober *prober, const struct conf *conf)
{
    struct ipc_message message;
    int fd = -1;
    int r = handover_write(conf, &fd);
    if (r < 0)
        return r;
    ipc_begin(&message, IPC_CONF);
    r = ipc_send(prober->fd, &message, fd);
    close(fd);
    return r;
}

bool cli_prober_open(struct cli_prober *prober, const struct conf *conf, unsigned wait_s,
                     struct ipc_conf_done *ret_done)
{
    struct ipc_message message;
    int r;
    *prober = (struct cli_prober){.fd = -1, .deadline_ms = clock_ms() + 1000 * (int64_t)wait_s};
    if (!start(prober))
        return false;
    r = send_conf(prober, conf);
    if (r < 0 && r != -EPIPE) {
        cli_problem("the prober: %s", strerror(-r));
        return false;
    }
    do
        if (!hear(prober, &message))
            return false;
    while (message.type != IPC_CONF_DONE);
    *ret_done = message.conf_done;
    return true;
}

bool cli_prober_start_test(struct cli_prober *prober)
{
    struct ipc_message message;
    int r;
    ipc_begin(&message, IPC_TEST);
    message.test.test_id = 1;
    r = ipc_send(prober->fd, &message, -1);
    if (r < 0)
        cli_problem("the prober: %s", strerror(-r));
    return r == 0;
}

/* There are no rules of ours to be opened for it. */
static void allow(struct cli_prober *prober, uint64_t id)
{
    struct ipc_message message;
    ipc_begin(&message, IPC_ALLOWED);
    message.request.id = id;
    ipc_send(prober->fd, &message, -1); /* a prober that has ended is heard of */
}

bool cli_prober_next(struct cli_prober *prober, struct test_report *ret_report)
{
    struct ipc_message message;
    for (;;) {
        if (!hear(prober, &message))
            return false;
        if (message.type == IPC_REPORT)
            break;
        if (message.type == IPC_NAMED)
            allow(prober, message.named.id);
    }
    *ret_report = message.report;
    return true;
}

void cli_prober_close(struct cli_prober *prober)
{
    if (prober->fd >= 0)
        close(prober->fd); /* which is its end */
    if (prober->pid > 0)
        spawn_reap(prober->pid, clock_ms() + END_MS);
}
