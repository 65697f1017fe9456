/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to this host's network and rules: the nftables event group and rtnetlink, as libev watchers, and the
 * jump of the boot clock against the monotonic clock that tells of a sleep. */
#ifndef PENSTOCK_GATE_HOST_NETWATCH_H
#define PENSTOCK_GATE_HOST_NETWATCH_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

struct netwatch;

struct netwatch_cbs {
    /* Our table was (or, after lost events, may have been) changed by somebody else: compare and repair.
     * culprit: "nft (pid 1234)", or "unknown" where the kernel does not say; NULL: events were lost. */
    void (*table_changed)(const char *culprit, void *data);
    /* Addresses, links or routes changed; debounced, 200 ms after the last event and at most 1 s after the first. */
    void (*network_changed)(void *data);
    /* The host slept for at least a few seconds. */
    void (*resumed)(void *data);
};

/* own_portid: of the netfilter socket, whose events are not reported. NULL: error, text filled. cbs is copied. */
struct netwatch *netwatch_new(struct ev_loop *loop, uint32_t own_portid, const struct netwatch_cbs *cbs, void *data,
                              char *ret_error, size_t error_size);
void netwatch_free(struct netwatch *netwatch); /* takes NULL */

#endif
