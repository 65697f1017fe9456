/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/obstacle.h"

#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "gate/rules/nfsocket.h"
#include "gate/rules/table.h"

#define TIMEOUT_MS 5000

struct search {
    const struct conf *conf;
    char *ret_text; /* empty: nothing was found yet; the most telling comes first */
};

static const char *family_word(uint32_t family)
{
    return family == NFPROTO_INET ? "inet" : family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : NULL;
}

static bool is_foreign(uint32_t family, const char *table)
{
    return family_word(family) && (family != NFPROTO_INET || strcmp(table, RULESET_TABLE) != 0);
}

/* ---- rules that drop what comes from elsewhere ---- */

/* "fib saddr type", or the match of iptables for it. */
static bool judges_source(struct nftnl_expr *expr)
{
    const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
    if (strcmp(name, "match") == 0)
        return strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_MT_NAME), "addrtype") == 0;
    return strcmp(name, "fib") == 0 && (nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_FLAGS) & NFTA_FIB_F_SADDR);
}

static bool drops(struct nftnl_expr *expr)
{
    return strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "immediate") == 0 &&
           nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT) &&
           nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT) == NF_DROP;
}

struct meaning {
    bool of_source, drop;
};

static int read_expression(struct nftnl_expr *expr, void *data)
{
    struct meaning *meaning = data;
    meaning->of_source = meaning->of_source || judges_source(expr);
    meaning->drop = meaning->drop || drops(expr);
    return 0;
}

static void take_rule(const struct nlmsghdr *message, void *data)
{
    struct search *search = data;
    struct meaning meaning = {0};
    struct nftnl_rule *rule = search->ret_text[0] == '\0' ? nftnl_rule_alloc() : NULL;
    if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0) {
        uint32_t family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY);
        const char *table = nftnl_rule_get_str(rule, NFTNL_RULE_TABLE);
        nftnl_expr_foreach(rule, read_expression, &meaning);
        if (meaning.of_source && meaning.drop && is_foreign(family, table))
            snprintf(
                search->ret_text, DETAIL_MAX,
                "table %s %.40s, chain %.40s drops the relays' answers, which cross lo with the web server's address "
                "as source; add there, before that rule: iifname \"lo\" accept",
                family_word(family), table, nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
    }
    if (rule)
        nftnl_rule_free(rule);
}

/* ---- chains that drop what they do not know ---- */

static void examine_chain(struct search *search, const struct nftnl_chain *chain)
{
    uint32_t family = nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY);
    uint32_t hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
    const char *table = nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE);
    const char *name = nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME);
    bool ipv6 = family == NFPROTO_IPV6;
    if (nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY) != NF_DROP || !is_foreign(family, table))
        return;
    /* Behind the redirect the packet has its new address; its interface is still the old one. */
    if (hook == NF_INET_LOCAL_OUT)
        snprintf(
            search->ret_text, DETAIL_MAX,
            "table %s %.40s, chain %.40s drops what it does not know, and redirected connections go to this host; add "
            "there: %s daddr %s tcp dport %u accept",
            family_word(family), table, name, ipv6 ? "ip6" : "ip", ipv6 ? "::1" : "127.0.0.1",
            (unsigned)search->conf->listen_port);
    else if (hook == NF_INET_LOCAL_IN)
        snprintf(
            search->ret_text, DETAIL_MAX,
            "table %s %.40s, chain %.40s drops what it does not know, and redirected connections come in by lo; add "
            "there: iifname \"lo\" accept",
            family_word(family), table, name);
}

static void take_chain(const struct nlmsghdr *message, void *data)
{
    struct search *search = data;
    struct nftnl_chain *chain = search->ret_text[0] == '\0' ? nftnl_chain_alloc() : NULL;
    if (chain && nftnl_chain_nlmsg_parse(message, chain) == 0 && nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM))
        examine_chain(search, chain);
    if (chain)
        nftnl_chain_free(chain);
}

void obstacle_find(const struct conf *conf, char ret_text[static DETAIL_MAX])
{
    struct search search = {.conf = conf, .ret_text = ret_text};
    struct nfsocket *nfsocket = nfsocket_new();
    ret_text[0] = '\0';
    if (nfsocket) {
        nfsocket_set_deadline(nfsocket, TIMEOUT_MS);
        /* What can be read counts. */
        (void)nfsocket_dump(nfsocket, NFT_MSG_GETRULE, take_rule, &search);
        (void)nfsocket_dump(nfsocket, NFT_MSG_GETCHAIN, take_chain, &search);
    }
    nfsocket_free(nfsocket);
    if (ret_text[0] == '\0')
        snprintf(
            ret_text, DETAIL_MAX,
            "rules of another program or settings of the kernel stand in the way, and none were found in nf_tables");
}
