/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to this host's network and rules: the nftables event group and rtnetlink, as libev watchers, and the
 * jump of the boot clock against the monotonic clock that tells of a sleep. */
#ifndef PENSTOCK_GATE_HOST_NETWATCH_H
#define PENSTOCK_GATE_HOST_NETWATCH_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/event.h"

struct netwatch;

/* own_portid: of the netfilter socket, whose events are not reported. sink gets EVENT_TABLES_CHANGED,
 * EVENT_NETWORK_CHANGED and EVENT_RESUMED, and may free netwatch. NULL: error, text filled. */
struct netwatch *netwatch_new(struct ev_loop *loop, uint32_t own_portid, const struct event_sink *sink, char *ret_error,
                              size_t error_size);
void netwatch_free(struct netwatch *netwatch); /* takes NULL */

#endif
