/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What finished sessions have carried, summed by who and where to. Bounded: where there is no room for another key, the
 * one that counts least gives way to it, and what it had goes to "others". All zero is none. Pure functions. */
#ifndef PENSTOCK_MODEL_SUMS_H
#define PENSTOCK_MODEL_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/text.h"

#define SUMS_MAX 128 /* keys of a kind */

enum sum_by { SUM_BY_USER, SUM_BY_UNIT, SUM_BY_NAME, SUM_BY_COUNT };

struct sum {
    char key[NAME_SIZE]; /* a uid, a unit, a name; empty: not known */
    bool others;         /* of keys that found no room */
    uint8_t by;          /* enum sum_by */
    uint64_t sessions, failed, up, down;
};

struct sums {
    struct sum list[SUM_BY_COUNT][SUMS_MAX]; /* the first is the others' once something went there */
    size_t n[SUM_BY_COUNT];
};

/* key NULL: not known. */
void sums_add(struct sums *sums, enum sum_by by, const char *key, bool failed, uint64_t up, uint64_t down);
/* The one at that place, all kinds one after the other; NULL behind the last. */
const struct sum *sums_at(const struct sums *sums, size_t index);

/* Static string: "user", "unit", "name". */
const char *sum_by_text(enum sum_by by);

#endif
