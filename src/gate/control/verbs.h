/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of the control socket: who asked for what, and what they still wait for. */
#ifndef PENSTOCK_GATE_CONTROL_VERBS_H
#define PENSTOCK_GATE_CONTROL_VERBS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ipc.h"
#include "gate/control/server.h"
#include "gate/control/status.h"

struct verbs;

/* What the gate does for the verbs; may be called inside requests_on_ functions. */
struct verbs_ops {
    char *(*status)(void *data);                             /* JSON, to be freed */
    char *(*config)(void *data);                             /* INI text, to be freed */
    bool (*test)(void *data);                                /* false: cannot test now */
    void (*list_sessions)(uint64_t id, void *data);          /* verbs_on_session(), then verbs_on_sessions_end() */
    bool (*reload)(struct status_texts *errors, void *data); /* true: verbs_on_reloaded() follows */
};

/* NULL: out of memory. ops is copied. */
struct verbs *verbs_new(struct ev_loop *loop, const struct verbs_ops *ops, void *data);
/* After control_free(). Takes NULL. */
void verbs_free(struct verbs *verbs);

/* For control_new(), with the requests as data. */
extern const struct control_cbs verbs_control_cbs;

/* The stages of a test as they end. */
void verbs_on_report(struct verbs *verbs, const struct test_report *report);
/* The test is over: why NULL, or why there is no result. */
void verbs_on_test_end(struct verbs *verbs, const char *why);
void verbs_on_session(struct verbs *verbs, const struct ipc_session *session);
void verbs_on_sessions_end(struct verbs *verbs, uint64_t id);
/* All children have taken the new configuration, or said why not. */
void verbs_on_reloaded(struct verbs *verbs, const struct status_texts *warnings);
void verbs_on_reload_refused(struct verbs *verbs, const char *error);

#endif
