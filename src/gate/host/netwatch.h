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

/* sink gets EVENT_NETWORK_CHANGED and EVENT_RESUMED, and may free netwatch. NULL: error, text filled. */
struct netwatch *netwatch_new(struct ev_loop *loop, const struct event_sink *sink, char *ret_error, size_t error_size);
/* From now on EVENT_TABLES_CHANGED, too, but for what comes from own_portid, our netfilter socket. Nothing is done when
 * it is watched already, or own_portid is 0: there is no such socket yet. */
void netwatch_watch_rules(struct netwatch *netwatch, uint32_t own_portid);
void netwatch_free(struct netwatch *netwatch); /* takes NULL */

#endif
