/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status page: a status object of the daemon as text. Any object will do: what is missing or odd is left out. */
#ifndef PENSTOCK_CLI_PAGE_H
#define PENSTOCK_CLI_PAGE_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/text.h"

/* now: seconds since the epoch, for ages and days left. */
void page_render(FILE *out, const struct text_style *style, const json_t *status, int64_t now);
/* The last changes, the latest first; nothing for an empty array. */
void page_render_changes(FILE *out, const struct text_style *style, const json_t *changes, int64_t now);
/* Only status, reason, what to do, proxy and certificates: the end of penstock test. */
void page_render_verdict(FILE *out, const struct text_style *style, const json_t *status, int64_t now);
/* One stage of penstock test: {"stage", "server", "address", "result", "ms", "detail"}. */
void page_render_stage(FILE *out, const struct text_style *style, const json_t *stage);

#endif
