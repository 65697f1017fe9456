/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules of every chain, for one verdict. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_CHAINS_H
#define PENSTOCK_GATE_RULES_ENCODE_CHAINS_H

#include "gate/rules/encode/batch.h"

#define CHAIN_REDIRECT_LOCAL "redirect_local"
#define CHAIN_GUARD_LOCAL    "guard_local"
#define CHAIN_GUARD_CLOSING  "guard_closing"
#define CHAIN_GUARD_BOUND    "guard_bound"
#define CHAIN_RELAY_PORT     "relay_port"

/* Appends them to the chains, which are empty. */
void ruleset_chains_fill(struct ruleset_batch *batch, const struct ruleset_spec *spec);

#endif
