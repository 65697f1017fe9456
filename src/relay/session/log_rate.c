/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/log_rate.h"

#include <assert.h>

bool log_rate_take(struct log_rate *rate, unsigned per_second, double now)
{
    double regained = (now - rate->since) * per_second;
    assert(per_second > 0);
    rate->spent = regained < rate->spent ? rate->spent - regained : 0.;
    rate->since = now;
    if (rate->spent + 1. > per_second) {
        rate->untold++;
        return false;
    }
    rate->spent += 1.;
    return true;
}

uint64_t log_rate_tell(struct log_rate *rate)
{
    uint64_t untold = rate->untold;
    rate->untold = 0;
    return untold;
}
