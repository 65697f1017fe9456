/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The chains of the table, and their rules out of the table of steps. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_CHAINS_H
#define PENSTOCK_GATE_RULES_ENCODE_CHAINS_H

#include "gate/rules/encode/batch.h"
#include "gate/rules/encode/objects.h"
#include "gate/rules/encode/steps.h"

#define CHAIN_GUARD_LOCAL "guard_local"

struct chain {
    struct ruleset_chain base;
    enum step_chain kind;
    enum step_side side;
};

/* In the order in which they are made: one that is jumped to stands before those that do. */
const struct chain *ruleset_chains(size_t *ret_count);

/* Whether a step makes a rule in that chain, for that spec. */
bool ruleset_step_applies(const struct step *step, const struct chain *chain, const struct ruleset_spec *spec);

/* Appends the rules to the chains, which are empty. */
void ruleset_chains_fill(struct ruleset_batch *batch, const struct ruleset_spec *spec);

#endif
