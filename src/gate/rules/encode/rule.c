/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/rule.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
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
#include <stdlib.h>
#include <string.h>

#define FLAGS_OFFSET     13 /* in the TCP header */
#define LABEL_WORDS      4  /* of a connection label */
#define LOOPBACK_IFINDEX 1  /* in every network namespace */

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

/* ---- expressions: everything goes through register 1, and what stands behind it ---- */

static struct nftnl_expr *add_expr(struct rule *rule, const char *name)
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

static void set_string(struct rule *rule, struct nftnl_expr *expr, uint16_t attribute, const char *value)
{
    if (nftnl_expr_set_str(expr, attribute, value) < 0)
        rule->failed = true;
}

static void load_meta(struct rule *rule, uint32_t key)
{
    struct nftnl_expr *expr = add_expr(rule, "meta");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void load_payload_to(struct rule *rule, uint32_t to, uint32_t base, size_t offset, size_t length)
{
    struct nftnl_expr *expr = add_expr(rule, "payload");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, to);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, (uint32_t)offset);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, (uint32_t)length);
}

static void load_payload(struct rule *rule, uint32_t base, size_t offset, size_t length)
{
    load_payload_to(rule, NFT_REG_1, base, offset, length);
}

static void load_ct(struct rule *rule, uint32_t key)
{
    struct nftnl_expr *expr = add_expr(rule, "ct");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, key);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

static void bitwise(struct rule *rule, const void *mask, const void * xor, uint32_t length)
{
    struct nftnl_expr *expr = add_expr(rule, "bitwise");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, length);
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_MASK, mask, length);
    nftnl_expr_set(expr, NFTNL_EXPR_BITWISE_XOR, xor, length);
}

static void compare(struct rule *rule, enum nft_cmp_ops op, const void *value, size_t length)
{
    struct nftnl_expr *expr = add_expr(rule, "cmp");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(expr, NFTNL_EXPR_CMP_DATA, value, (uint32_t)length);
}

static void lookup(struct rule *rule, const char *set)
{
    struct nftnl_expr *expr = add_expr(rule, "lookup");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    set_string(rule, expr, NFTNL_EXPR_LOOKUP_SET, set);
}

static void verdict(struct rule *rule, int code, const char *chain)
{
    struct nftnl_expr *expr = add_expr(rule, "immediate");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)code);
    if (chain)
        set_string(rule, expr, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void reject(struct rule *rule, enum nft_reject_types type, uint8_t code)
{
    struct nftnl_expr *expr = add_expr(rule, "reject");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_REJECT_TYPE, type);
    nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, code);
}

/* ---- matches ---- */

void rule_skuid(struct rule *rule, uid_t uid)
{
    load_meta(rule, NFT_META_SKUID);
    compare(rule, NFT_CMP_EQ, &uid, sizeof uid);
}

void rule_skuid_not(struct rule *rule, uid_t uid)
{
    load_meta(rule, NFT_META_SKUID);
    compare(rule, NFT_CMP_NEQ, &uid, sizeof uid);
}

void rule_skuid_set(struct rule *rule, const char *set)
{
    load_meta(rule, NFT_META_SKUID);
    lookup(rule, set);
}

static void match_oif(struct rule *rule, enum nft_cmp_ops op)
{
    uint32_t index = LOOPBACK_IFINDEX;
    load_meta(rule, NFT_META_OIF);
    compare(rule, op, &index, sizeof index);
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
    struct nftnl_expr *expr = add_expr(rule, "fib");
    uint32_t type = RTN_LOCAL;
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    compare(rule, NFT_CMP_EQ, &type, sizeof type);
}

/* Of a key that is one byte. */
static void match_meta(struct rule *rule, uint32_t key, uint8_t value)
{
    load_meta(rule, key);
    compare(rule, NFT_CMP_EQ, &value, sizeof value);
}

void rule_syn_sport_set(struct rule *rule, const char *set)
{
    static const uint8_t mask = TH_FIN | TH_SYN | TH_RST | TH_ACK, zero, syn = TH_SYN;
    match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS_OFFSET, sizeof mask);
    bitwise(rule, &mask, &zero, sizeof mask);
    compare(rule, NFT_CMP_EQ, &syn, sizeof syn);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, source), sizeof(in_port_t));
    lookup(rule, set);
}

static void load_daddr_itself(struct rule *rule, int family)
{
    if (family == AF_INET)
        load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), sizeof(struct in_addr));
    else
        load_payload(rule, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct ip6_hdr, ip6_dst), sizeof(struct in6_addr));
}

