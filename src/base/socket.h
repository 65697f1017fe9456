/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of sockets. Most are wanted, not needed: a connection without them still works. */
#ifndef PENSTOCK_BASE_SOCKET_H
#define PENSTOCK_BASE_SOCKET_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

static inline bool socket_set(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

#define SOCKET_KEEP_S         60 /* of silence, then it asks whether the peer is there: gone after three times 10 s */
#define SOCKET_KEEP_TRACKED_S 20 /* conntrack forgets a connection of which a side has closed after 60 s of silence */

static inline void socket_keep_alive(int fd, int seconds)
{
    socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

#endif
