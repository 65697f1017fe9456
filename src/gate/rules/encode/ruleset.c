/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/ruleset.h"

#include <assert.h>
#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_ipv4.h>
#include <string.h>

#include "gate/rules/encode/batch.h"
#include "gate/rules/encode/chains.h"
#include "gate/rules/encode/sets.h"

#define TABLE_COMMENT "rules for web traffic, see penstockd(8)"
#define COUNT_OF(a)   (sizeof a / sizeof((a)[0]))

struct chain_type {
    const char *name;
    const char *type; /* NULL: not a base chain */
    uint32_t hook;
    int32_t priority;
};

static const struct chain_type chains[] = {
    {CHAIN_REDIRECT_LOCAL, "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST},
    {CHAIN_GUARD_CLOSING, NULL, 0, 0},
    {CHAIN_GUARD_LOCAL, "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER},
    {CHAIN_GUARD_BOUND, "filter", NF_INET_POST_ROUTING, NF_IP_PRI_FILTER},
    {CHAIN_RELAY_PORT, "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER},
};

/* The first four count connections, the others packets. */
static const char *const counters[] = {
    "own",
    "bypassed",
    "local",
    "redirected",
    "own_packets",
    "bypassed_packets",
    "local_packets",
    "marked_packets",
    "foreign_mark",
    "closing_packets",
    "redirected_packets",
    "relay_packets",
    "direct_packets",
    "rejected_bound",
    "rejected_tcp",
    "rejected_udp",
    "rejected_relay",
};

/* ---- the table ---- */

static void delete_table(struct ruleset_batch *batch)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_DELTABLE, 0, "removing table inet " RULESET_TABLE);
    if (message)
        mnl_attr_put_strz(message, NFTA_TABLE_NAME, RULESET_TABLE);
    ruleset_batch_commit(batch);
}

static bool describe_table(struct nftnl_table *table, uint32_t flags)
{
    struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    bool ok;
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
    ok = udata && nftnl_udata_put_strz(udata, NFTNL_UDATA_TABLE_COMMENT, TABLE_COMMENT) &&
         nftnl_table_set_data(table, NFTNL_TABLE_USERDATA, nftnl_udata_buf_data(udata), nftnl_udata_buf_len(udata)) ==
             0 &&
         nftnl_table_set_str(table, NFTNL_TABLE_NAME, RULESET_TABLE) == 0;
    if (udata)
        nftnl_udata_buf_free(udata);
    return ok;
}

static void create_table(struct ruleset_batch *batch, uint32_t flags)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, "table inet " RULESET_TABLE);
    struct nftnl_table *table = nftnl_table_alloc();
    if (message && table && describe_table(table, flags))
        nftnl_table_nlmsg_build_payload(message, table);
    else
        ruleset_batch_fail(batch);
    ruleset_batch_mark_table(batch);
    ruleset_batch_commit(batch);
    if (table)
        nftnl_table_free(table);
}

static void create_counter(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWOBJ, NLM_F_CREATE | NLM_F_EXCL, "counter %s", name);
    struct nftnl_obj *counter = nftnl_obj_alloc();
    if (message && counter) {
        nftnl_obj_set_u32(counter, NFTNL_OBJ_FAMILY, NFPROTO_INET);
        nftnl_obj_set_u32(counter, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
        nftnl_obj_set_str(counter, NFTNL_OBJ_TABLE, RULESET_TABLE);
        nftnl_obj_set_str(counter, NFTNL_OBJ_NAME, name);
        nftnl_obj_set_u64(counter, NFTNL_OBJ_CTR_PKTS, 0);
        nftnl_obj_set_u64(counter, NFTNL_OBJ_CTR_BYTES, 0);
        nftnl_obj_nlmsg_build_payload(message, counter);
    } else {
        ruleset_batch_fail(batch);
    }
    ruleset_batch_commit(batch);
    if (counter)
        nftnl_obj_free(counter);
}

static void create_chain(struct ruleset_batch *batch, const struct chain_type *type)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, "chain %s", type->name);
    struct nftnl_chain *chain = nftnl_chain_alloc();
    bool ok = message && chain;
    if (ok) {
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
        ok = nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, RULESET_TABLE) == 0 &&
             nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, type->name) == 0;
    }
    if (ok && type->type) {
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, type->hook);
        nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, type->priority);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_ACCEPT);
        ok = nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, type->type) == 0;
    }
    if (ok)
        nftnl_chain_nlmsg_build_payload(message, chain);
    else
        ruleset_batch_fail(batch);
    ruleset_batch_commit(batch);
    if (chain)
        nftnl_chain_free(chain);
}

static void flush_chain(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_DELRULE, 0, "the old rules of chain %s", name);
    if (message) {
        mnl_attr_put_strz(message, NFTA_RULE_TABLE, RULESET_TABLE);
        mnl_attr_put_strz(message, NFTA_RULE_CHAIN, name);
    }
    ruleset_batch_commit(batch);
}

static void create_all(struct ruleset_batch *batch, const struct ruleset_spec *spec, uint32_t table_flags)
{
    create_table(batch, table_flags);
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        create_counter(batch, counters[i]);
    ruleset_sets_create(batch);
    ruleset_sets_fill(batch, spec->conf);
    for (size_t i = 0; i < COUNT_OF(chains); i++)
        create_chain(batch, &chains[i]);
    ruleset_chains_fill(batch, spec);
}

static void refill(struct ruleset_batch *batch, const struct ruleset_spec *spec, bool sets)
{
    for (size_t i = 0; i < COUNT_OF(chains); i++)
        flush_chain(batch, chains[i].name);
    if (sets) {
        ruleset_sets_flush(batch);
        ruleset_sets_fill(batch, spec->conf);
    }
    ruleset_chains_fill(batch, spec);
}

struct ruleset_batch *ruleset_encode(const struct ruleset_spec *spec, enum ruleset_change change, uint32_t table_flags,
                                     uint32_t generation, uint32_t first_seq)
{
    struct ruleset_batch *batch = ruleset_batch_new(generation, first_seq);
    if (!batch)
        return NULL;
    switch (change) {
    case RULESET_CREATE:
        create_all(batch, spec, table_flags);
        break;
    case RULESET_REPLACE:
        delete_table(batch);
        create_all(batch, spec, table_flags);
        break;
    case RULESET_REFILL:
        refill(batch, spec, true);
        break;
    case RULESET_RULES:
        refill(batch, spec, false);
        break;
    case RULESET_REMOVE:
        delete_table(batch);
        break;
    }
    if (ruleset_batch_finish(batch))
        return batch;
    ruleset_batch_free(batch);
    return NULL;
}
