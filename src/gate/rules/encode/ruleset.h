/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The desired ruleset of table inet penstock, and its encoding as one netlink batch. Pure: touches no socket.
 * What it builds lists exactly like nft/<name>.nft. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_RULESET_H
#define PENSTOCK_GATE_RULES_ENCODE_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/conf/conf.h"
#include "model/verdict.h"

#define RULESET_TABLE        "penstock"
#define RULESET_SETS_MAX     32u
#define RULESET_MESSAGES_MAX 1000u /* in one transaction, far above what the limits of conf.h allow */

/* Bits of the connection label, by their numbers. Not the mark: that is set by so many that a connection from before
 * our rules may carry any value. The kernel gives new connections a label when a rule asks for one. */
#define RULESET_LABEL_OWN        21 /* a connection of penstock itself */
#define RULESET_LABEL_BYPASS     22 /* a connection of a user of [Bypass] Users */
#define RULESET_LABEL_SERVED     23 /* came in from a web port, to a service of this host */
#define RULESET_LABEL_REDIRECTED 24 /* was redirected to a relay, whatever port that had then */

/* What decides about the rules. Two equal specs give the same table. */
struct ruleset_spec {
    enum verdict_mode mode; /* secure and plain: redirect; blocked: reject; direct: neither */
    const char *status;     /* the verdict's text: comment of the reject rules when blocked */
    const struct conf *conf;
    uid_t own_uid;              /* whose traffic to the proxies is exempt */
    const struct addr *proxies; /* their addresses, with whatever port */
    size_t n_proxies;
    bool settling; /* of a new table: until RULESET_RULES, in place of [Block] Networks all that begins is dropped */
};

/* A new table whose list of blocked networks the kernel may show only after the rules: it is made with settling. */
bool ruleset_must_settle(const struct conf *conf);

enum ruleset_change {
    RULESET_CREATE,  /* the table is not there */
    RULESET_REPLACE, /* the table is there: delete it and create it anew */
    RULESET_STAGE, /* it has our chains, sets and counters: lists that are to change get a second set beside the old one
                    */
    RULESET_SWITCH, /* behind that: the rules take the second one, and the old one is made anew */
    RULESET_RULES,  /* fill the chains anew, counters go on; behind a switch, the rules take the sets of the usual names
                     */
    RULESET_REMOVE, /* the table is there and shall go; spec may be NULL */
};

/* One transaction for the kernel: messages in one buffer. Only the last one asks for an acknowledgement. */
struct ruleset_batch;

/* sets: which of them have other elements than the kernel's, a bit for each by ruleset_set_name()'s numbers; for the
 * last three changes. A set of single keys is emptied and filled in place. A list of intervals must not be: up to
 * Linux 6.12 at least it is a tree in which elements that go and that come stand side by side until the transaction is
 * over, and a look-up takes an address for a member that is none. Nor may a new set be used at once: later kernels show
 * its elements only after the rules. So such lists change by stage, switch and rules, three transactions. generation:
 * of the rules that the kernel must have for this to be accepted, 0 for any (NFNL_BATCH_GENID). first_seq: sequence
 * number of the first message, the others count up from there. NULL: out of memory. */
struct ruleset_batch *ruleset_encode(const struct ruleset_spec *spec, enum ruleset_change change, uint32_t sets,
                                     uint32_t table_flags, uint32_t generation, uint32_t first_seq);
void ruleset_batch_free(struct ruleset_batch *batch); /* takes NULL */

const void *ruleset_batch_data(const struct ruleset_batch *batch, size_t *ret_size);
uint32_t ruleset_batch_first_seq(const struct ruleset_batch *batch);
/* Of the message that is acknowledged. */
uint32_t ruleset_batch_last_seq(const struct ruleset_batch *batch);
/* Of the message that carries the table's flags, 0 if there is none. */
uint32_t ruleset_batch_table_seq(const struct ruleset_batch *batch);
/* What that message is about: "rule 'web traffic to the relay' in chain redirect_local". Never NULL. */
const char *ruleset_batch_describe(const struct ruleset_batch *batch, uint32_t seq);

/* One digest for each set: of two specs, the same where that set holds the same elements. */
struct ruleset_sets_digest {
    uint64_t sets[RULESET_SETS_MAX];
};
void ruleset_sets_digest(const struct ruleset_spec *spec, struct ruleset_sets_digest *ret_digest);
/* The sets of intervals among sets. */
uint32_t ruleset_sets_intervals(uint32_t sets);
/* The sets that differ, a bit for each. */
uint32_t ruleset_sets_differing(const struct ruleset_sets_digest *a, const struct ruleset_sets_digest *b);
/* The name of set number index, NULL after the last. */
const char *ruleset_set_name(size_t index);

#endif
