/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as events of the kernel, to the gate's watch of rules and network: it stays alive, and a culprit that it
 * names has an end. And as sock_diag's answer. */
#include "config.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sockdiag.h"
#include "gate/host/netwatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The linker sends netwatch.c's calls here: it hears no real event. */
int __wrap_mnl_socket_bind(struct mnl_socket *socket, unsigned groups, pid_t pid);
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buf, size_t size);

static const uint8_t *input;
static size_t left;
static int sockets[4], n_sockets;

int __wrap_mnl_socket_bind(struct mnl_socket *socket, unsigned groups, pid_t pid)
{
    if (n_sockets == 4)
        abort();
    sockets[n_sockets++] = mnl_socket_get_fd(socket);
    return 0;
}

/* Two bytes say how long the next datagram is; 0: events were lost. */
ssize_t __wrap_mnl_socket_recvfrom(const struct mnl_socket *socket, void *buf, size_t size)
{
    size_t length;
    if (left < 2) {
        errno = EAGAIN;
        return -1;
    }
    length = (size_t)input[0] << 8 | input[1];
    input += 2;
    left -= 2;
    if (length == 0) {
        errno = ENOBUFS;
        return -1;
    }
    length = length < left ? length : left;
    length = length < size ? length : size;
    memcpy(buf, input, length);
    input += length;
    left -= length;
    return (ssize_t)length;
}

static void event_cb(const struct event *event, void *data)
{
    if (event->culprit && (strlen(event->culprit) == 0 || strlen(event->culprit) > 64))
        abort();
}

static void watch(const uint8_t *data, size_t size)
{
    static const struct event_sink sink = {.event_cb = event_cb};
    static struct netwatch *netwatch;
    static struct ev_loop *loop;
    char error[256];
    if (!netwatch) {
        loop = ev_loop_new(EVFLAG_AUTO);
        netwatch = netwatch_new(loop, &sink, error, sizeof error);
        if (!netwatch)
            abort();
        netwatch_watch_rules(netwatch, 7);
    }
    input = data;
    left = size;
    for (int i = 0; i < n_sockets; i++)
        ev_feed_fd_event(loop, sockets[i], EV_READ);
    ev_run(loop, EVRUN_NOWAIT);
}

/* The answer lies there already when the question is asked. */
static void diagnose(const uint8_t *data, size_t size)
{
    struct addr local, remote;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ||
        !addr_parse("192.0.2.1", 1, &local) || !addr_parse("192.0.2.2", 2, &remote))
        abort();
    if (send(ends[1], data, size, MSG_NOSIGNAL) == (ssize_t)size)
        (void)sockdiag_is_closed(ends[0], &local, &remote);
    close(ends[0]);
    close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 32768)
        return 0;
    watch(data, size);
    diagnose(data, size);
    return 0;
}
