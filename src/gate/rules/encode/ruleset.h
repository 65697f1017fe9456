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
#define RULESET_MESSAGES_MAX 1000u /* in one transaction, far above what the limits of conf.h allow */

/* Bits of the connection label, by their numbers. Not the mark: that is set by so many that a connection from before
 * our rules may carry any value. The kernel gives new connections a label when a rule asks for one. */
#define RULESET_LABEL_OWN    21 /* a connection of penstock itself */
#define RULESET_LABEL_BYPASS 22 /* a connection of a user of [Bypass] Users */
#define RULESET_LABEL_SERVED 23 /* came in from a web port, to a service of this host */

/* What decides about the rules. Two equal specs give the same table. */
struct ruleset_spec {
    enum verdict_mode mode; /* secure and plain: redirect; blocked: reject; direct: neither */
    const char *status;     /* the verdict's text: comment of the reject rules when blocked */
    const struct conf *conf;
    uid_t own_uid;              /* whose traffic to the proxies is exempt */
    const struct addr *proxies; /* their addresses, with whatever port */
    size_t n_proxies;
};

enum ruleset_change {
    RULESET_CREATE,  /* the table is not there */
    RULESET_REPLACE, /* the table is there: delete it and create it anew */
    RULESET_REFILL,  /* it has our chains, sets and counters: fill chains and sets anew, counters go on */
    RULESET_RULES,   /* also its sets hold the right elements: fill the chains alone */
    RULESET_REMOVE,  /* the table is there and shall go; spec may be NULL */
};

/* One transaction for the kernel: messages in one buffer. Only the last one asks for an acknowledgement. */
struct ruleset_batch;

/* generation: of the rules that the kernel must have for this to be accepted, 0 for any (NFNL_BATCH_GENID).
 * first_seq: sequence number of the first message, the others count up from there. NULL: out of memory. */
struct ruleset_batch *ruleset_encode(const struct ruleset_spec *spec, enum ruleset_change change, uint32_t table_flags,
                                     uint32_t generation, uint32_t first_seq);
void ruleset_batch_free(struct ruleset_batch *batch); /* takes NULL */

const void *ruleset_batch_data(const struct ruleset_batch *batch, size_t *ret_size);
uint32_t ruleset_batch_first_seq(const struct ruleset_batch *batch);
/* Of the message that is acknowledged. */
uint32_t ruleset_batch_last_seq(const struct ruleset_batch *batch);
/* Of the message that carries the table's flags, 0 if there is none. */
uint32_t ruleset_batch_table_seq(const struct ruleset_batch *batch);
/* What that message is about: "rule 'web traffic to the relay' in chain redirect_local". Never NULL. */
const char *ruleset_batch_describe(const struct ruleset_batch *batch, uint32_t seq);

/* The same for two specs whose sets hold the same elements. */
uint64_t ruleset_sets_digest(const struct ruleset_spec *spec);
/* The name of set number index, NULL after the last. */
const char *ruleset_set_name(size_t index);

#endif
