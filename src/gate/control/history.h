/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of changes: one line for each change of the verdict or of a server, and for start and stop of the daemon. It
 * outlives the daemon and, for the service, the host's restart; its size is bounded, the oldest lines go first. What
 * cannot be written is logged once and lost. Embedded. */
#ifndef PENSTOCK_GATE_CONTROL_HISTORY_H
#define PENSTOCK_GATE_CONTROL_HISTORY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/decide/servers.h"
#include "model/verdict.h"

#define HISTORY_SIZE_MAX (512U << 10) /* bytes; then the older half goes */

struct history {
    char path[PATH_MAX];
    int fd; /* -1: not open */
    size_t size;
    uint64_t seq; /* of the last line */
    bool failed;  /* and that was logged */
    /* What was written last. */
    bool has_verdict;
    struct verdict verdict;
    struct servers servers;
};

/* Reads where the file ends, and writes that the daemon has started. */
void history_init(struct history *history, const char *control_path);
/* Takes one that was never initialised. */
void history_fini(struct history *history);
/* Before the loop sleeps: writes what has changed. */
void history_settle(struct history *history, const struct verdict *verdict, const struct servers *servers);
void history_stop(struct history *history, const char *web_traffic);

#endif
