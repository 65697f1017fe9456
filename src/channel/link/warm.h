/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links to the proxy that have carried a request and rest until the next one. Each has a key: nobody gets a link of
 * another key. One on which a byte arrives, or the end, is closed: nobody has asked for anything. Bounded in number and
 * in time; at the limit the one that has rested longest goes. */
#ifndef PENSTOCK_CHANNEL_LINK_WARM_H
#define PENSTOCK_CHANNEL_LINK_WARM_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel/link/link.h"

struct warm_key {
    uint64_t way;    /* the route and the settings that it was opened by; grows */
    uid_t uid;       /* whose requests it has carried */
    uint64_t cgroup; /* and of which unit of that user, where the proxy is told; else 0 */
};

struct warm;

/* max 0: none is kept. NULL: out of memory. */
struct warm *warm_new(struct ev_loop *loop, size_t max, double rest_s);
void warm_free(struct warm *warm); /* takes NULL; closes all of them */

/* Takes the link over, which is up and has nothing left to give. */
void warm_put(struct warm *warm, const struct warm_key *key, struct link *link);

/* The one of that key that was used last, if it has rested for less than fresh_s; now the caller's. NULL: none. */
struct link *warm_take(struct warm *warm, const struct warm_key *key, double fresh_s);

/* Closes those of another way. */
void warm_keep_way(struct warm *warm, uint64_t way);

size_t warm_count(const struct warm *warm);

#endif
