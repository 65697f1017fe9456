/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/net/tcp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/socket.h"

static bool bind_port(int fd, int family, uint16_t port)
{
    struct addr any = {.sa.sa_family = (sa_family_t)family};
    addr_set_port(&any, port);
    socket_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    return bind(fd, &any.sa, addr_length(&any)) == 0;
}

int tcp_connect(const struct addr *address, uint16_t local_port, struct stream **ret_stream)
{
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (fd < 0)
        return -errno;
    socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    bool bound = local_port && bind_port(fd, address->sa.sa_family, local_port);

    if (connect(fd, &address->sa, addr_length(address)) < 0 && errno != EINPROGRESS) {
        int error = errno;

        close(fd);
        /* The port has a connection to this address that lives. */
        return bound && error == EADDRNOTAVAIL ? tcp_connect(address, 0, ret_stream) : -error;
    }
    struct stream *stream = stream_new_plain(fd);
    if (!stream)
        return -ENOMEM;
    *ret_stream = stream;
    return 0;
}

const char *tcp_error_words(int error, char buf[static TCP_WORDS_MAX])
{
    snprintf(buf, TCP_WORDS_MAX, "%s",
             error == EADDRNOTAVAIL ? "no local address or port is free" : strerrordesc_np(error));
    buf[0] = (char)tolower((unsigned char)buf[0]);
    return buf;
}

enum cause tcp_error_cause(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return CAUSE_TCP_REFUSED;
    case ETIMEDOUT:
        return CAUSE_TCP_TIMEOUT;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return CAUSE_TCP_UNREACHABLE;
    default:
        return tcp_error_is_own(error) ? CAUSE_NO_RESOURCES : CAUSE_TCP_FAILED;
    }
}

bool tcp_error_is_own(int error)
{
    return error == EADDRNOTAVAIL || error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}
