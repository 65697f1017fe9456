/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/stats.h"

#include "base/sealed.h"

int stats_create(int *ret_fd, struct stats **ret_stats)
{
    void *memory;
    int result = sealed_create("penstock-stats", sizeof(struct stats), ret_fd, &memory);
    if (result == 0)
        *ret_stats = memory;
    return result;
}

int stats_map(int fd, struct stats **ret_stats)
{
    void *memory;
    int result = sealed_map(fd, sizeof(struct stats), &memory);
    if (result == 0)
        *ret_stats = memory;
    return result;
}

void stats_unmap(struct stats *stats)
{
    sealed_unmap(stats, sizeof *stats);
}

static const struct stat_info infos[] = {
#define STAT(field, kind, help) {#field, STAT_##kind, help, offsetof(struct stats, field)},
#include "model/stats.def"
#undef STAT
};

#define STATS_COUNT (sizeof infos / sizeof infos[0])

const struct stat_info *stats_info(size_t i)
{
    return i < STATS_COUNT ? &infos[i] : NULL;
}

static uint64_t *value_of(struct stats *stats, size_t i)
{
    return (uint64_t *)(void *)((char *)stats + infos[i].offset);
}

void stats_read(const struct stats *stats, struct stats *ret_copy)
{
    for (size_t i = 0; i < STATS_COUNT; i++)
        *value_of(ret_copy, i) = __atomic_load_n(value_of((struct stats *)stats, i), __ATOMIC_RELAXED);
}

void stats_sum(struct stats *sum, const struct stats *more)
{
    for (size_t i = 0; i < STATS_COUNT; i++)
        *value_of(sum, i) += *value_of((struct stats *)more, i);
}

void stats_zero_gauges(struct stats *stats)
{
    for (size_t i = 0; i < STATS_COUNT; i++)
        if (infos[i].kind == STAT_GAUGE)
            stats_set(value_of(stats, i), 0);
}

void stats_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void stats_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}
