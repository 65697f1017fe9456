/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of struct ruleset_batch, for the ruleset's own files: messages are appended one after the other.
 * Out of memory is remembered, everything after it does nothing, and ruleset_batch_finish() tells. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_BATCH_H
#define PENSTOCK_GATE_RULES_ENCODE_BATCH_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "gate/rules/encode/ruleset.h"

/* table: static, of the inet family; what is appended belongs to it. */
struct ruleset_batch *ruleset_batch_new(const char *table, uint32_t generation, uint32_t first_seq);
const char *ruleset_batch_table(const struct ruleset_batch *batch);

/* Starts a message of nf_tables (NFT_MSG_…) with NLM_F_REQUEST and flags. what describes it in errors (printf).
 * NULL after out of memory. The caller adds attributes, up to 64 KiB, then calls ruleset_batch_commit(). */
struct nlmsghdr *ruleset_batch_message(struct ruleset_batch *batch, uint16_t type, uint16_t flags, const char *what,
                                       ...) __attribute__((format(printf, 4, 5)));
void ruleset_batch_commit(struct ruleset_batch *batch);
/* The message started last is the one whose number ruleset_batch_table_seq() gives. */
void ruleset_batch_mark_table(struct ruleset_batch *batch);
void ruleset_batch_fail(struct ruleset_batch *batch);
/* The rules that follow refer to the staged ones of these sets (a bit for each). */
void ruleset_batch_refer_to_staged(struct ruleset_batch *batch, uint32_t sets);
uint32_t ruleset_batch_staged(const struct ruleset_batch *batch);

/* Closes the transaction; false when anything failed before. */
bool ruleset_batch_finish(struct ruleset_batch *batch);
/* Leaves it open: the kernel judges every message, then forgets all of them. */
bool ruleset_batch_finish_open(struct ruleset_batch *batch);

#endif
