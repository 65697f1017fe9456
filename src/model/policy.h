/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who decides about a new connection: one ordered table, of which the first row that matches wins. The kernel's chains
 * follow the same order for what they can see (gate/rules/encode/chains.c), the relay asks for the rest. Pure. */
#ifndef PENSTOCK_MODEL_POLICY_H
#define PENSTOCK_MODEL_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/addr.h"
#include "model/conf/conf.h"

enum policy_decision {
    POLICY_PROXY,
    POLICY_DIRECT,    /* beside the proxy, in every state */
    POLICY_REFUSED,   /* in every state */
    POLICY_UNTOUCHED, /* nothing of ours: no redirected port */
};

/* In the order in which they are asked. */
enum policy_row {
    POLICY_ROW_NOT_REDIRECTED, /* made to the relay's port itself */
    POLICY_ROW_LOOP,           /* would come back to a relay, or go to the proxy through the proxy */
    POLICY_ROW_SOURCE_ROUTE,   /* its packets name other hosts on their way */
    POLICY_ROW_OWN,            /* penstock's own, to the proxies */
    POLICY_ROW_OWN_ELSEWHERE,  /* of its user, to a redirected port that is none of theirs */
    POLICY_ROW_HOST,           /* to a service of this host */
    POLICY_ROW_PROXIES,        /* the plain port of a server */
    POLICY_ROW_BYPASS_USERS,
    POLICY_ROW_BYPASS_NETWORKS,
    POLICY_ROW_BYPASS_PORTS,
    POLICY_ROW_BLOCK_USERS,
    POLICY_ROW_BLOCK_NETWORKS,
    POLICY_ROW_BLOCK_PORTS,
    POLICY_ROW_LOCAL_NETWORKS,
    POLICY_ROW_BLOCK_DOMAINS, /* of what is redirected: only a relay hears names */
    POLICY_ROW_PORTS,
    POLICY_ROW_QUIC, /* what is not TCP cannot go through the proxy */
    POLICY_ROW_DEFAULT,
    POLICY_ROW_COUNT
};

/* What is known about a connection; zero: not known. */
struct subject {
    struct addr destination; /* the original one */
    const char *name;        /* that the client said, as hostname_parse() gives it; NULL: none */
    struct addr acceptor;    /* the relay's address that accepted it; family 0: no relay did */
    struct addr proxy;       /* where the relay would go with it; family 0: nowhere */
    uint8_t protocol;        /* IPPROTO_TCP, … */
    bool source_routed;      /* by an IPv6 routing header or an IPv4 option */
    bool own;                /* of penstock's user, to an address and a port of a proxy */
    bool own_user;           /* of penstock's user */
    bool plain_proxy;        /* to the plain port of a server, while the verdict is not plain */
    bool local;              /* the destination is an address of this host */
    bool has_uid;
    uid_t uid;
};

/* Which row decided, and by which of its entries. */
struct policy_rule {
    enum policy_row row;
    size_t entry; /* index in the key's list; 0 where the row has none */
};

enum policy_decision policy_decide(const struct conf *conf, const struct subject *subject,
                                   struct policy_rule *ret_rule);

/* The same, as if that rule and all before it were not there; rule must not be the default. So the losers are listed.
 */
enum policy_decision policy_decide_without(const struct conf *conf, const struct subject *subject,
                                           struct policy_rule *rule);

/* To a redirected port, whatever decides about it. */
bool policy_is_web(const struct conf *conf, const struct subject *subject);

#define POLICY_RULE_TEXT_MAX 320
/* "[Bypass] Networks=192.0.2.0/24", or words for a row that no key makes; returns buf. The rule must be of conf. */
const char *policy_rule_text(const struct conf *conf, const struct policy_rule *rule,
                             char buf[static POLICY_RULE_TEXT_MAX]);

/* "[Bypass] Networks=192.0.2.0/24" is one, words are not. */
bool policy_rule_has_key(const struct policy_rule *rule);
/* Where it was written; false: nowhere, or that is not known any more. The file is as long as conf is. */
bool policy_rule_origin(const struct conf *conf, const struct policy_rule *rule, const char **ret_file,
                        unsigned *ret_line);

/* True: the kernel decides by this row, so each kind of chain must have it. */
bool policy_row_is_kernels(enum policy_row row);

#endif
