/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, for the caller to tell: a number to act on, the cause to choose a cure by, a sentence for people. */
#ifndef PENSTOCK_MODEL_ERROR_H
#define PENSTOCK_MODEL_ERROR_H

#include "model/cause.h"
#include "model/text.h"

struct error {
    int code; /* -errno; 0: no error */
    enum cause cause;
    char text[DETAIL_MAX];
};

/* Fills error and returns code. */
int error_set(struct error *error, int code, enum cause cause, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
