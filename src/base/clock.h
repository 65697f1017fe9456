/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long something took; unlike the loop's time not disturbed when the clock is set. */
#ifndef PENSTOCK_BASE_CLOCK_H
#define PENSTOCK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Microseconds since some fixed moment. */
static inline uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline int64_t clock_ms(void)
{
    return (int64_t)(clock_us() / 1000);
}

/* Since start, at most 71 minutes. */
static inline uint32_t clock_us_since(uint64_t start)
{
    uint64_t us = clock_us() - start;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

#endif
