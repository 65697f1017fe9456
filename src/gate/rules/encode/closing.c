/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/closing.h"

#include <assert.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>

#include "gate/rules/encode/batch.h"
#include "gate/rules/encode/chains.h"
#include "gate/rules/encode/objects.h"
#include "gate/rules/encode/rule.h"
#include "gate/rules/encode/sets.h"

#define COMMENT_MAX   NFTNL_UDATA_COMMENT_MAXLEN
#define TABLE_COMMENT "penstock cannot run: web traffic is refused, see penstockd(8)"
#define COUNT_OF(a)   (sizeof a / sizeof((a)[0]))

static struct rule *begin(struct ruleset_batch *batch)
{
    return rule_new(batch, CHAIN_GUARD_LOCAL);
}

static void exempt(struct rule *rule, const char *comment)
{
    rule_count(rule);
    rule_accept(rule);
    rule_finish(rule, comment);
}

static void fill_bypass(struct ruleset_batch *batch)
{
    struct rule *rule = begin(batch);
    rule_oif_loopback(rule);
    exempt(rule, "stays on this host");
    rule = begin(batch);
    rule_skuid_set(rule, SET_BYPASS_USERS);
    exempt(rule, "bypassed user");
    rule = begin(batch);
    rule_daddr_set(rule, AF_INET, SET_BYPASS4);
    exempt(rule, "bypassed network");
    rule = begin(batch);
    rule_daddr_set(rule, AF_INET6, SET_BYPASS6);
    exempt(rule, "bypassed network");
    rule = begin(batch);
    rule_th_dport_set(rule, SET_PROTOCOLS, SET_BYPASS_PORTS);
    exempt(rule, "bypassed port");
}

static void fill_local(struct ruleset_batch *batch)
{
    struct rule *rule = begin(batch);
    rule_daddr_set(rule, AF_INET, SET_LOCAL4);
    exempt(rule, "local network");
    rule = begin(batch);
    rule_daddr_set(rule, AF_INET6, SET_LOCAL6);
    exempt(rule, "local network");
}

static void answer(struct rule *rule, bool reset, bool drop, const char *comment)
{
    rule_count(rule);
    if (drop)
        rule_drop(rule);
    else if (reset)
        rule_reject_reset(rule);
    else
        rule_reject(rule);
    rule_finish(rule, comment);
}

/* A rule of [Block], still without its set. Without the kernel's memory of connections an answer that is not TCP looks
 * like a beginning: it is refused, too. What has no ports must pass, for IPv6 finds its neighbours by it. */
static struct rule *begin_block(struct ruleset_batch *batch, bool tcp)
{
    struct rule *rule = begin(batch);
    if (tcp) {
        rule_syn(rule);
    } else {
        rule_protocol_not(rule, IPPROTO_TCP);
        rule_protocols(rule, SET_PROTOCOLS);
    }
    return rule;
}

/* In place of the list that may still be out of sight. */
static void fill_settling(struct ruleset_batch *batch)
{
    answer(begin_block(batch, true), true, true, "[Block] Networks, in a moment");
    answer(begin_block(batch, false), false, true, "[Block] Networks, in a moment");
}

static void fill_block(struct ruleset_batch *batch, bool tcp, bool drop)
{
    struct rule *rule = begin_block(batch, tcp);
    rule_skuid_set(rule, SET_BLOCK_USERS);
    answer(rule, tcp, drop, "[Block] Users");
    rule = begin_block(batch, tcp);
    rule_daddr_set(rule, AF_INET, SET_BLOCK4);
    answer(rule, tcp, drop, "[Block] Networks");
    rule = begin_block(batch, tcp);
    rule_daddr_set(rule, AF_INET6, SET_BLOCK6);
    answer(rule, tcp, drop, "[Block] Networks");
    rule = begin_block(batch, tcp);
    if (tcp) /* nft of Debian 13 reads no reset behind another protocol */
        rule_dport_set(rule, IPPROTO_TCP, SET_BLOCK_PORTS);
    else
        rule_th_dport_set(rule, SET_PROTOCOLS, SET_BLOCK_PORTS);
    answer(rule, tcp, drop, "[Block] Ports");
}

/* What says that it ends at an exempt address may go on from there. */
static void fill_source_routes(struct ruleset_batch *batch, bool drop)
{
    static const uint8_t options[] = {IPOPT_LSRR, IPOPT_SSRR};
    struct rule *rule = begin(batch);
    rule_routing_header(rule);
    rule_th_dport_set(rule, SET_PROTOCOLS, SET_WEB);
    answer(rule, false, drop, "source route");
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        rule = begin(batch);
        rule_ip_option(rule, options[i]);
        rule_th_dport_set(rule, SET_PROTOCOLS, SET_WEB);
        answer(rule, false, drop, "source route");
    }
}

static void fill_web(struct ruleset_batch *batch, bool drop, const char *comment)
{
    struct rule *rule = begin(batch);
    rule_dport_set(rule, IPPROTO_TCP, SET_WEB);
    answer(rule, true, drop, comment);
    rule = begin(batch);
    rule_th_dport_set(rule, SET_PROTOCOLS, SET_WEB);
    answer(rule, false, drop, comment);
}

static void create(struct ruleset_batch *batch, const struct closing_spec *spec)
{
    static const struct ruleset_chain chain = {CHAIN_GUARD_LOCAL, "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER};
    if (spec->present)
        ruleset_table_delete(batch);
    ruleset_table_create(batch, 0, TABLE_COMMENT);
    ruleset_sets_create(batch, UINT32_MAX, &(struct ruleset_spec){.conf = spec->conf});
    ruleset_chain_create(batch, &chain);
}

struct ruleset_batch *closing_encode(const struct closing_spec *spec, uint32_t generation, uint32_t first_seq)
{
    struct ruleset_batch *batch = ruleset_batch_new(RULESET_TABLE, generation, first_seq);
    char comment[COMMENT_MAX];
    if (!batch)
        return NULL;
    assert(spec->conf && spec->why);
    snprintf(comment, sizeof comment, "%s: %s", CLOSING_STATUS, spec->why);
    if (spec->settled)
        ruleset_chain_flush(batch, CHAIN_GUARD_LOCAL);
    else
        create(batch, spec);
    fill_source_routes(batch, spec->drop);
    fill_bypass(batch);
    if (spec->settling)
        fill_settling(batch);
    fill_block(batch, true, spec->drop);
    fill_block(batch, false, spec->drop);
    fill_local(batch);
    fill_web(batch, spec->drop, comment);
    if (ruleset_batch_finish(batch))
        return batch;
    ruleset_batch_free(batch);
    return NULL;
}
