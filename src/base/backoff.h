/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exponential back-off with jitter: 1st wait = first, then doubling up to max, each drawn from [3/4, 1] of it.
 * Embedded. */
#ifndef PENSTOCK_BASE_BACKOFF_H
#define PENSTOCK_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint32_t first_ms, max_ms, next_ms;
};

void backoff_init(struct backoff *backoff, uint32_t first_ms, uint32_t max_ms);
uint32_t backoff_next(struct backoff *backoff); /* milliseconds to wait now; advances */
void backoff_reset(struct backoff *backoff);

#endif
