/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/chains.h"

#include "gate/rules/encode/rule.h"
#include "gate/rules/encode/sets.h"

/* Only the first packet of a connection comes here. What is exempt returns, the rest is redirected. */
static void fill_redirect_local(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    const char *chain = CHAIN_REDIRECT_LOCAL;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_skuid(rule, spec->own_uid);
    rule_set_ct_mark(rule, RULESET_OWN_MARK);
    rule_counter(rule, "own");
    rule_return(rule);
    rule_finish(rule, "penstock's own traffic");

    rule = rule_new(batch, chain);
    rule_skuid_set(rule, SET_BYPASS_USERS);
    rule_set_ct_mark(rule, RULESET_BYPASS_MARK);
    rule_counter(rule, "bypassed");
    rule_return(rule);
    rule_finish(rule, "bypassed user");

    rule = rule_new(batch, chain);
    rule_daddr_local(rule);
    rule_counter(rule, "local");
    rule_return(rule);
    rule_finish(rule, "service of this host");

    rule = rule_new(batch, chain);
    rule_daddr_set(rule, AF_INET, SET_BYPASS4);
    rule_counter(rule, "bypassed");
    rule_return(rule);
    rule_finish(rule, "bypassed network");

    rule = rule_new(batch, chain);
    rule_daddr_set(rule, AF_INET6, SET_BYPASS6);
    rule_counter(rule, "bypassed");
    rule_return(rule);
    rule_finish(rule, "bypassed network");

    rule = rule_new(batch, chain);
    rule_dport_set(rule, IPPROTO_TCP, SET_BYPASS_PORTS);
    rule_counter(rule, "bypassed");
    rule_return(rule);
    rule_finish(rule, "bypassed port");

    if (spec->mode != VERDICT_MODE_SECURE && spec->mode != VERDICT_MODE_PLAIN)
        return;
    rule = rule_new(batch, chain);
    rule_dport_set(rule, IPPROTO_TCP, SET_WEB);
    rule_counter(rule, "redirected");
    rule_redirect(rule, spec->conf->listen_port);
    rule_finish(rule, "web traffic to the relay");
}

/* A socket that is closing has no owner any more: the mark of its connection tells whose it was. Where there is an
 * owner he counts, not the mark: other software may set the same bits. */
static void fill_guard_closing(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    const char *chain = CHAIN_GUARD_CLOSING;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_skuid_not(rule, spec->own_uid);
    rule_counter(rule, "foreign_mark");
    rule_return(rule);
    rule_finish(rule, "has an owner, who is not exempt");

    rule = rule_new(batch, chain);
    rule_ct_mark(rule, RULESET_OWN_MARK);
    rule_counter(rule, "closing_packets");
    rule_accept(rule);
    rule_finish(rule, "closing socket of penstock");

    rule = rule_new(batch, chain);
    rule_ct_mark(rule, RULESET_BYPASS_MARK);
    rule_counter(rule, "closing_packets");
    rule_accept(rule);
    rule_finish(rule, "closing socket of a bypassed user");
}

static void fill_guard_owners(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    const char *chain = CHAIN_GUARD_LOCAL;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_skuid(rule, spec->own_uid);
    rule_counter(rule, "own_packets");
    rule_accept(rule);
    rule_finish(rule, "penstock's own traffic");

    rule = rule_new(batch, chain);
    rule_skuid_set(rule, SET_BYPASS_USERS);
    rule_counter(rule, "bypassed_packets");
    rule_accept(rule);
    rule_finish(rule, "bypassed user");

    rule = rule_new(batch, chain);
    rule_ct_mark(rule, RULESET_OWN_MARK | RULESET_BYPASS_MARK);
    rule_counter(rule, "marked_packets");
    rule_jump(rule, CHAIN_GUARD_CLOSING);
    rule_finish(rule, "may be a closing socket");

    rule = rule_new(batch, chain);
    rule_oif_loopback(rule);
    rule_counter(rule, "local_packets");
    rule_accept(rule);
    rule_finish(rule, "stays on this host");
}

/* A redirected packet of a socket that is bound to an interface keeps to it: it would leave towards a gateway, for
 * 127.0.0.1, and the client would wait for an answer. The output interface is still the old one here, the next hop is
 * the new one. */
static void fill_guard_redirected(struct ruleset_batch *batch, const struct ruleset_spec *spec, int family)
{
    const char *chain = CHAIN_GUARD_LOCAL;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_daddr_loopback(rule, family);
    rule_dport(rule, IPPROTO_TCP, spec->conf->listen_port);
    rule_nexthop_other(rule, family);
    rule_counter(rule, "rejected_bound");
    rule_reject_reset(rule);
    rule_finish(rule, "redirected, but the socket is bound to an interface");

    rule = rule_new(batch, chain);
    rule_daddr_loopback(rule, family);
    rule_dport(rule, IPPROTO_TCP, spec->conf->listen_port);
    rule_counter(rule, "redirected_packets");
    rule_accept(rule);
    rule_finish(rule, "on its way to the relay");
}

