/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/steps.h"

#include <netinet/ip.h>
#include <sys/socket.h>

#include "gate/rules/encode/sets.h"
#include "model/trial.h"

#define MODE(mode) (1u << VERDICT_MODE_##mode)
#define REDIRECTED (MODE(SECURE) | MODE(PLAIN))
#define BLOCKED    MODE(BLOCKED)
#define DIRECT     MODE(DIRECT)
#define CLOSED     (REDIRECTED | BLOCKED)
#define ALWAYS     (REDIRECTED | BLOCKED | DIRECT)
#define BOTH_SIDES (STEP_LOCAL | STEP_FORWARDED)
#define BOTH_KINDS (STEP_REDIRECT | STEP_GUARD)

static bool quic_rejected(const struct ruleset_spec *spec)
{
    return spec->conf->quic == CONF_QUIC_REJECT;
}

static bool proxies_are_open(const struct ruleset_spec *spec)
{
    return !spec->conf->protect_proxies;
}

static bool has_settled(const struct ruleset_spec *spec)
{
    return !spec->settling;
}

/* clang-format off */
#define OWNER_OWN              {.kind = STEP_MATCH_OWNER_OWN}
#define OWNER_NOT_OWN          {.kind = STEP_MATCH_OWNER_NOT_OWN}
#define OWNER_IN(name)         {.kind = STEP_MATCH_OWNER_IN, .set = (name)}
#define LABEL(bit)             {.kind = STEP_MATCH_LABEL, .bits = (bit)}
#define OUT_LOOPBACK           {.kind = STEP_MATCH_OUT_LOOPBACK}
#define OUT_OTHER              {.kind = STEP_MATCH_OUT_OTHER}
#define TO_THIS_HOST           {.kind = STEP_MATCH_TO_THIS_HOST}
#define TO_IN(version, name)   {.kind = STEP_MATCH_TO_IN, .family = (version), .set = (name)}
#define TO_PORT_IN(version, name) {.kind = STEP_MATCH_TO_PORT_IN, .family = (version), .set = (name)}
#define PLAIN_PORT             {.kind = STEP_MATCH_PLAIN_PORT}
#define TO(text)               {.kind = STEP_MATCH_TO, .address = (text)}
#define NEXTHOP_OTHER(text)    {.kind = STEP_MATCH_NEXTHOP_OTHER, .address = (text)}
#define TCP_IN(name)           {.kind = STEP_MATCH_TCP_IN, .set = (name)}
#define UDP_IN(name)           {.kind = STEP_MATCH_UDP_IN, .set = (name)}
#define PORTS_IN(name)         {.kind = STEP_MATCH_PORTS_IN, .set = (name)}
#define ROUTING_HEADER         {.kind = STEP_MATCH_ROUTING_HEADER}
#define IP_OPTION(option)      {.kind = STEP_MATCH_IP_OPTION, .bits = (option)}
#define LISTEN_PORT            {.kind = STEP_MATCH_LISTEN_PORT}
#define SYN                    {.kind = STEP_MATCH_SYN}
#define TCP_FROM_IN(name)      {.kind = STEP_MATCH_TCP_FROM_IN, .set = (name)}
#define NEW                    {.kind = STEP_MATCH_NEW}
#define REPLY                  {.kind = STEP_MATCH_REPLY}
#define TCP                    {.kind = STEP_MATCH_TCP}
#define NOT_TCP                {.kind = STEP_MATCH_NOT_TCP}
#define NO_PORTS               {.kind = STEP_MATCH_NO_PORTS}
#define PORTS_OUTSIDE(name)    {.kind = STEP_MATCH_PORTS_OUTSIDE, .set = (name)}
#define ORIGINAL               {.kind = STEP_MATCH_ORIGINAL}
#define DNAT                   {.kind = STEP_MATCH_DNAT}
#define SOCKET_FOREIGN         {.kind = STEP_MATCH_SOCKET_FOREIGN}

