/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/rule.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>

#include "gate/rules/encode/expr.h"

#define FLAGS_OFFSET     13 /* in the TCP header */
#define LABEL_WORDS      4  /* of a connection label */
#define LOOPBACK_IFINDEX 1  /* in every network namespace */

/* ---- verdicts ---- */

static void verdict(struct rule *rule, int code, const char *chain)
{
    struct nftnl_expr *expr = expr_add(rule, "immediate");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
    if (chain)
        expr_set_string(rule, expr, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void reject(struct rule *rule, enum nft_reject_types type, uint8_t code)
{
    struct nftnl_expr *expr = expr_add(rule, "reject");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, type);
    nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, code);
}

/* ---- matches ---- */

void rule_skuid(struct rule *rule, uid_t uid)
{
    expr_meta(rule, NFT_META_SKUID);
    expr_compare(rule, NFT_CMP_EQ, &uid, sizeof uid);
}

void rule_skuid_not(struct rule *rule, uid_t uid)
{
    expr_meta(rule, NFT_META_SKUID);
    expr_compare(rule, NFT_CMP_NEQ, &uid, sizeof uid);
}

void rule_skuid_set(struct rule *rule, const char *set)
{
    expr_meta(rule, NFT_META_SKUID);
    expr_lookup(rule, set);
}

static void match_oif(struct rule *rule, enum nft_cmp_ops op)
{
    uint32_t index = LOOPBACK_IFINDEX;
    expr_meta(rule, NFT_META_OIF);
    expr_compare(rule, op, &index, sizeof index);
}

void rule_oif_loopback(struct rule *rule)
{
    match_oif(rule, NFT_CMP_EQ);
}

void rule_oif_other(struct rule *rule)
{
    match_oif(rule, NFT_CMP_NEQ);
}

void rule_daddr_local(struct rule *rule)
{
    struct nftnl_expr *expr = expr_add(rule, "fib");
    uint32_t type = RTN_LOCAL;
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    expr_compare(rule, NFT_CMP_EQ, &type, sizeof type);
}

/* Of a key that is one byte. */
static void match_meta(struct rule *rule, uint32_t key, uint8_t value)
{
    expr_meta(rule, key);
    expr_compare(rule, NFT_CMP_EQ, &value, sizeof value);
}

void rule_syn(struct rule *rule)
{
    static const uint8_t mask = TH_FIN | TH_SYN | TH_RST | TH_ACK, zero, syn = TH_SYN;
    match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
    expr_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS_OFFSET, sizeof mask);
    expr_bitwise(rule, &mask, &zero, sizeof mask);
    expr_compare(rule, NFT_CMP_EQ, &syn, sizeof syn);
}

void rule_sport_set(struct rule *rule, const char *set)
{
    match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
    expr_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, source), sizeof(in_port_t));
    expr_lookup(rule, set);
}

void rule_protocol(struct rule *rule, uint8_t protocol)
{
    match_meta(rule, NFT_META_L4PROTO, protocol);
}

void rule_protocol_not(struct rule *rule, uint8_t protocol)
{
    expr_meta(rule, NFT_META_L4PROTO);
    expr_compare(rule, NFT_CMP_NEQ, &protocol, sizeof protocol);
}

static void load_daddr_itself(struct rule *rule, int family)
{
    if (family == AF_INET)
        expr_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), sizeof(struct in_addr));
    else
        expr_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_dst), sizeof(struct in6_addr));
}

static void load_daddr(struct rule *rule, int family)
{
    match_meta(rule, NFT_META_NFPROTO, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    load_daddr_itself(rule, family);
}

void rule_daddr_set(struct rule *rule, int family, const char *set)
{
    load_daddr(rule, family);
    expr_lookup(rule, set);
}

/* The protocol comes before both, as nft has it; the port goes behind the address: into the register of four bytes. */
void rule_daddr_dport_set(struct rule *rule, int family, const char *set)
{
    match_meta(rule, NFT_META_NFPROTO, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
    load_daddr_itself(rule, family);
    expr_payload_to(rule, family == AF_INET ? NFT_REG32_01 : NFT_REG_2, NFT_PAYLOAD_TRANSPORT_HEADER,
                    offsetof(struct tcphdr, dest), sizeof(in_port_t));
    expr_lookup(rule, set);
}

static void compare_addr(struct rule *rule, enum nft_cmp_ops op, const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        expr_compare(rule, op, &addr->in4.sin_addr, sizeof addr->in4.sin_addr);
    else
        expr_compare(rule, op, &addr->in6.sin6_addr, sizeof addr->in6.sin6_addr);
}

void rule_daddr(struct rule *rule, const struct addr *addr)
{
    load_daddr(rule, addr->sa.sa_family);
    compare_addr(rule, NFT_CMP_EQ, addr);
}

void rule_nexthop_other(struct rule *rule, const struct addr *addr)
{
    struct nftnl_expr *expr = expr_add(rule, "rt");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_RT_KEY, addr->sa.sa_family == AF_INET ? NFT_RT_NEXTHOP4 : NFT_RT_NEXTHOP6);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_RT_DREG, NFT_REG_1);
    compare_addr(rule, NFT_CMP_NEQ, addr);
}

/* TCP and UDP have the destination port at the same place. */
static void load_dport(struct rule *rule, uint8_t protocol)
{
    match_meta(rule, NFT_META_L4PROTO, protocol); /* also behind IPv6 extension headers */
    expr_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, dest), sizeof(in_port_t));
}

void rule_dport(struct rule *rule, uint8_t protocol, uint16_t port)
{
    in_port_t value = htons(port);
    load_dport(rule, protocol);
    expr_compare(rule, NFT_CMP_EQ, &value, sizeof value);
}