static void load_daddr(struct rule *rule, int family)
{
    match_meta(rule, NFT_META_NFPROTO, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    load_daddr_itself(rule, family);
}

void rule_daddr_set(struct rule *rule, int family, const char *set)
{
    load_daddr(rule, family);
    lookup(rule, set);
}

/* The protocol comes before both, as nft has it; the port goes behind the address: into the register of four bytes. */
void rule_daddr_dport_set(struct rule *rule, int family, const char *set)
{
    match_meta(rule, NFT_META_NFPROTO, family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6);
    match_meta(rule, NFT_META_L4PROTO, IPPROTO_TCP);
    load_daddr_itself(rule, family);
    load_payload_to(rule, family == AF_INET ? NFT_REG32_01 : NFT_REG_2, NFT_PAYLOAD_TRANSPORT_HEADER,
                    offsetof(struct tcphdr, dest), sizeof(in_port_t));
    lookup(rule, set);
}

static void compare_addr(struct rule *rule, enum nft_cmp_ops op, const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        compare(rule, op, &addr->in4.sin_addr, sizeof addr->in4.sin_addr);
    else
        compare(rule, op, &addr->in6.sin6_addr, sizeof addr->in6.sin6_addr);
}

void rule_daddr(struct rule *rule, const struct addr *addr)
{
    load_daddr(rule, addr->sa.sa_family);
    compare_addr(rule, NFT_CMP_EQ, addr);
}

void rule_nexthop_other(struct rule *rule, const struct addr *addr)
{
    struct nftnl_expr *expr = add_expr(rule, "rt");
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
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, dest), sizeof(in_port_t));
}

void rule_dport(struct rule *rule, uint8_t protocol, uint16_t port)
{
    in_port_t value = htons(port);
    load_dport(rule, protocol);
    compare(rule, NFT_CMP_EQ, &value, sizeof value);
}

void rule_dport_set(struct rule *rule, uint8_t protocol, const char *set)
{
    load_dport(rule, protocol);
    lookup(rule, set);
}

void rule_th_dport_set(struct rule *rule, const char *protocols, const char *set)
{
    load_meta(rule, NFT_META_L4PROTO);
    lookup(rule, protocols);
    load_payload(rule, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, dest), sizeof(in_port_t));
    lookup(rule, set);
}

static void match_present(struct rule *rule, enum nft_exthdr_op op, uint8_t type)
{
    struct nftnl_expr *expr = add_expr(rule, "exthdr");
    uint8_t present = 1;
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_DREG, NFT_REG_1);
    nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, type);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 0);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_OP, op);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
    compare(rule, NFT_CMP_EQ, &present, sizeof present);
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
    bitwise(rule, &bits, &zero, sizeof bits);
    compare(rule, NFT_CMP_NEQ, &zero, sizeof zero);
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
    load_ct(rule, NFT_CT_LABELS);
    bitwise(rule, label, zero, sizeof label);
    compare(rule, NFT_CMP_NEQ, zero, sizeof zero);
}

static void match_direction(struct rule *rule, uint8_t direction)
{
    load_ct(rule, NFT_CT_DIRECTION);
    compare(rule, NFT_CMP_EQ, &direction, sizeof direction);
}

void rule_ct_original(struct rule *rule)
{
    match_direction(rule, IP_CT_DIR_ORIGINAL);
}

void rule_ct_reply(struct rule *rule)
{
    match_direction(rule, IP_CT_DIR_REPLY);
}

void rule_ct_dnat(struct rule *rule)
{
    load_ct(rule, NFT_CT_STATUS);
    match_bits(rule, IPS_DST_NAT);
}

void rule_socket_foreign(struct rule *rule)
{
    uint8_t no = 0;
    struct nftnl_expr *expr = add_expr(rule, "socket");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_SOCKET_KEY, NFT_SOCKET_TRANSPARENT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_SOCKET_DREG, NFT_REG_1);
    compare(rule, NFT_CMP_EQ, &no, sizeof no);
}

/* ---- statements and verdicts ---- */

void rule_set_ct_label(struct rule *rule, unsigned bit)
{
    struct nftnl_expr *expr = add_expr(rule, "immediate");
    uint32_t label[LABEL_WORDS];
    if (!expr)
        return;
    label_of(bit, label);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
    nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, label, sizeof label);
    expr = add_expr(rule, "ct");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, NFT_CT_LABELS);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_SREG, NFT_REG_1);
}

void rule_counter(struct rule *rule, const char *counter)
{
    struct nftnl_expr *expr = add_expr(rule, "objref");
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    set_string(rule, expr, NFTNL_EXPR_OBJREF_IMM_NAME, counter);
}

void rule_count(struct rule *rule)
{
    (void)add_expr(rule, "counter");
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
    struct nftnl_expr *expr = add_expr(rule, "immediate");
    in_port_t value = htons(port);
    if (!expr)
        return;
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
    nftnl_expr_set(expr, NFTNL_EXPR_IMM_DATA, &value, sizeof value);
    expr = add_expr(rule, "redir");
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
