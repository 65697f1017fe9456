/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small list of sentences that grows as it is filled. All zero is an empty one. */
#ifndef PENSTOCK_MODEL_TEXTS_H
#define PENSTOCK_MODEL_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

#define TEXTS_MAX 100

struct texts {
    char **lines;
    size_t n;
    size_t more; /* that found no room, or no memory */
};

/* Never fails: what cannot be kept is counted. */
void texts_add(struct texts *texts, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool texts_contain(const struct texts *texts, const char *line);
void texts_clear(struct texts *texts); /* empty again, nothing allocated */

#endif
