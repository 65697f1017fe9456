/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a connection may go, from addresses alone. Pure functions. */
#ifndef PENSTOCK_RELAY_SESSION_DESTINATION_H
#define PENSTOCK_RELAY_SESSION_DESTINATION_H

#include "model/addr.h"

enum destination_verdict {
    DESTINATION_PROXY,
    DESTINATION_NOT_REDIRECTED, /* somebody connected to the relay's port itself */
    DESTINATION_LOOP,           /* it would come back to us, or go to the proxy through the proxy */
};

/* destination: the original one, unset (family 0) when the kernel knows none. own: the address that accepted the
 * connection. proxy: of the current route; unset when there is none. */
enum destination_verdict destination_judge(const struct addr *destination, const struct addr *own,
                                           const struct addr *proxy);

/* The host for CONNECT: the name when one is known, else the destination's address (into buf). */
const char *destination_target(const char *name, const struct addr *destination, char buf[static ADDR_TEXT_MAX]);

#endif
