/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rules do, as one table: a row is a rule, or one rule in each of two chains. The chains of a kind have their
 * rules in the order of the table, which is the order of the policy's rows. Plain data. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_STEPS_H
#define PENSTOCK_GATE_RULES_ENCODE_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/rules/encode/ruleset.h"
#include "model/policy.h"

/* Kinds of chains, as bits. */
enum step_chain {
    STEP_REDIRECT = 1 << 0, /* nat: the first packet of a connection */
    STEP_GUARD = 1 << 1,    /* filter: every packet */
    STEP_CLOSING = 1 << 2,  /* packets of connections that carry a label of ours */
    STEP_BOUND = 1 << 3,    /* packets on the very way out */
    STEP_RELAY = 1 << 4,    /* what arrives at the relay's port */
};

/* Whose traffic: of this host's processes, or what the host forwards. */
enum step_side { STEP_LOCAL = 1 << 0, STEP_FORWARDED = 1 << 1 };

enum step_match_kind {
    STEP_MATCH_END,
    STEP_MATCH_OWNER_OWN,     /* penstock's user */
    STEP_MATCH_OWNER_NOT_OWN, /* has an owner, who is another one */
    STEP_MATCH_OWNER_IN,      /* .set */
    STEP_MATCH_LABEL,         /* .bits: its number */
    STEP_MATCH_OUT_LOOPBACK,
    STEP_MATCH_OUT_OTHER,
    STEP_MATCH_TO_THIS_HOST,
    STEP_MATCH_TO_IN,      /* .family, .set */
    STEP_MATCH_TO_PORT_IN, /* .family, .set of addresses and TCP ports */
    STEP_MATCH_TO,         /* .address */
    STEP_MATCH_NEXTHOP_OTHER,
    STEP_MATCH_TCP_IN, /* .set of ports */
    STEP_MATCH_UDP_IN,
    STEP_MATCH_TCP,
    STEP_MATCH_NOT_TCP,
    STEP_MATCH_NO_PORTS,      /* of a protocol that has none */
    STEP_MATCH_PORTS_OUTSIDE, /* of a protocol that has them: not in .set */
    STEP_MATCH_PORTS_IN,      /* of whatever protocol has ports: .set */
    STEP_MATCH_ROUTING_HEADER,
    STEP_MATCH_IP_OPTION, /* .bits: its number */
    STEP_MATCH_LISTEN_PORT,
    STEP_MATCH_PLAIN_PORT,
    STEP_MATCH_SYN,         /* begins a TCP connection */
    STEP_MATCH_TCP_FROM_IN, /* .set of source ports */
    STEP_MATCH_NEW,         /* of a connection of which no answer has been seen */
    STEP_MATCH_REPLY,
    STEP_MATCH_ORIGINAL,       /* the direction of the connection's first packet */
    STEP_MATCH_SOCKET_FOREIGN, /* of a socket that is not transparent; no match where nobody listens */
    STEP_MATCH_DNAT,
};

struct step_match {
    enum step_match_kind kind;
    int family;
    const char *set, *address;
    uint32_t bits;
};

enum step_verdict {
    STEP_EXEMPT, /* redirect: return, guard: accept */
    STEP_ACCEPT,
    STEP_RETURN,
    STEP_CLOSING_JUMP,
    STEP_TO_RELAY,
    STEP_RESET,
    STEP_REJECT,
    STEP_DROP,
};

#define STEP_MATCHES_MAX 4

struct step {
    unsigned chains;     /* enum step_chain */
    unsigned sides;      /* enum step_side */
    unsigned modes;      /* 1 << enum verdict_mode */
    enum policy_row row; /* in a redirect or guard chain: which row of the policy it carries out */
    struct step_match matches[STEP_MATCHES_MAX + 1];
    unsigned label;                             /* that the first packet gives to its connection; 0: none */
    const char *first_counter, *packet_counter; /* in a redirect chain, in the others */
    enum step_verdict verdict;
    const char *comment;                             /* NULL: the verdict's text */
    bool (*unless)(const struct ruleset_spec *spec); /* NULL: no condition */
};

const struct step *ruleset_steps(size_t *ret_count);

#endif
