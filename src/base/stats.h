/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters of one relay in shared memory: the relay writes, the gate reads, nothing else is shared; the list is
 * stats.def. The gate creates it and passes the descriptor, so totals survive a relay's restart. */
#ifndef PENSTOCK_BASE_STATS_H
#define PENSTOCK_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats {
#define STAT(field, kind, help) uint64_t field;
#include "model/stats.def"
#undef STAT
};

enum stat_kind { STAT_GAUGE, STAT_COUNTER };

/* What a field is, for those who list them all; static. */
struct stat_info {
    const char *name;
    enum stat_kind kind;
    const char *help;
    size_t offset; /* of the uint64_t in struct stats */
};

/* NULL behind the last one. */
const struct stat_info *stats_info(size_t i);

/* A sealed memfd of the right size, mapped read-write. 0 or -errno. */
int stats_create(int *ret_fd, struct stats **ret_stats);
int stats_map(int fd, struct stats **ret_stats);
void stats_unmap(struct stats *stats);
/* A relaxed snapshot of all counters. */
void stats_read(const struct stats *stats, struct stats *ret_copy);
void stats_sum(struct stats *sum, const struct stats *more);
/* The relay has ended: what is of the living only is over. */
void stats_zero_gauges(struct stats *stats);
void stats_add(uint64_t *counter, uint64_t n);
void stats_set(uint64_t *counter, uint64_t value);

#endif
