/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/ruleset.h"

#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "gate/rules/encode/batch.h"
#include "gate/rules/encode/chains.h"
#include "gate/rules/encode/objects.h"
#include "gate/rules/encode/sets.h"

#define TABLE_COMMENT "rules for web traffic, see penstockd(8)"
#define COUNT_OF(a)   (sizeof a / sizeof((a)[0]))

/* The first nine count connections, the others packets. */
static const char *const counters[] = {
    "tried",
    "own",
    "bypassed",
    "blocked",
    "local",
    "other",
    "redirected",
    "source_routed",
    "served",
    "own_packets",
    "bypassed_packets",
    "local_packets",
    "served_packets",
    "labelled_packets",
    "other_owner",
    "closing_packets",
    "redirected_packets",
    "relay_packets",
    "direct_packets",
    "rejected_own",
    "rejected_proxy",
    "rejected_route",
    "rejected_block",
    "rejected_bound",
    "rejected_tcp",
    "rejected_udp",
    "rejected_relay",
};

static void create_all(struct ruleset_batch *batch, const struct ruleset_spec *spec, uint32_t table_flags)
{
    size_t n_chains;
    const struct chain *chains = ruleset_chains(&n_chains);
    ruleset_table_create(batch, table_flags, TABLE_COMMENT);
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        ruleset_counter_create(batch, counters[i]);
    ruleset_sets_create(batch, UINT32_MAX, spec);
    for (size_t i = 0; i < n_chains; i++)
        ruleset_chain_create(batch, &chains[i].base);
    ruleset_chains_fill(batch, spec);
}

static void flush_chains(struct ruleset_batch *batch)
{
    size_t n_chains;
    const struct chain *chains = ruleset_chains(&n_chains);
    for (size_t i = 0; i < n_chains; i++)
        ruleset_chain_flush(batch, chains[i].base.name);
}

/* No rule refers to a set while the chains are empty. */
static void switch_sets(struct ruleset_batch *batch, const struct ruleset_spec *spec, uint32_t sets)
{
    uint32_t intervals = ruleset_sets_intervals(sets);
    flush_chains(batch);
    ruleset_sets_refill(batch, sets & ~intervals, spec);
    ruleset_sets_delete(batch, intervals);
    ruleset_sets_create(batch, intervals, spec);
    ruleset_batch_refer_to_staged(batch, intervals);
    ruleset_chains_fill(batch, spec);
}

static void fill_rules(struct ruleset_batch *batch, const struct ruleset_spec *spec, uint32_t sets)
{
    uint32_t intervals = ruleset_sets_intervals(sets);
    flush_chains(batch);
    ruleset_sets_refill(batch, sets & ~intervals, spec);
    ruleset_sets_unstage(batch, intervals);
    ruleset_chains_fill(batch, spec);
}

bool ruleset_must_settle(const struct conf *conf)
{
    return conf->n_block_networks > 0;
}

struct ruleset_batch *ruleset_encode(const struct ruleset_spec *spec, enum ruleset_change change, uint32_t sets,
                                     uint32_t table_flags, uint32_t generation, uint32_t first_seq)
{
    struct ruleset_batch *batch = ruleset_batch_new(RULESET_TABLE, generation, first_seq);
    assert(change == RULESET_REMOVE ? !spec : spec && spec->conf);
    if (!batch)
        return NULL;
    switch (change) {
    case RULESET_CREATE:
        create_all(batch, spec, table_flags);
        break;
    case RULESET_REPLACE:
        ruleset_table_delete(batch);
        create_all(batch, spec, table_flags);
        break;
    case RULESET_STAGE:
        ruleset_sets_stage(batch, ruleset_sets_intervals(sets), spec);
        break;
    case RULESET_SWITCH:
        switch_sets(batch, spec, sets);
        break;
    case RULESET_RULES:
        fill_rules(batch, spec, sets);
        break;
    case RULESET_REMOVE:
        ruleset_table_delete(batch);
        break;
    }
    if (ruleset_batch_finish(batch))
        return batch;
    ruleset_batch_free(batch);
    return NULL;
}
