/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/chains.h"

#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>

#include "gate/rules/encode/rule.h"
#include "gate/rules/encode/sets.h"

#define CHAIN_GUARD_CLOSING "guard_closing"

static const struct chain chains[] = {
    {{"redirect_local", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST}, STEP_REDIRECT, STEP_LOCAL},
    {{CHAIN_GUARD_CLOSING, NULL, 0, 0}, STEP_CLOSING, STEP_LOCAL},
    {{CHAIN_GUARD_LOCAL, "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER}, STEP_GUARD, STEP_LOCAL},
    {{"guard_bound", "filter", NF_INET_POST_ROUTING, NF_IP_PRI_FILTER}, STEP_BOUND, STEP_LOCAL},
    {{"relay_port", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER}, STEP_RELAY, STEP_LOCAL},
};

const struct chain *ruleset_chains(size_t *ret_count)
{
    *ret_count = sizeof chains / sizeof chains[0];
    return chains;
}

static void add_port_match(struct rule *rule, const struct step_match *match, const struct ruleset_spec *spec)
{
    if (match->set)
        rule_dport_set(rule, match->kind == STEP_MATCH_TCP_IN ? IPPROTO_TCP : IPPROTO_UDP, match->set);
    else
        rule_dport(rule, IPPROTO_TCP,
                   match->kind == STEP_MATCH_PLAIN_PORT ? spec->conf->port : spec->conf->listen_port);
}

static void add_address_match(struct rule *rule, const struct step_match *match)
{
    struct addr addr = {0};
    bool parsed = addr_parse(match->address, 0, &addr);
    assert(parsed);
    if (match->kind == STEP_MATCH_TO)
        rule_daddr(rule, &addr);
    else
        rule_nexthop_other(rule, &addr);
}

static void add_protocol_match(struct rule *rule, const struct step_match *match)
{
    if (match->kind == STEP_MATCH_TCP)
        rule_protocol(rule, IPPROTO_TCP);
    else if (match->kind == STEP_MATCH_NOT_TCP)
        rule_protocol_not(rule, IPPROTO_TCP);
    else if (match->kind == STEP_MATCH_NO_PORTS)
        rule_protocols_not(rule, SET_PROTOCOLS);
    else if (match->kind == STEP_MATCH_PORTS_IN)
        rule_th_dport_set(rule, SET_PROTOCOLS, match->set);
    else
        rule_th_dport_not_set(rule, match->set);
}

static void add_connection_match(struct rule *rule, const struct step_match *match)
{
    if (match->kind == STEP_MATCH_LABEL)
        rule_ct_label(rule, match->bits);
    else if (match->kind == STEP_MATCH_NEW)
        rule_ct_new(rule);
    else if (match->kind == STEP_MATCH_REPLY)
        rule_ct_reply(rule);
    else if (match->kind == STEP_MATCH_ORIGINAL)
        rule_ct_original(rule);
    else
        rule_ct_dnat(rule);
}

static void add_match(struct rule *rule, const struct step_match *match, const struct ruleset_spec *spec)
{
    switch (match->kind) {
    case STEP_MATCH_END:
        return;
    case STEP_MATCH_OWNER_OWN:
        rule_skuid(rule, spec->own_uid);
        return;
    case STEP_MATCH_OWNER_NOT_OWN:
        rule_skuid_not(rule, spec->own_uid);
        return;
    case STEP_MATCH_OWNER_IN:
        rule_skuid_set(rule, match->set);
        return;
    case STEP_MATCH_OUT_LOOPBACK:
        rule_oif_loopback(rule);
        return;
    case STEP_MATCH_OUT_OTHER:
        rule_oif_other(rule);
        return;
    case STEP_MATCH_TO_THIS_HOST:
        rule_daddr_local(rule);
        return;
    case STEP_MATCH_TO_IN:
        rule_daddr_set(rule, match->family, match->set);
        return;
    case STEP_MATCH_TO_PORT_IN:
        rule_daddr_dport_set(rule, match->family, match->set);
        return;
    case STEP_MATCH_TO:
    case STEP_MATCH_NEXTHOP_OTHER:
        add_address_match(rule, match);
        return;
    case STEP_MATCH_TCP_IN:
    case STEP_MATCH_UDP_IN:
    case STEP_MATCH_LISTEN_PORT:
    case STEP_MATCH_PLAIN_PORT:
        add_port_match(rule, match, spec);
        return;
    case STEP_MATCH_TCP:
    case STEP_MATCH_NOT_TCP:
    case STEP_MATCH_NO_PORTS:
    case STEP_MATCH_PORTS_IN:
    case STEP_MATCH_PORTS_OUTSIDE:
        add_protocol_match(rule, match);
        return;
    case STEP_MATCH_SYN:
        rule_syn(rule);
        return;
    case STEP_MATCH_TCP_FROM_IN:
        rule_sport_set(rule, match->set);
        return;
    case STEP_MATCH_LABEL:
    case STEP_MATCH_NEW:
    case STEP_MATCH_REPLY:
    case STEP_MATCH_ORIGINAL:
    case STEP_MATCH_DNAT:
        add_connection_match(rule, match);
        return;
    case STEP_MATCH_ROUTING_HEADER:
        rule_routing_header(rule);
        return;
    case STEP_MATCH_IP_OPTION:
        rule_ip_option(rule, (uint8_t)match->bits);
        return;
    case STEP_MATCH_SOCKET_FOREIGN:
        rule_socket_foreign(rule);
        return;
    }
}

static void add_verdict(struct rule *rule, enum step_verdict verdict, enum step_chain kind,
                        const struct ruleset_spec *spec)
{
    switch (verdict) {
    case STEP_EXEMPT:
        if (kind == STEP_REDIRECT)
            rule_return(rule);
        else
            rule_accept(rule);
        return;
    case STEP_ACCEPT:
        rule_accept(rule);
        return;
    case STEP_RETURN:
        rule_return(rule);
        return;
    case STEP_CLOSING_JUMP:
        rule_jump(rule, CHAIN_GUARD_CLOSING);
        return;
    case STEP_TO_RELAY:
        rule_redirect(rule, spec->conf->listen_port);
        return;
    case STEP_RESET:
        rule_reject_reset(rule);
        return;
    case STEP_REJECT:
        rule_reject(rule);
        return;
    case STEP_DROP:
        rule_drop(rule);
        return;
    }
}

static void add_rule(struct ruleset_batch *batch, const struct step *step, const struct chain *chain,
                     const struct ruleset_spec *spec)
{
    struct rule *rule = rule_new(batch, chain->base.name);
    bool first = chain->kind == STEP_REDIRECT;
    for (const struct step_match *match = step->matches; match->kind != STEP_MATCH_END; match++)
        add_match(rule, match, spec);
    if (step->label != 0 && chain->kind != STEP_GUARD)
        rule_set_ct_label(rule, step->label);
    rule_counter(rule, first ? step->first_counter : step->packet_counter);
    add_verdict(rule, step->verdict, chain->kind, spec);
    rule_finish(rule, step->comment ? step->comment : spec->status);
}

bool ruleset_step_applies(const struct step *step, const struct chain *chain, const struct ruleset_spec *spec)
{
    return (step->chains & chain->kind) != 0 && (step->sides & chain->side) != 0 &&
           (step->modes & 1u << spec->mode) != 0 && !(step->unless && step->unless(spec));
}

void ruleset_chains_fill(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    size_t n_steps;
    const struct step *steps = ruleset_steps(&n_steps);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++)
        for (size_t k = 0; k < n_steps; k++)
            if (ruleset_step_applies(&steps[k], &chains[i], spec))
                add_rule(batch, &steps[k], &chains[i], spec);
}
