/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int stats_create(int *ret_fd, struct stats **ret_stats)
{
    struct stats *stats;
    int result;
    int fd = memfd_create("penstock-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Sealed: a relay that shrank it would kill the gate with SIGBUS. */
    if (ftruncate(fd, sizeof(struct stats)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        result = -errno;
    else
        result = stats_map(fd, &stats);
    if (result < 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    *ret_stats = stats;
    return 0;
}

int stats_map(int fd, struct stats **ret_stats)
{
    struct stat st;
    void *memory;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size != (off_t)sizeof(struct stats))
        return -EINVAL;
    memory = mmap(NULL, sizeof(struct stats), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    *ret_stats = memory;
    return 0;
}

void stats_unmap(struct stats *stats)
{
    if (stats)
        munmap(stats, sizeof *stats);
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
