/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/destination.h"

#include <stdbool.h>

static bool is_loopback(const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return (ntohl(addr->in4.sin_addr.s_addr) >> 24) == 127;
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

enum destination_verdict destination_judge(const struct addr *destination, const struct addr *own,
                                           const struct addr *proxy)
{
    if (destination->sa.sa_family == AF_UNSPEC || addr_equal(destination, own))
        return DESTINATION_NOT_REDIRECTED;
    /* All of loopback at our port, for any relay of this host may have been meant. */
    if (is_loopback(destination) && addr_port(destination) == addr_port(own))
        return DESTINATION_LOOP;
    if (proxy->sa.sa_family != AF_UNSPEC && addr_equal(destination, proxy))
        return DESTINATION_LOOP;
    return DESTINATION_PROXY;
}

const char *destination_target(const char *name, const struct addr *destination, char buf[static ADDR_TEXT_MAX])
{
    return name && *name ? name : addr_host_text(destination, buf);
}
