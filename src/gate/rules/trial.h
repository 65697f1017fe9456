/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tries the redirect: a connection of penstock's own goes through the rules like everybody's (model/trial.h), for each
 * family that has a route. The kernel alone answers it, so no relay can delay it, and not a byte is read. One that does
 * not arrive twice in a row tells of rules of others that stand in the way. Embedded in the gate. */
#ifndef PENSTOCK_GATE_RULES_TRIAL_H
#define PENSTOCK_GATE_RULES_TRIAL_H

#include <ev.h>
#include <stdbool.h>

#include "gate/event.h"
#include "model/conf/conf.h"
#include "model/text.h"

struct children;
struct keeper;

enum trial_state { TRIAL_RESTING, TRIAL_RUNNING };
enum trial_outcome { TRIAL_OPEN, TRIAL_ARRIVED, TRIAL_LOST, TRIAL_UNKNOWN };

struct trial_attempt {
    struct trial *trial;
    const char *address;
    enum trial_outcome outcome;
    ev_io io;
};

/* Seconds. Tests use shorter ones. */
struct trial_timing {
    double answer; /* that a connection may take */
    double delay;  /* behind a change */
    double rest;   /* without one */
    double failed; /* until the next one that may arrive again */
};

struct trial {
    struct ev_loop *loop;
    struct trial_timing timing;
    const struct conf *conf;         /* borrowed */
    const struct keeper *keeper;     /* borrowed */
    const struct children *children; /* borrowed */
    struct event_sink sink;          /* gets EVENT_REDIRECT_TRIED when text has changed */
    enum trial_state state;
    unsigned losses; /* in a row */
    bool again;      /* something changed since it began */
    bool crowded;    /* no room for its connection */
    struct trial_attempt attempts[2];
    ev_timer timer;        /* begins the next one, or ends this one */
    char text[DETAIL_MAX]; /* why the redirect does not arrive; empty: it does, or nobody can tell */
};

void trial_init(struct trial *trial, struct ev_loop *loop, const struct keeper *keeper, const struct children *children,
                const struct event_sink *sink);
void trial_fini(struct trial *trial);
/* At the start and at a reload: tries from the loop. */
void trial_set_conf(struct trial *trial, const struct conf *conf);
/* Rules, addresses or routes changed: tries soon. Without that it tries now and then, for not all that can stand in the
 * way tells of itself. */
void trial_soon(struct trial *trial);

#endif
