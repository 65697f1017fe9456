/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate leaves in files: the state in force, and the changes so far. Embedded; all zero is one that was never
 * begun. */
#ifndef PENSTOCK_GATE_CONTROL_RECORD_H
#define PENSTOCK_GATE_CONTROL_RECORD_H

#include "gate/control/history.h"
#include "gate/control/state_file.h"

struct record {
    struct state_file state;
    struct history history;
};

void record_begin(struct record *record, const char *control_path);
void record_fini(struct record *record);
/* Before the loop sleeps. */
void record_settle(struct record *record, const struct status_source *source);
/* The gate stops as it was asked to, and web traffic is "refused" or "open". */
void record_stop(struct record *record, const struct status_source *source, const char *web_traffic);

#endif
