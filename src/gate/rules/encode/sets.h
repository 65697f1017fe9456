/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sets of the table: their names, types and elements, out of the configuration. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_SETS_H
#define PENSTOCK_GATE_RULES_ENCODE_SETS_H

#include "gate/rules/encode/batch.h"

#define SET_WEB          "web"
#define SET_PROTOCOLS    "protocols" /* that have ports */
#define SET_BYPASS_PORTS "bypass_ports"
#define SET_BYPASS_USERS "bypass_users"
#define SET_BYPASS4      "bypass4"
#define SET_BYPASS6      "bypass6"
#define SET_BLOCK_PORTS  "block_ports"
#define SET_BLOCK_USERS  "block_users"
#define SET_BLOCK4       "block4"
#define SET_BLOCK6       "block6"
#define SET_OWN4         "own4" /* address and port of the proxies */
#define SET_OWN6         "own6"
#define SET_LOCAL4       "local4" /* [Bypass] LocalNetworks */
#define SET_LOCAL6       "local6"

/* which: a bit for each set. Created with their elements. */
void ruleset_sets_create(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec);
void ruleset_sets_delete(struct ruleset_batch *batch, uint32_t which);
void ruleset_sets_refill(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec);
/* A second set beside each, with other elements; and gone again. */
void ruleset_sets_stage(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec);
void ruleset_sets_unstage(struct ruleset_batch *batch, uint32_t which);
/* The name by which the rules of that batch refer to a set. */
const char *ruleset_sets_referred(const struct ruleset_batch *batch, const char *set);

#endif
