/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdict in force, and the only place that changes it: brings the kernel's rules and the relays' route to what the
 * tests want, in the order that leaves no hole, and never claims what the kernel does not have. Embedded in the gate.
 */
#ifndef PENSTOCK_GATE_DECIDE_ENFORCE_H
#define PENSTOCK_GATE_DECIDE_ENFORCE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "gate/children/children.h"
#include "gate/rules/keeper.h"
#include "model/verdict.h"

struct enforcement {
    struct keeper *keeper;     /* borrowed */
    struct children *children; /* borrowed */
    struct verdict verdict;    /* in force; read only outside of enforce.c */
    struct verdict wanted;     /* by the tests; another one only while the kernel or the relays are not ready for it */
    bool entered;              /* verdict holds one */
    bool relays_ready, had_relays;
    char redirect_lost[DETAIL_MAX]; /* why redirected connections do not arrive; empty: they do */
    time_t since;
    uint64_t generation; /* of the last route */
};

/* Nothing is in force yet: enforce_pursue() enters the first verdict. */
void enforce_init(struct enforcement *enforcement, struct keeper *keeper, struct children *children);

/* Way down (blocked, direct): rules, then the route that cuts the sessions. Way up: route, then rules. When the kernel
 * refuses, the relays are closed and with the kernel's words "Blocked - Local error" is in force, or "Not enforced"
 * where it does not even take the table of last resort; enforce_retry() later tries again. Every call gives the relays
 * a new generation. */
void enforce_pursue(struct enforcement *enforcement, const struct verdict *wanted);
void enforce_retry(struct enforcement *enforcement);
/* The kernel's table is not ours any more, and cannot be repaired now; keeper_status() says why. */
void enforce_rules_lost(struct enforcement *enforcement);
/* The redirect needs at least one relay that listens. One that was there and is gone changes nothing: the closed port
 * refuses what is redirected to it. The same again is no news. */
void enforce_relays_ready(struct enforcement *enforcement, bool ready);
/* Rules of others let no redirected connection arrive, and why; empty: they arrive. The same again is no news. */
void enforce_redirect_tried(struct enforcement *enforcement, const char *why_lost);

#endif