void rule_dport_set(struct rule *rule, uint8_t protocol, const char *set)
{
    load_dport(rule, protocol);
    expr_lookup(rule, set);
}

void rule_protocols(struct rule *rule, const char *protocols)
{
    expr_meta(rule, NFT_META_L4PROTO);
    expr_lookup(rule, protocols);
}

void rule_protocols_not(struct rule *rule, const char *protocols)
{
    expr_meta(rule, NFT_META_L4PROTO);
    expr_find(rule, protocols, NFT_LOOKUP_F_INV);
}

static void load_th_dport(struct rule *rule)
{
    expr_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, dest), sizeof(in_port_t));
}

void rule_th_dport_set(struct rule *rule, const char *protocols, const char *set)
{
    rule_protocols(rule, protocols);
    load_th_dport(rule);
    expr_lookup(rule, set);
}

void rule_th_dport_not_set(struct rule *rule, const char *set)
{
    load_th_dport(rule);
    expr_find(rule, set, NFT_LOOKUP_F_INV);
}

static void match_present(struct rule *rule, enum nft_exthdr_op op, uint8_t type)
{
    struct nftnl_expr *expr = expr_add(rule, "exthdr");
    uint8_t present = 1;
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
    nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, type);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 0);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OP, op);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
    expr_compare(rule, NFT_CMP_EQ, &present, sizeof present);
}

void rule_routing_header(struct rule *rule)
{
    match_meta(rule, NFT_META_NFPROTO, NFPROTO_IPV6);
    match_present(rule, NFT_EXTHDR_OP_IPV6, IPPROTO_ROUTING);
}

void rule_ip_option(struct rule *rule, uint8_t option)
{
    match_meta(rule, NFT_META_NFPROTO, NFPROTO_IPV4);
    match_present(rule, NFT_EXTHDR_OP_IPV4, option);
}

static void match_bits(struct rule *rule, uint32_t bits)
{
    uint32_t zero = 0;
    expr_bitwise(rule, &bits, &zero, sizeof bits);
    expr_compare(rule, NFT_CMP_NEQ, &zero, sizeof zero);
}

/* As the kernel numbers them: in words of the host's byte order. */
static void label_of(unsigned bit, uint32_t ret_label[static LABEL_WORDS])
{
    assert(bit < 32 * LABEL_WORDS);
    memset(ret_label, 0, LABEL_WORDS * sizeof *ret_label);
    ret_label[bit / 32] = 1u << bit % 32;
}

void rule_ct_label(struct rule *rule, unsigned bit)
{
    static const uint32_t zero[LABEL_WORDS];
    uint32_t label[LABEL_WORDS];
    label_of(bit, label);
    expr_ct(rule, NFT_CT_LABELS);
    expr_bitwise(rule, label, zero, sizeof label);
    expr_compare(rule, NFT_CMP_NEQ, zero, sizeof zero);
}

static void match_direction(struct rule *rule, uint8_t direction)
{
    expr_ct(rule, NFT_CT_DIRECTION);
    expr_compare(rule, NFT_CMP_EQ, &direction, sizeof direction);
}

void rule_ct_original(struct rule *rule)
{
    match_direction(rule, IP_CT_DIR_ORIGINAL);
}

void rule_ct_reply(struct rule *rule)
{
    match_direction(rule, IP_CT_DIR_REPLY);
}

void rule_ct_new(struct rule *rule)
{
    expr_ct(rule, NFT_CT_STATE);
    match_bits(rule, NF_CT_STATE_BIT(IP_CT_NEW));
}

void rule_ct_dnat(struct rule *rule)
{
    expr_ct(rule, NFT_CT_STATUS);
    match_bits(rule, IPS_DST_NAT);
}

void rule_socket_foreign(struct rule *rule)
{
    uint8_t no = 0;
    struct nftnl_expr *expr = expr_add(rule, "socket");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
    expr_compare(rule, NFT_CMP_EQ, &no, sizeof no);
}

/* ---- statements and verdicts ---- */

void rule_set_ct_label(struct rule *rule, unsigned bit)
{
    struct nftnl_expr *expr = expr_add(rule, "immediate");
    uint32_t label[LABEL_WORDS];
    if (!expr)
        return;
    label_of(bit, label);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
    nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, label, sizeof label);
    expr = expr_add(rule, "ct");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_LABELS);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_SREG, NFT_REG_1);
}

void rule_counter(struct rule *rule, const char *counter)
{
    struct nftnl_expr *expr = expr_add(rule, "objref");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    expr_set_string(rule, expr, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}

void rule_count(struct rule *rule)
{
    (void)expr_add(rule, "counter");
}

void rule_accept(struct rule *rule)
{
    verdict(rule, NF_ACCEPT, NULL);
}

void rule_drop(struct rule *rule)
{
    verdict(rule, NF_DROP, NULL);
}

void rule_return(struct rule *rule)
{
    verdict(rule, NFT_RETURN, NULL);
}

void rule_jump(struct rule *rule, const char *chain)
{
    verdict(rule, NFT_JUMP, chain);
}

void rule_redirect(struct rule *rule, uint16_t port)
{
    struct nftnl_expr *expr = expr_add(rule, "immediate");
    in_port_t value = htons(port);
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
    nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, &value, sizeof value);
    expr = expr_add(rule, "redir");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
}

void rule_reject(struct rule *rule)
{
    reject(rule, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
}

/* On both families the one that a client learns of at once. */
void rule_reject_reset(struct rule *rule)
{
    reject(rule, NFT_REJECT_TCP_RST, 0);
}
