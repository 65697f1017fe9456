/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON lines of the control socket (INTERFACE.md), from plain structs. Every function returns one line without its
 * newline, to be freed; NULL when out of memory. Text that came from a child may hold any bytes: what is not UTF-8
 * becomes question marks. */
#ifndef PENSTOCK_GATE_CONTROL_STATUS_H
#define PENSTOCK_GATE_CONTROL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ipc.h"
#include "base/stats.h"
#include "model/conf/conf.h"
#include "model/texts.h"
#include "model/verdict.h"

struct status_rules {
    bool installed; /* the kernel's table is the one of the verdict */
    bool owned;
    uint64_t changes, repaired;
    enum cause cause; /* with error */
    char error[256];  /* why it is not installed; empty: nothing to say */
};

struct status_info {
    struct verdict verdict;
    time_t since;     /* of the verdict */
    time_t tested_at; /* 0: no test has ended yet */
    time_t started;
    struct status_rules rules;
    struct stats stats;
    struct texts warnings;
};

char *status_json(const struct status_info *info);

/* NULL also while that stage has not ended. */
char *status_stage_json(const struct server_report *server, enum stage stage);
char *status_session_json(const struct ipc_session *session);
char *status_config_json(const char *text);
char *status_error_json(const char *error);
/* ok: with warnings, else with errors. */
char *status_reload_json(bool ok, const struct texts *texts);

struct children;
struct enforcement;
struct foreign;
struct keeper;
struct reload;
struct test_run;

/* Whom to ask for the status; all borrowed. */
struct status_source {
    const struct enforcement *enforcement;
    const struct test_run *test_run;
    const struct keeper *keeper;
    const struct children *children;
    const struct reload *reload;
    const struct foreign *foreign;
    time_t started;
};

char *status_of(const struct status_source *source);
char *status_config_of(const struct conf *conf, bool secrets);

#endif
