/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a connection may go, from addresses and the configuration alone. Pure functions. */
#ifndef PENSTOCK_RELAY_SESSION_DESTINATION_H
#define PENSTOCK_RELAY_SESSION_DESTINATION_H

#include "model/addr.h"
#include "model/conf/conf.h"
#include "model/reason.h"

/* May it go to the proxy? destination: the original one, family 0 when the kernel knows none. own: the address that
 * accepted the connection. proxy: of the current route, family 0 when there is none. False: ret_reason says why not. */
bool destination_judge(const struct conf *conf, const struct addr *destination, const struct addr *own,
                       const struct addr *proxy, enum reason *ret_reason);

/* The host for CONNECT: the name when one is known, else the destination's address (into buf). */
const char *destination_target(const char *name, const struct addr *destination, char buf[static ADDR_TEXT_MAX]);

#endif
