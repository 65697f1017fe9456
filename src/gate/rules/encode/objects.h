/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Table, chains and counters as messages of a batch. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_OBJECTS_H
#define PENSTOCK_GATE_RULES_ENCODE_OBJECTS_H

#include <stdint.h>

#include "gate/rules/encode/batch.h"

struct ruleset_chain {
    const char *name;
    const char *type; /* NULL: not a base chain */
    uint32_t hook;
    int32_t priority;
};

void ruleset_table_create(struct ruleset_batch *batch, uint32_t flags, const char *comment);
void ruleset_table_delete(struct ruleset_batch *batch);
void ruleset_chain_create(struct ruleset_batch *batch, const struct ruleset_chain *type);
void ruleset_chain_flush(struct ruleset_batch *batch, const char *name);
void ruleset_counter_create(struct ruleset_batch *batch, const char *name);

#endif
