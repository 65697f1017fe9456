/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of the control socket: who asked for what, and what they still wait for. Whoever asked gets an answer, also
 * when the memory is short or the daemon stops. */
#ifndef PENSTOCK_GATE_CONTROL_VERBS_H
#define PENSTOCK_GATE_CONTROL_VERBS_H

#include "base/ipc.h"
#include "control/json.h"
#include "gate/children/children.h"
#include "gate/control/server.h"
#include "gate/control/status.h"
#include "gate/decide/test_run.h"
#include "gate/reload.h"

struct verbs;

/* What the verbs are about; all borrowed. */
struct verbs_parts {
    struct test_run *test_run;
    struct reload *reload;
    struct children *children;
    const struct status_source *status;
};

/* NULL: out of memory. parts is copied. */
struct verbs *verbs_new(const struct verbs_parts *parts);
/* After control_free(). Takes NULL. */
void verbs_free(struct verbs *verbs);

/* For control_new(), with the verbs as data. */
extern const struct control_cbs verbs_control_cbs;

/* The stages of a test as they end. */
void verbs_on_report(struct verbs *verbs, const struct test_report *report);
void verbs_on_session(struct verbs *verbs, const struct ipc_session *session);
void verbs_on_sum(struct verbs *verbs, const struct ipc_sum *sum);
void verbs_on_sessions_end(struct verbs *verbs, uint64_t list_id);
/* Before the loop sleeps: answers those whose test or reload is over, starts the list that some wait for. */
void verbs_settle(struct verbs *verbs);
/* Nobody waits any more. */
void verbs_stop(struct verbs *verbs);

#endif
