/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/children/listeners.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/socket.h"
#include "model/addr.h"

#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */

static const char *const hosts[LISTENERS] = {"127.0.0.1", "::1"};

void listeners_init(struct listeners *listeners)
{
    *listeners = (struct listeners){.fds = {-1, -1}};
}

static void close_all(struct listeners *listeners)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (listeners->fds[i] >= 0)
            close(listeners->fds[i]);
        listeners->fds[i] = -1;
    }
    listeners->port = 0;
}

void listeners_fini(struct listeners *listeners)
{
    close_all(listeners);
}

bool listeners_are_open(const struct listeners *listeners)
{
    return listeners->port != 0;
}

bool listeners_are_full(const struct listeners *listeners)
{
    for (int i = 0; i < LISTENERS; i++) {
        struct tcp_info info = {0};
        socklen_t length = sizeof info;
        /* Of a listening socket these two are the length of its queue and the limit of that. */
        if (listeners->fds[i] >= 0 && getsockopt(listeners->fds[i], IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
            info.tcpi_unacked >= info.tcpi_sacked)
            return true;
    }
    return false;
}

static void set_options(int fd, int family)
{
    socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6)
        socket_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    /* Also allows an address that is not there yet. Needs CAP_NET_ADMIN: where that is missing, there are no rules. */
    if (family == AF_INET6)
        socket_set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
    else
        socket_set(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    /* What is accepted inherits these. */
    socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    socket_keep_alive(fd, SOCKET_KEEP_S);
    /* The clients are on this host: pacing, as the host's default (BBR) may do it, has no network to protect here, and
     * costs as much again as the transfer. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", sizeof "reno" - 1);
}

static int open_one(const struct addr *address, int *ret_fd)
{
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    set_options(fd, address->sa.sa_family);
    if (bind(fd, &address->sa, addr_length(address)) < 0 || listen(fd, BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *ret_fd = fd;
    return 0;
}

/* A kernel without IPv6, or one that is told to have no address at all. */
static bool is_no_ipv6(int i, int result)
{
    return i == LISTENER_IPV6 && (result == -EADDRNOTAVAIL || result == -EAFNOSUPPORT);
}

int listeners_open(struct listeners *listeners, uint16_t port, char ret_error[static DETAIL_MAX])
{
    assert(port != 0);
    if (listeners->port == port)
        return 0;
    close_all(listeners);
    for (int i = 0; i < LISTENERS; i++) {
        struct addr address;
        bool parsed = addr_parse(hosts[i], port, &address);
        int r = parsed ? open_one(&address, &listeners->fds[i]) : -EINVAL;
        if (r < 0 && !is_no_ipv6(i, r)) {
            snprintf(ret_error, DETAIL_MAX, "listen on %s port %u: %s%s", hosts[i], port, strerror(-r),
                     r == -EADDRINUSE ? " (another program has it: ss -ltnp)" : "");
            close_all(listeners);
            return r;
        }
    }
    listeners->port = port;
    return 0;
}
