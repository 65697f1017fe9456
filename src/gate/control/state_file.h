/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.json beside the control socket: what is in force, for anyone to read, also when the daemon is not there any
 * more. Written anew at each change, never seen half written. It holds no users, destinations and counters of traffic.
 */
#ifndef PENSTOCK_GATE_CONTROL_STATE_FILE_H
#define PENSTOCK_GATE_CONTROL_STATE_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "control/json.h"

struct status_source;

struct state_file {
    char path[PATH_MAX];
    char *written; /* what made the last write; NULL: none yet */
    bool failed;   /* and that was logged */
};

void state_file_init(struct state_file *file, const char *control_path);
void state_file_fini(struct state_file *file);
/* Before the loop sleeps: writes it if something has changed. */
void state_file_settle(struct state_file *file, const struct status_source *source);
/* At an orderly end. */
void state_file_end(struct state_file *file, const struct status_source *source, const struct status_end *end);
/* By one who could not start. */
void state_file_end_early(const char *control_path, const struct status_end *end);

#endif
