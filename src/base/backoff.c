/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/backoff.h"

#include <assert.h>
#include <sys/random.h>

void backoff_init(struct backoff *backoff, uint32_t first_ms, uint32_t max_ms)
{
    assert(first_ms > 0 && first_ms <= max_ms);
    *backoff = (struct backoff){.first_ms = first_ms, .max_ms = max_ms, .next_ms = first_ms};
}

uint32_t backoff_next(struct backoff *backoff)
{
    uint32_t wait_ms = backoff->next_ms, random = 0;
    backoff->next_ms = wait_ms > backoff->max_ms / 2 ? backoff->max_ms : wait_ms * 2;
    /* Many hosts lose the same proxy at the same moment; without random bytes there is no jitter, no more. */
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return wait_ms;
    return wait_ms - (uint32_t)((uint64_t)random * (wait_ms / 4) / UINT32_MAX);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->next_ms = backoff->first_ms;
}
