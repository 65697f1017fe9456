/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One rule in the making: what nft calls matches, statements and verdict, one function each, in the order in which
 * they are called. The names are nft's words. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_RULE_H
#define PENSTOCK_GATE_RULES_ENCODE_RULE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gate/rules/encode/batch.h"
#include "model/addr.h"

struct rule;

/* NULL after out of memory; all functions below take that. */
struct rule *rule_new(struct ruleset_batch *batch, const char *chain);
/* Appends the rule to its chain with this comment, and frees it. */
void rule_finish(struct rule *rule, const char *comment);

void rule_skuid(struct rule *rule, uid_t uid);                       /* meta skuid UID */
void rule_skuid_not(struct rule *rule, uid_t uid);                   /* meta skuid != UID; no match without an owner */
void rule_skuid_set(struct rule *rule, const char *set);             /* meta skuid @SET */
void rule_oif_loopback(struct rule *rule);                           /* oif "lo" */
void rule_oif_other(struct rule *rule);                              /* oif != "lo" */
void rule_daddr_local(struct rule *rule);                            /* fib daddr type local */
void rule_daddr_set(struct rule *rule, int family, const char *set); /* ip daddr @SET, ip6 daddr @SET */
/* ip daddr . tcp dport @SET */
void rule_daddr_dport_set(struct rule *rule, int family, const char *set);
void rule_daddr(struct rule *rule, const struct addr *addr);               /* ip daddr ADDR, ip6 daddr ADDR */
void rule_nexthop_other(struct rule *rule, const struct addr *addr);       /* rt ip nexthop != ADDR */
void rule_dport(struct rule *rule, uint8_t protocol, uint16_t port);       /* tcp dport PORT */
void rule_dport_set(struct rule *rule, uint8_t protocol, const char *set); /* tcp dport @SET */
void rule_protocols_not(struct rule *rule, const char *protocols);         /* meta l4proto != @PROTOCOLS */
void rule_th_dport_not_set(struct rule *rule, const char *set);            /* th dport != @SET */
void rule_protocols(struct rule *rule, const char *protocols);             /* meta l4proto @PROTOCOLS */
/* meta l4proto @PROTOCOLS th dport @SET */
void rule_th_dport_set(struct rule *rule, const char *protocols, const char *set);
void rule_routing_header(struct rule *rule);                 /* exthdr rt exists */
void rule_ip_option(struct rule *rule, uint8_t option);      /* ip option OPTION exists */
void rule_syn(struct rule *rule);                            /* tcp flags syn / fin,syn,rst,ack */
void rule_sport_set(struct rule *rule, const char *set);     /* tcp sport @SET */
void rule_protocol(struct rule *rule, uint8_t protocol);     /* meta l4proto PROTOCOL */
void rule_protocol_not(struct rule *rule, uint8_t protocol); /* meta l4proto != PROTOCOL */
void rule_ct_new(struct rule *rule);                         /* ct state new */
void rule_ct_label(struct rule *rule, unsigned bit);         /* ct label BIT */
void rule_ct_original(struct rule *rule);                    /* ct direction original */
void rule_ct_reply(struct rule *rule);                       /* ct direction reply */
void rule_ct_dnat(struct rule *rule);                        /* ct status dnat */
void rule_socket_foreign(struct rule *rule);                 /* socket transparent 0; no match without a socket */

void rule_set_ct_label(struct rule *rule, unsigned bit);   /* ct label set BIT: the others stay */
void rule_counter(struct rule *rule, const char *counter); /* counter name "COUNTER" */
void rule_count(struct rule *rule);                        /* counter */

void rule_accept(struct rule *rule);
void rule_drop(struct rule *rule);
void rule_return(struct rule *rule);
void rule_jump(struct rule *rule, const char *chain);
void rule_redirect(struct rule *rule, uint16_t port); /* redirect to :PORT */
void rule_reject(struct rule *rule);                  /* reject */
void rule_reject_reset(struct rule *rule);            /* reject with tcp reset */

#endif
