/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's file of changes, see control/change.h: read here without asking anybody, so also while no daemon runs.
 */
#ifndef PENSTOCK_CLI_CHANGES_H
#define PENSTOCK_CLI_CHANGES_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/text.h"

/* A reader that goes on where it stopped, also when the file was replaced meanwhile. */
struct changes {
    char path[PATH_MAX];
    FILE *file; /* NULL: not open */
    uint64_t seq;
};

void changes_init(struct changes *changes, const struct cli_options *options);
void changes_fini(struct changes *changes);
/* The next whole line as an object, the caller's; NULL: none now. What is no line of ours is passed over. */
json_t *changes_next(struct changes *changes);
/* True: the file is there and could be opened; else *ret_error is filled. */
bool changes_can_read(struct changes *changes, struct error *ret_error);

/* The last n, an array; empty where there are none or they cannot be read. */
json_t *changes_last(const struct cli_options *options, size_t n);

/* What happened, as half a line: "Blocked - Mutual Auth Failed: certificate of …". Cleaned. */
const char *changes_text(const json_t *change, bool utf8, char buf[static TEXT_MAX]);

#endif