#define STEP(chain_bits, side_bits, mode_bits, row_name, verdict_name, ...)                                            \
    {.chains = (chain_bits), .sides = (side_bits), .modes = (mode_bits), .row = POLICY_ROW_##row_name,                 \
     .verdict = STEP_##verdict_name, __VA_ARGS__}
#define MATCHES(...) .matches = {__VA_ARGS__}

static const struct step steps[] = {
    /* ---- source routes: the address that is seen is not where they end. The guard refuses them; what was redirected would
     * keep its route. ---- */
    STEP(STEP_REDIRECT, BOTH_SIDES, CLOSED, SOURCE_ROUTE, RETURN, MATCHES(ROUTING_HEADER, PORTS_IN(SET_WEB)),
         .first_counter = "source_routed", .comment = "source route, left to the guard"),
    STEP(STEP_GUARD, BOTH_SIDES, CLOSED, SOURCE_ROUTE, REJECT, MATCHES(ROUTING_HEADER, PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_route", .comment = "source route"),
    STEP(STEP_REDIRECT, BOTH_SIDES, CLOSED, SOURCE_ROUTE, RETURN, MATCHES(IP_OPTION(IPOPT_LSRR), PORTS_IN(SET_WEB)),
         .first_counter = "source_routed", .comment = "source route, left to the guard"),
    STEP(STEP_GUARD, BOTH_SIDES, CLOSED, SOURCE_ROUTE, REJECT, MATCHES(IP_OPTION(IPOPT_LSRR), PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_route", .comment = "source route"),
    STEP(STEP_REDIRECT, BOTH_SIDES, CLOSED, SOURCE_ROUTE, RETURN, MATCHES(IP_OPTION(IPOPT_SSRR), PORTS_IN(SET_WEB)),
         .first_counter = "source_routed", .comment = "source route, left to the guard"),
    STEP(STEP_GUARD, BOTH_SIDES, CLOSED, SOURCE_ROUTE, REJECT, MATCHES(IP_OPTION(IPOPT_SSRR), PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_route", .comment = "source route"),

    /* ---- penstock's own: the redirect that it tries, then all that goes to a proxy ---- */
    STEP(STEP_REDIRECT, STEP_LOCAL, ALWAYS, OWN, TO_RELAY, MATCHES(OWNER_OWN, TO(TRIAL_IPV4), TCP_IN(SET_WEB)),
         .first_counter = "tried", .comment = "penstock tries its own redirect"),
    STEP(STEP_REDIRECT, STEP_LOCAL, ALWAYS, OWN, TO_RELAY, MATCHES(OWNER_OWN, TO(TRIAL_IPV6), TCP_IN(SET_WEB)),
         .first_counter = "tried", .comment = "penstock tries its own redirect"),
    STEP(BOTH_KINDS, STEP_LOCAL, ALWAYS, OWN, EXEMPT, MATCHES(OWNER_OWN, TO_PORT_IN(AF_INET, SET_OWN4)),
         .label = RULESET_LABEL_OWN, .first_counter = "own", .packet_counter = "own_packets",
         .comment = "penstock to a proxy"),
    STEP(BOTH_KINDS, STEP_LOCAL, ALWAYS, OWN, EXEMPT, MATCHES(OWNER_OWN, TO_PORT_IN(AF_INET6, SET_OWN6)),
         .label = RULESET_LABEL_OWN, .first_counter = "own", .packet_counter = "own_packets",
         .comment = "penstock to a proxy"),
    STEP(STEP_REDIRECT, STEP_LOCAL, ALWAYS, OWN_ELSEWHERE, RETURN, MATCHES(OWNER_OWN),
         .first_counter = "own", .comment = "penstock elsewhere, left to the guard"),
    /* A socket that is closing has no owner any more: the label of its connection, which its first packet got, tells
     * whose it was. Where there is an owner he counts, not the label. */
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, OWN, CLOSING_JUMP, MATCHES(LABEL(RULESET_LABEL_OWN)),
         .packet_counter = "labelled_packets", .comment = "may be a closing socket of penstock"),
    STEP(STEP_CLOSING, STEP_LOCAL, ALWAYS, OWN, RETURN, MATCHES(OWNER_NOT_OWN),
         .packet_counter = "other_owner", .comment = "has an owner, who is not exempt"),
    STEP(STEP_CLOSING, STEP_LOCAL, ALWAYS, OWN, ACCEPT, .packet_counter = "closing_packets",
         .comment = "closing socket of who was exempt"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, OWN_ELSEWHERE, RESET, MATCHES(OWNER_OWN, TCP_IN(SET_WEB)),
         .packet_counter = "rejected_own", .comment = "penstock, not to a proxy"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, OWN_ELSEWHERE, REJECT, MATCHES(OWNER_OWN, PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_own", .comment = "penstock, not to a proxy"),

    /* ---- what stays on this host ---- */
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, HOST, RETURN, MATCHES(TO_THIS_HOST),
         .first_counter = "local", .comment = "service of this host"),
    /* What follows is about what would be redirected, and so are its counters. */
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, HOST, RETURN, MATCHES(NO_PORTS),
         .first_counter = "other", .comment = "nothing that has a port"),
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, HOST, RETURN, MATCHES(PORTS_OUTSIDE(SET_WEB)),
         .first_counter = "other", .comment = "no redirected port"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, ACCEPT, MATCHES(OUT_LOOPBACK),
         .packet_counter = "local_packets", .comment = "stays on this host"),
    /* What came in from a web port, to a service of this host, goes back there. Only where the connection was seen to
     * begin outside: one from before the rules looks the same when the web server speaks first. */
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, ACCEPT, MATCHES(LABEL(RULESET_LABEL_SERVED), REPLY),
         .packet_counter = "served_packets", .comment = "answer of a service of this host"),
    /* A redirected packet of a socket that is bound to an interface keeps to it: it would leave towards a gateway, for
     * 127.0.0.1, and the client would wait for an answer. The output interface is still the old one here, the next hop
     * is the new one. */
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, RESET, MATCHES(TO("127.0.0.1"), LISTEN_PORT, NEXTHOP_OTHER("127.0.0.1")),
         .packet_counter = "rejected_bound", .comment = "redirected, but the socket is bound to an interface"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, ACCEPT, MATCHES(TO("127.0.0.1"), LISTEN_PORT),
         .packet_counter = "redirected_packets", .comment = "on its way to the relay"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, RESET, MATCHES(TO("::1"), LISTEN_PORT, NEXTHOP_OTHER("::1")),
         .packet_counter = "rejected_bound", .comment = "redirected, but the socket is bound to an interface"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, HOST, ACCEPT, MATCHES(TO("::1"), LISTEN_PORT),
         .packet_counter = "redirected_packets", .comment = "on its way to the relay"),
    /* Where no gateway is in between, the next hop does not tell: such packets end here, unanswered. */
    STEP(STEP_BOUND, STEP_LOCAL, ALWAYS, HOST, DROP, MATCHES(OUT_OTHER, TO("127.0.0.1"), LISTEN_PORT),
         .packet_counter = "rejected_bound", .comment = "redirected, but the socket is bound to an interface"),
    STEP(STEP_BOUND, STEP_LOCAL, ALWAYS, HOST, DROP, MATCHES(OUT_OTHER, TO("::1"), LISTEN_PORT),
         .packet_counter = "rejected_bound", .comment = "redirected, but the socket is bound to an interface"),

    /* ---- the plain ports of the proxies, which penstock itself passed above ---- */
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS & ~MODE(PLAIN), PROXIES, RESET, MATCHES(PLAIN_PORT, TO_PORT_IN(AF_INET, SET_OWN4)),
         .packet_counter = "rejected_proxy", .unless = proxies_are_open, .comment = "plain port of a proxy"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS & ~MODE(PLAIN), PROXIES, RESET, MATCHES(PLAIN_PORT, TO_PORT_IN(AF_INET6, SET_OWN6)),
         .packet_counter = "rejected_proxy", .unless = proxies_are_open, .comment = "plain port of a proxy"),

    /* ---- bypassed ---- */
    STEP(BOTH_KINDS, STEP_LOCAL, ALWAYS, BYPASS_USERS, EXEMPT, MATCHES(OWNER_IN(SET_BYPASS_USERS)),
         .label = RULESET_LABEL_BYPASS, .first_counter = "bypassed", .packet_counter = "bypassed_packets",
         .comment = "bypassed user"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, BYPASS_USERS, CLOSING_JUMP, MATCHES(LABEL(RULESET_LABEL_BYPASS)),
         .packet_counter = "labelled_packets", .comment = "may be a closing socket of a bypassed user"),
    STEP(BOTH_KINDS, BOTH_SIDES, ALWAYS, BYPASS_NETWORKS, EXEMPT, MATCHES(TO_IN(AF_INET, SET_BYPASS4)),
         .first_counter = "bypassed", .packet_counter = "bypassed_packets", .comment = "bypassed network"),
    STEP(BOTH_KINDS, BOTH_SIDES, ALWAYS, BYPASS_NETWORKS, EXEMPT, MATCHES(TO_IN(AF_INET6, SET_BYPASS6)),
         .first_counter = "bypassed", .packet_counter = "bypassed_packets", .comment = "bypassed network"),
    STEP(BOTH_KINDS, BOTH_SIDES, ALWAYS, BYPASS_PORTS, EXEMPT, MATCHES(PORTS_IN(SET_BYPASS_PORTS)),
         .first_counter = "bypassed", .packet_counter = "bypassed_packets", .comment = "bypassed port"),

    /* ---- blocked: the guard refuses whatever begins here, on every port; nothing of it is redirected. Of TCP it is the
     * first packet that begins one, not the first that the kernel sees: what was there before the rules goes on, and so
     * do the answers to those who came in. ---- */
    STEP(STEP_REDIRECT, STEP_LOCAL, ALWAYS, BLOCK_USERS, RETURN, MATCHES(OWNER_IN(SET_BLOCK_USERS)),
         .first_counter = "blocked", .comment = "[Block] Users, left to the guard"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, BLOCK_USERS, RESET, MATCHES(SYN, OWNER_IN(SET_BLOCK_USERS)),
         .packet_counter = "rejected_block", .comment = "[Block] Users"),
    STEP(STEP_GUARD, STEP_LOCAL, ALWAYS, BLOCK_USERS, REJECT, MATCHES(NOT_TCP, NEW, OWNER_IN(SET_BLOCK_USERS)),
         .packet_counter = "rejected_block", .comment = "[Block] Users"),
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, RETURN, MATCHES(TO_IN(AF_INET, SET_BLOCK4)),
         .first_counter = "blocked", .comment = "[Block] Networks, left to the guard"),
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, RETURN, MATCHES(TO_IN(AF_INET6, SET_BLOCK6)),
         .first_counter = "blocked", .comment = "[Block] Networks, left to the guard"),
    /* While the list may still be out of sight. What is dropped comes again, to a list that is there. */
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, DROP, MATCHES(SYN),
         .packet_counter = "rejected_block", .unless = has_settled, .comment = "[Block] Networks, in a moment"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, DROP, MATCHES(NOT_TCP, NEW),
         .packet_counter = "rejected_block", .unless = has_settled, .comment = "[Block] Networks, in a moment"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, RESET, MATCHES(SYN, TO_IN(AF_INET, SET_BLOCK4)),
         .packet_counter = "rejected_block", .comment = "[Block] Networks"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, RESET, MATCHES(SYN, TO_IN(AF_INET6, SET_BLOCK6)),
         .packet_counter = "rejected_block", .comment = "[Block] Networks"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, REJECT, MATCHES(NOT_TCP, NEW, TO_IN(AF_INET, SET_BLOCK4)),
         .packet_counter = "rejected_block", .comment = "[Block] Networks"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_NETWORKS, REJECT, MATCHES(NOT_TCP, NEW, TO_IN(AF_INET6, SET_BLOCK6)),
         .packet_counter = "rejected_block", .comment = "[Block] Networks"),
    STEP(STEP_REDIRECT, BOTH_SIDES, ALWAYS, BLOCK_PORTS, RETURN, MATCHES(PORTS_IN(SET_BLOCK_PORTS)),
         .first_counter = "blocked", .comment = "[Block] Ports, left to the guard"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_PORTS, RESET, MATCHES(SYN, TCP_IN(SET_BLOCK_PORTS)),
         .packet_counter = "rejected_block", .comment = "[Block] Ports"),
    STEP(STEP_GUARD, BOTH_SIDES, ALWAYS, BLOCK_PORTS, REJECT, MATCHES(NOT_TCP, NEW, PORTS_IN(SET_BLOCK_PORTS)),
         .packet_counter = "rejected_block", .comment = "[Block] Ports"),

    /* ---- what is near, unless it is blocked ---- */
    STEP(BOTH_KINDS, BOTH_SIDES, ALWAYS, LOCAL_NETWORKS, EXEMPT, MATCHES(TO_IN(AF_INET, SET_LOCAL4)),
         .first_counter = "bypassed", .packet_counter = "bypassed_packets", .comment = "local network"),
    STEP(BOTH_KINDS, BOTH_SIDES, ALWAYS, LOCAL_NETWORKS, EXEMPT, MATCHES(TO_IN(AF_INET6, SET_LOCAL6)),
         .first_counter = "bypassed", .packet_counter = "bypassed_packets", .comment = "local network"),

    /* ---- the web ---- */
    STEP(STEP_REDIRECT, BOTH_SIDES, REDIRECTED, PORTS, TO_RELAY, MATCHES(TCP_IN(SET_WEB)),
         .label = RULESET_LABEL_REDIRECTED, .first_counter = "redirected", .comment = "web traffic to the relay"),
    STEP(STEP_GUARD, BOTH_SIDES, DIRECT, PORTS, ACCEPT, MATCHES(TCP_IN(SET_WEB)),
         .packet_counter = "direct_packets"),
    STEP(STEP_GUARD, BOTH_SIDES, REDIRECTED, PORTS, RESET, MATCHES(TCP_IN(SET_WEB)),
         .packet_counter = "rejected_tcp", .comment = "web traffic that was not redirected"),
    STEP(STEP_GUARD, BOTH_SIDES, BLOCKED, PORTS, RESET, MATCHES(TCP_IN(SET_WEB)),
         .packet_counter = "rejected_tcp"),
    STEP(STEP_GUARD, BOTH_SIDES, DIRECT, QUIC, ACCEPT, MATCHES(PORTS_IN(SET_WEB)),
         .packet_counter = "direct_packets"),
    STEP(STEP_GUARD, BOTH_SIDES, REDIRECTED, QUIC, ACCEPT, MATCHES(UDP_IN(SET_WEB)),
         .packet_counter = "direct_packets", .unless = quic_rejected, .comment = "QUIC=pass"),
    STEP(STEP_GUARD, BOTH_SIDES, REDIRECTED, QUIC, REJECT, MATCHES(PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_udp", .comment = "QUIC, or what else is not TCP: cannot go through the proxy"),
    STEP(STEP_GUARD, BOTH_SIDES, BLOCKED, QUIC, REJECT, MATCHES(PORTS_IN(SET_WEB)),
         .packet_counter = "rejected_udp"),

    /* ---- the relay's port: a connection that was not redirected has no destination. One that left this host from the
     * same port number has its answers let in. Whoever takes the port while penstock does not run gets nothing either: its
     * sockets are not transparent, nor is what a closed one leaves behind in TIME_WAIT. A connection that had no answer
     * yet when another port was configured goes on to the old one, which is anybody's then: so the label counts, not the
     * port; and not the first packet alone, for the kernel's SYN cookies are the same for all listeners. ---- */
    STEP(STEP_RELAY, STEP_LOCAL, ALWAYS, NOT_REDIRECTED, RESET,
         MATCHES(TCP, LABEL(RULESET_LABEL_REDIRECTED), ORIGINAL, SOCKET_FOREIGN),
         .packet_counter = "rejected_relay", .comment = "redirected, and another program listens there"),
    STEP(STEP_RELAY, STEP_LOCAL, ALWAYS, NOT_REDIRECTED, RESET, MATCHES(LISTEN_PORT, ORIGINAL, SOCKET_FOREIGN),
         .packet_counter = "rejected_relay", .comment = "another program listens there"),
    STEP(STEP_RELAY, STEP_LOCAL, ALWAYS, NOT_REDIRECTED, ACCEPT, MATCHES(LISTEN_PORT, DNAT),
         .packet_counter = "relay_packets", .comment = "redirected connection"),
    STEP(STEP_RELAY, STEP_LOCAL, ALWAYS, NOT_REDIRECTED, RESET, MATCHES(LISTEN_PORT, ORIGINAL),
         .packet_counter = "rejected_relay", .comment = "not redirected"),
    STEP(STEP_RELAY, STEP_LOCAL, ALWAYS, HOST, ACCEPT, MATCHES(SYN, TCP_FROM_IN(SET_WEB)), .label = RULESET_LABEL_SERVED,
         .packet_counter = "served", .comment = "begins at a web port outside"),
};
/* clang-format on */

const struct step *ruleset_steps(size_t *ret_count)
{
    *ret_count = sizeof steps / sizeof steps[0];
    return steps;
}
