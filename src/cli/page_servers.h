/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lines of the status page about every server. */
#ifndef PENSTOCK_CLI_PAGE_SERVERS_H
#define PENSTOCK_CLI_PAGE_SERVERS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/text.h"

/* Each line begins with label (on the first one alone) in so many columns. False: there are no servers to tell of. */
bool page_put_servers(FILE *out, const struct text_style *style, const json_t *status, int64_t now, const char *label,
                      size_t columns);
/* As wide as text_cell() has to make it. */
const char *page_mark(const struct text_style *style, enum text_tone tone);
size_t page_mark_columns(const struct text_style *style);

#endif
