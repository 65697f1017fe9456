/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdict in force, and the only place that changes it: brings the kernel's rules and the relays' route to what the
 * tests want, in the order that leaves no hole, and never claims what the kernel does not have. Embedded in the gate.
 */
#ifndef PENSTOCK_GATE_STATE_H
#define PENSTOCK_GATE_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "gate/children.h"
#include "gate/netfilter.h"
#include "gate/rules.h"
#include "gate/verdict.h"

struct state {
    struct rules *rules;       /* borrowed */
    struct children *children; /* borrowed */
    struct verdict verdict;    /* in force; read only outside of state.c */
    struct verdict wanted;     /* by the tests; another one only while the kernel or the relays are not ready for it */
    bool entered;              /* verdict holds one */
    bool relays_ready;
    char warning[NETFILTER_ERROR_MAX]; /* beside the verdict; empty: none */
    time_t since;
    uint64_t generation; /* of the last route */
};

/* Nothing is in force yet: state_pursue() enters the first verdict. */
void state_init(struct state *state, struct rules *rules, struct children *children);

/* Way down (blocked, direct): rules, then the route that cuts the sessions. Way up: route, then rules. When the kernel
 * refuses, the relays are closed and "Testing" with the kernel's words is in force (or the blocked verdict that was
 * wanted); state_retry() later tries again. Every call gives the relays a new generation. */
void state_pursue(struct state *state, const struct verdict *wanted);
void state_retry(struct state *state);
/* Something else that an administrator should know; empty: not any more. */
void state_warn(struct state *state, const char *text);
/* The kernel's table is not ours any more, and cannot be repaired now. */
void state_rules_lost(struct state *state, const char *why);
/* The redirect needs at least one relay that listens. One that was there and is gone changes nothing: the closed port
 * refuses what is redirected to it. */
void state_relays_ready(struct state *state, bool ready);

#endif
