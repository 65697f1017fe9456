/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seed of a test that draws by chance. It is printed; SEED=n in the environment repeats the run. */
#ifndef PENSTOCK_TESTS_SEED_H
#define PENSTOCK_TESTS_SEED_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline unsigned seed_of_run(void)
{
    const char *text = getenv("SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL) * 7919u ^ (unsigned)getpid() << 8;
    printf("SEED=%u\n", seed);
    fflush(stdout);
    return seed;
}

#endif
