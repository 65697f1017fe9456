/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of one relay in shared memory: the relay writes, the gate reads, nothing else is shared.
 * The gate creates it and passes the descriptor, so totals survive a relay's restart. */
#ifndef PENSTOCK_BASE_STATS_H
#define PENSTOCK_BASE_STATS_H

#include <stdint.h>

struct stats {
    uint64_t sessions_open; /* a gauge; the gate zeroes it when the relay has died */
    uint64_t sessions_total;
    uint64_t sessions_failed;      /* ended with a reason that is an error */
    uint64_t bytes_up, bytes_down; /* payload from and to clients */
};

/* A sealed memfd of the right size, mapped read-write. 0 or -errno. */
int stats_create(int *ret_fd, struct stats **ret_stats);
int stats_map(int fd, struct stats **ret_stats);
void stats_unmap(struct stats *stats);
/* A relaxed snapshot of all counters. */
void stats_read(const struct stats *stats, struct stats *ret_copy);
void stats_add(uint64_t *counter, uint64_t n);
void stats_set(uint64_t *counter, uint64_t value);

#endif
