/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The JSON lines of the control socket, as penstock(1) tells them, from plain structs: what the daemon answers, and
 * what `penstock test -c` finds without it. Every function returns one line without its newline, to be freed; NULL when
 * out of memory. Text that came from a child may hold any bytes: what is not UTF-8 becomes question marks. */
#ifndef PENSTOCK_CONTROL_JSON_H
#define PENSTOCK_CONTROL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/ipc.h"
#include "base/stats.h"
#include "model/cause.h"
#include "model/server.h"
#include "model/texts.h"
#include "model/verdict.h"

struct status_rules {
    const char *table; /* "inet penstock" */
    bool installed;    /* the kernel's table is the one of the verdict */
    bool last_resort;  /* or it is one that only refuses web traffic */
    bool owned;
    uint64_t changes, repaired;
    enum cause cause;       /* with error */
    char error[DETAIL_MAX]; /* why it is not installed; empty: nothing to say */
};

/* What the relays never see. */
struct status_traffic {
    bool known;
    uint64_t bypassed; /* connections to redirected ports that went past the proxy */
    uint64_t rejected; /* packets that the rules refused, as a rule one for each attempt to connect */
};

struct status_info {
    struct verdict verdict;
    time_t since;        /* of the verdict */
    time_t tested_at;    /* 0: no test has ended yet */
    time_t next_test_at; /* 0: none is due, or one runs */
    time_t started;
    const struct server_status *servers; /* borrowed */
    size_t n_servers;
    struct status_rules rules;
    struct stats stats;
    struct status_traffic traffic;
    struct texts warnings;
};

/* How the daemon ended. */
struct status_end {
    time_t at;
    const char *why;         /* half a sentence */
    bool failed;             /* not as it was asked to */
    const char *web_traffic; /* "refused", "open"; NULL: as it was before */
};

char *status_json(const struct status_info *info);
/* What the file of the state holds: no counters of traffic; end NULL: the daemon lives. */
char *status_state_json(const struct status_info *info, const struct status_end *end);
/* The part of it whose change is a change of the state. */
char *status_state_key(const struct status_info *info);
/* The same of a daemon that could not start. */
char *status_end_json(const struct status_end *end);
/* What a status has of a test that was made without the daemon. */
char *status_verdict_json(const struct verdict *verdict, time_t tested_at);

/* NULL also while that stage has not ended. */
char *status_stage_json(const struct server_report *server, enum stage stage);
char *status_session_json(const struct ipc_session *session);
char *status_sum_json(const struct sum *sum);
char *status_config_json(const char *text);
char *status_error_json(const char *error);
/* ok: with warnings, else with errors. */
char *status_reload_json(bool ok, const struct texts *texts);

#endif
