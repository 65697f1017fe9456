/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status in one line, as monitoring systems read it. Any object will do. */
#ifndef PENSTOCK_CLI_BRIEF_H
#define PENSTOCK_CLI_BRIEF_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

/* The exit status of a plugin. */
enum brief { BRIEF_OK, BRIEF_WARNING, BRIEF_CRITICAL, BRIEF_UNKNOWN };

/* now: seconds since the epoch. */
enum brief brief_of(const json_t *status, int64_t now);
void brief_render(FILE *out, const json_t *status, int64_t now);

#endif
