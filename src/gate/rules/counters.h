/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the named counters of the table tell, out of a dump of its objects. Pure: touches no socket. */
#ifndef PENSTOCK_GATE_RULES_COUNTERS_H
#define PENSTOCK_GATE_RULES_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "gate/rules/encode/ruleset.h"

struct nlmsghdr;

struct counters {
    bool known;        /* the table has counters: that of last resort has none with names */
    uint64_t bypassed; /* connections to redirected ports that went past the proxy */
    uint64_t rejected; /* packets, of which nearly each began a connection: a refusal is final */
};

/* Takes what one message says; others' objects are ignored. */
void counters_add(struct counters *counters, const struct nlmsghdr *message);

#endif
