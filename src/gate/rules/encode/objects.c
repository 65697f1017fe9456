/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/objects.h"

#include <libnftnl/chain.h>
#include <libnftnl/object.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

void ruleset_table_delete(struct ruleset_batch *batch)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_DELTABLE, 0, "removing table inet %s", ruleset_batch_table(batch));
    if (message)
        mnl_attr_put_strz(message, NFTA_TABLE_NAME, ruleset_batch_table(batch));
    ruleset_batch_commit(batch);
}

static bool describe_table(struct nftnl_table *table, const char *name, uint32_t flags, const char *comment)
{
    struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    bool ok;
    nftnl_table_set_u32(table, NFTNL_TABLE_FAMILY, NFPROTO_INET);
    nftnl_table_set_u32(table, NFTNL_TABLE_FLAGS, flags);
    ok = udata && nftnl_udata_put_strz(udata, NFTNL_UDATA_TABLE_COMMENT, comment) &&
         nftnl_table_set_data(table, NFTNL_TABLE_USERDATA, nftnl_udata_buf_data(udata), nftnl_udata_buf_len(udata)) ==
             0 &&
         nftnl_table_set_str(table, NFTNL_TABLE_NAME, name) == 0;
    if (udata)
        nftnl_udata_buf_free(udata);
    return ok;
}

void ruleset_table_create(struct ruleset_batch *batch, uint32_t flags, const char *comment)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL,
                                                     "table inet %s", ruleset_batch_table(batch));
    struct nftnl_table *table = nftnl_table_alloc();
    if (message && table && describe_table(table, ruleset_batch_table(batch), flags, comment))
        nftnl_table_nlmsg_build_payload(message, table);
    else
        ruleset_batch_fail(batch);
    ruleset_batch_mark_table(batch);
    ruleset_batch_commit(batch);
    if (table)
        nftnl_table_free(table);
}

void ruleset_counter_create(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWOBJ, NLM_F_CREATE | NLM_F_EXCL, "counter %s", name);
    struct nftnl_obj *counter = nftnl_obj_alloc();
    if (message && counter) {
        nftnl_obj_set_u32(counter, NFTNL_OBJ_FAMILY, NFPROTO_INET);
        nftnl_obj_set_u32(counter, NFTNL_OBJ_TYPE, NFT_OBJECT_COUNTER);
        nftnl_obj_set_str(counter, NFTNL_OBJ_TABLE, ruleset_batch_table(batch));
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

void ruleset_chain_create(struct ruleset_batch *batch, const struct ruleset_chain *type)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, "chain %s", type->name);
    struct nftnl_chain *chain = nftnl_chain_alloc();
    bool ok = message && chain;
    if (ok) {
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_FAMILY, NFPROTO_INET);
        ok = nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, ruleset_batch_table(batch)) == 0 &&
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

void ruleset_chain_flush(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_DELRULE, 0, "the old rules of chain %s", name);
    if (message) {
        mnl_attr_put_strz(message, NFTA_RULE_TABLE, ruleset_batch_table(batch));
        mnl_attr_put_strz(message, NFTA_RULE_CHAIN, name);
    }
    ruleset_batch_commit(batch);
}
