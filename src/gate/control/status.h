/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate is like, gathered from its parts. Every function returns a line as those of control/json.h. */
#ifndef PENSTOCK_GATE_CONTROL_STATUS_H
#define PENSTOCK_GATE_CONTROL_STATUS_H

#include <time.h>

#include "control/json.h"
#include "model/conf/conf.h"

struct children;
struct enforcement;
struct foreign;
struct keeper;
struct refusals;
struct reload;
struct servers;
struct test_run;

/* Whom to ask for the status; all borrowed. */
struct status_source {
    const struct enforcement *enforcement;
    const struct test_run *test_run;
    const struct servers *servers;
    const struct keeper *keeper;
    const struct children *children;
    const struct reload *reload;
    const struct foreign *foreign;
    const struct refusals *refusals;
    time_t started;
};

char *status_of(const struct status_source *source);
/* Of state.json, see status_state_json(): without warnings that name users or what the proxy was asked for. */
char *status_state_of(const struct status_source *source, const struct status_end *end);
char *status_state_key_of(const struct status_source *source);
char *status_config_of(const struct conf *conf, bool secrets);

#endif
