/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/expr.h"

#include <assert.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/encode/sets.h"

struct rule {
    struct ruleset_batch *batch;
    struct nftnl_rule *nftnl;
    char chain[NFT_NAME_MAXLEN];
    bool failed;
};

struct rule *rule_new(struct ruleset_batch *batch, const char *chain)
{
    struct rule *rule = calloc(1, sizeof *rule);
    assert(strlen(chain) < sizeof rule->chain);
    if (!rule || !(rule->nftnl = nftnl_rule_alloc())) {
        free(rule);
        ruleset_batch_fail(batch);
        return NULL;
    }
    rule->batch = batch;
    memcpy(rule->chain, chain, strlen(chain) + 1);
    nftnl_rule_set_u32(rule->nftnl, NFTNL_RULE_FAMILY, NFPROTO_INET);
    rule->failed = nftnl_rule_set_str(rule->nftnl, NFTNL_RULE_TABLE, ruleset_batch_table(batch)) < 0 ||
                   nftnl_rule_set_str(rule->nftnl, NFTNL_RULE_CHAIN, chain) < 0;
    return rule;
}

static void set_comment(struct rule *rule, const char *comment)
{
    struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    assert(strlen(comment) <= NFTNL_UDATA_COMMENT_MAXLEN);
    if (!udata || !nftnl_udata_put_strz(udata, NFTNL_UDATA_RULE_COMMENT, comment) ||
        nftnl_rule_set_data(rule->nftnl, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(udata), nftnl_udata_buf_len(udata)) <
            0)
        rule->failed = true;
    if (udata)
        nftnl_udata_buf_free(udata);
}

void rule_finish(struct rule *rule, const char *comment)
{
    struct nlmsghdr *message;
    if (!rule)
        return;
    set_comment(rule, comment);
    if (rule->failed)
        ruleset_batch_fail(rule->batch);
    message = ruleset_batch_message(rule->batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, "rule '%s' in chain %s",
                                    comment, rule->chain);
    if (message)
        nftnl_rule_nlmsg_build_payload(message, rule->nftnl);
    ruleset_batch_commit(rule->batch);
    nftnl_rule_free(rule->nftnl);
    free(rule);
}

struct nftnl_expr *expr_add(struct rule *rule, const char *name)
{
    struct nftnl_expr *expr;
    if (!rule || rule->failed)
        return NULL;
    expr = nftnl_expr_alloc(name);
    if (!expr)
        rule->failed = true;
    else
        nftnl_rule_add_expr(rule->nftnl, expr);
    return expr;
}

void expr_set_string(struct rule *rule, struct nftnl_expr *expr, uint16_t attribute, const char *value)
{
    if (nftnl_expr_set_str(expr, attribute, value) < 0)
        rule->failed = true;
}

void expr_meta(struct rule *rule, uint32_t key)
{
    struct nftnl_expr *expr = expr_add(rule, "meta");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

void expr_payload_to(struct rule *rule, uint32_t to, uint32_t base, size_t offset, size_t length)
{
    struct nftnl_expr *expr = expr_add(rule, "payload");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, to);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)length);
}

void expr_payload(struct rule *rule, uint32_t base, size_t offset, size_t length)
{
    expr_payload_to(rule, NFT_REG_1, base, offset, length);
}

void expr_ct(struct rule *rule, uint32_t key)
{
    struct nftnl_expr *expr = expr_add(rule, "ct");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

void expr_bitwise(struct rule *rule, const void *mask, const void * xor, uint32_t length)
{
    struct nftnl_expr *expr = expr_add(rule, "bitwise");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, length);
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, mask, length);
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, xor, length);
}

void expr_compare(struct rule *rule, enum nft_cmp_ops op, const void *value, size_t length)
{
    struct nftnl_expr *expr = expr_add(rule, "cmp");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, value, (uint32_t)length);
}

void expr_find(struct rule *rule, const char *set, uint32_t flags)
{
    struct nftnl_expr *expr = expr_add(rule, "lookup");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, flags);
    expr_set_string(rule, expr, NFTNL_EXPR_LOOKUP_SET, ruleset_sets_referred(rule->batch, set));
}

void expr_lookup(struct rule *rule, const char *set)
{
    expr_find(rule, set, 0);
}
