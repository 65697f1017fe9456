/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verbs of the control socket: who asked for what, and what they still wait for. */
#ifndef PENSTOCK_GATE_REQUESTS_H
#define PENSTOCK_GATE_REQUESTS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/ipc.h"
#include "gate/control.h"
#include "gate/status.h"

struct requests;

/* What the gate does for the verbs; may be called inside requests_on_ functions. */
struct requests_ops {
    char *(*status)(void *data);                    /* JSON, to be freed */
    char *(*config)(void *data);                    /* INI text, to be freed */
    bool (*test)(void *data);                       /* false: cannot test now */
    void (*list_sessions)(uint64_t id, void *data); /* requests_on_session(), then requests_on_sessions_end() */
    bool (*reload)(struct status_texts *errors, void *data); /* true: requests_on_reloaded() follows */
};

/* NULL: out of memory. ops is copied. */
struct requests *requests_new(struct ev_loop *loop, const struct requests_ops *ops, void *data);
/* After control_free(). Takes NULL. */
void requests_free(struct requests *requests);

/* For control_new(), with the requests as data. */
extern const struct control_cbs requests_control_cbs;

/* The stages of a test as they end. */
void requests_on_report(struct requests *requests, const struct test_report *report);
/* The test is over: why NULL, or why there is no result. */
void requests_on_test_end(struct requests *requests, const char *why);
void requests_on_session(struct requests *requests, const struct ipc_session *session);
void requests_on_sessions_end(struct requests *requests, uint64_t id);
/* All children have taken the new configuration, or said why not. */
void requests_on_reloaded(struct requests *requests, const struct status_texts *warnings);
void requests_on_reload_refused(struct requests *requests, const char *error);

#endif
