/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/error.h"

#include <stdarg.h>
#include <stdio.h>

int error_set(struct error *error, int code, enum cause cause, const char *format, ...)
{
    va_list args;
    error->code = code;
    error->cause = cause;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return code;
}