static void fill_guard_bypass(struct ruleset_batch *batch)
{
    const char *chain = CHAIN_GUARD_LOCAL;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_daddr_set(rule, AF_INET, SET_BYPASS4);
    rule_counter(rule, "bypassed_packets");
    rule_accept(rule);
    rule_finish(rule, "bypassed network");

    rule = rule_new(batch, chain);
    rule_daddr_set(rule, AF_INET6, SET_BYPASS6);
    rule_counter(rule, "bypassed_packets");
    rule_accept(rule);
    rule_finish(rule, "bypassed network");

    rule = rule_new(batch, chain);
    rule_dport_set(rule, IPPROTO_TCP, SET_BYPASS_PORTS);
    rule_counter(rule, "bypassed_packets");
    rule_accept(rule);
    rule_finish(rule, "bypassed port");

    rule = rule_new(batch, chain);
    rule_dport_set(rule, IPPROTO_UDP, SET_BYPASS_PORTS);
    rule_counter(rule, "bypassed_packets");
    rule_accept(rule);
    rule_finish(rule, "bypassed port");
}

static void fill_guard_direct(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
    for (size_t i = 0; i < sizeof protocols; i++) {
        struct rule *rule = rule_new(batch, CHAIN_GUARD_LOCAL);

        rule_dport_set(rule, protocols[i], SET_WEB);
        rule_counter(rule, "direct_packets");
        rule_accept(rule);
        rule_finish(rule, spec->status);
    }
}

static void fill_guard_web(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    bool blocked = spec->mode == VERDICT_MODE_BLOCKED;
    struct rule *rule;
    rule = rule_new(batch, CHAIN_GUARD_LOCAL);
    rule_dport_set(rule, IPPROTO_TCP, SET_WEB);
    rule_counter(rule, "rejected_tcp");
    rule_reject_reset(rule);
    rule_finish(rule, blocked ? spec->status : "web traffic that was not redirected");

    if (spec->conf->quic == CONF_QUIC_PASS && !blocked)
        return;
    rule = rule_new(batch, CHAIN_GUARD_LOCAL);
    rule_dport_set(rule, IPPROTO_UDP, SET_WEB);
    rule_counter(rule, "rejected_udp");
    rule_reject(rule);
    rule_finish(rule, blocked ? spec->status : "QUIC, which cannot go through the proxy");
}

/* Where no gateway is in between, the next hop does not tell: such packets end here, unanswered. */
static void fill_guard_bound(struct ruleset_batch *batch, const struct ruleset_spec *spec, int family)
{
    struct rule *rule = rule_new(batch, CHAIN_GUARD_BOUND);
    rule_oif_other(rule);
    rule_daddr_loopback(rule, family);
    rule_dport(rule, IPPROTO_TCP, spec->conf->listen_port);
    rule_counter(rule, "rejected_bound");
    rule_drop(rule);
    rule_finish(rule, "redirected, but the socket is bound to an interface");
}

/* A connection to the relay that was not redirected has no destination. One that left this host from the same port
 * number has its answers let in. */
static void fill_relay_port(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    const char *chain = CHAIN_RELAY_PORT;
    struct rule *rule;
    rule = rule_new(batch, chain);
    rule_dport(rule, IPPROTO_TCP, spec->conf->listen_port);
    rule_ct_dnat(rule);
    rule_counter(rule, "relay_packets");
    rule_accept(rule);
    rule_finish(rule, "redirected connection");

    rule = rule_new(batch, chain);
    rule_dport(rule, IPPROTO_TCP, spec->conf->listen_port);
    rule_ct_original(rule);
    rule_counter(rule, "rejected_relay");
    rule_reject_reset(rule);
    rule_finish(rule, "not redirected");
}

void ruleset_chains_fill(struct ruleset_batch *batch, const struct ruleset_spec *spec)
{
    fill_redirect_local(batch, spec);
    fill_guard_closing(batch, spec);
    fill_guard_owners(batch, spec);
    fill_guard_redirected(batch, spec, AF_INET);
    fill_guard_redirected(batch, spec, AF_INET6);
    fill_guard_bypass(batch);
    if (spec->mode == VERDICT_MODE_DIRECT)
        fill_guard_direct(batch, spec);
    else
        fill_guard_web(batch, spec);
    fill_guard_bound(batch, spec, AF_INET);
    fill_guard_bound(batch, spec, AF_INET6);
    fill_relay_port(batch, spec);
}
