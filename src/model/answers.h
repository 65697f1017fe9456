/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the proxy has answered CONNECT: counts by port and status. All zero is none. Pure functions. */
#ifndef PENSTOCK_MODEL_ANSWERS_H
#define PENSTOCK_MODEL_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/cause.h"
#include "model/text.h"

#define ANSWERS_MAX      12
#define ANSWERS_TEXT_MAX (3 * DETAIL_MAX)

struct answers_count {
    uint16_t port;           /* that was asked for */
    uint16_t status;         /* HTTP's; one for all that accept, one for all of a proxy that could not get there */
    uint8_t cause;           /* enum cause; CAUSE_NONE: accepted */
    uint32_t n;              /* how often */
    char detail[DETAIL_MAX]; /* of the last one: "proxy answered 403 Forbidden"; empty: accepted */
};

struct answers {
    uint32_t n;
    struct answers_count counts[ANSWERS_MAX];
};

/* Does this answer to CONNECT say that the proxy would have gone there, but could not? */
bool answers_is_unreached(int http_status);

/* One more. What finds no room is not counted. */
void answers_add(struct answers *answers, uint16_t port, int http_status, enum cause cause, const char *detail);
void answers_merge(struct answers *answers, const struct answers *more);

/* Is counts[i] most of what the proxy had to say for its port, and that more than once or twice? */
bool answers_is_trouble(const struct answers *answers, size_t i);
/* "40 of 40 connections to port 80 failed WHEN: …", and what to do about it. */
const char *answers_text(const struct answers *answers, size_t i, const char *when, char buf[static ANSWERS_TEXT_MAX]);
/* Of a trouble. */
enum cause answers_cause(const struct answers *answers, size_t i);

#endif
