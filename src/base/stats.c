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

void stats_read(const struct stats *stats, struct stats *ret_copy)
{
    ret_copy->sessions_open = __atomic_load_n(&stats->sessions_open, __ATOMIC_RELAXED);
    ret_copy->sessions_total = __atomic_load_n(&stats->sessions_total, __ATOMIC_RELAXED);
    ret_copy->sessions_failed = __atomic_load_n(&stats->sessions_failed, __ATOMIC_RELAXED);
    ret_copy->bytes_up = __atomic_load_n(&stats->bytes_up, __ATOMIC_RELAXED);
    ret_copy->bytes_down = __atomic_load_n(&stats->bytes_down, __ATOMIC_RELAXED);
}

void stats_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

void stats_set(uint64_t *counter, uint64_t value)
{
    __atomic_store_n(counter, value, __ATOMIC_RELAXED);
}
