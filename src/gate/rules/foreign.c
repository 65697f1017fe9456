/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/foreign.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/timer.h"
#include "gate/rules/nfsocket.h"
#include "model/conf/conf.h"
#include "model/message_id.h"

#define TIMEOUT_MS    5000
#define BASES_MAX     64 /* with more of them the first ones must do */
#define NFT_NAME_SIZE 64
#define DPORT         2  /* offset in the transport header */
#define DELAY_SECONDS 1. /* others change their rules in several transactions */
#define PAUSE_SECONDS 5. /* a look reads all rules of the host */

/* A base chain: it sees the packets of one hook. */
struct base {
    uint32_t family;
    uint32_t hook;
    char table[NFT_NAME_SIZE], chain[NFT_NAME_SIZE];
};

struct search {
    const struct conf *conf;
    struct base bases[BASES_MAX];
    size_t n_bases;
    char *ret_text;
    bool found;
};

/* ---- chains ---- */

static void take_chain(const struct nlmsghdr *message, void *data)
{
    struct search *search = data;
    struct nftnl_chain *chain = search->n_bases < BASES_MAX ? nftnl_chain_alloc() : NULL;
    if (chain && nftnl_chain_nlmsg_parse(message, chain) == 0 && nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM)) {
        struct base *base = &search->bases[search->n_bases++];
        base->family = nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY);
        base->hook = nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM);
        snprintf(base->table, sizeof base->table, "%s", nftnl_chain_get_str(chain, NFTNL_CHAIN_TABLE));
        snprintf(base->chain, sizeof base->chain, "%s", nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
    }
    if (chain)
        nftnl_chain_free(chain);
}

static const struct base *find_base(const struct search *search, uint32_t family, const char *table, const char *chain)
{
    for (size_t i = 0; i < search->n_bases; i++)
        if (search->bases[i].family == family && strcmp(search->bases[i].table, table) == 0 &&
            strcmp(search->bases[i].chain, chain) == 0)
            return &search->bases[i];
    return NULL;
}

/* ---- rules ---- */

/* What a rule compares next: the register that was loaded last. */
enum loaded { LOADED_OTHER, LOADED_PROTOCOL, LOADED_PORT };

struct meaning {
    const struct conf *conf;
    enum loaded loaded;
    bool elsewhere; /* other ports, or not TCP */
    bool redirects; /* to a port of this host */
    bool rewrites;  /* to any address */
};

static bool is_ours(const struct conf *conf, uint16_t port)
{
    for (size_t i = 0; i < conf->n_ports; i++)
        if (conf->ports[i] == port)
            return true;
    return false;
}

static void read_comparison(struct meaning *meaning, const struct nftnl_expr *expr)
{
    uint32_t size;
    const unsigned char *value = nftnl_expr_get(expr, NFTNL_EXPR_CMP_DATA, &size);
    bool equal = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP) == NFT_CMP_EQ;
    if (!value || !equal)
        return;
    if (meaning->loaded == LOADED_PROTOCOL && size == 1)
        meaning->elsewhere |= value[0] != IPPROTO_TCP;
    if (meaning->loaded == LOADED_PORT && size == 2)
        meaning->elsewhere |= !is_ours(meaning->conf, (uint16_t)(value[0] << 8 | value[1]));
}

static enum loaded read_payload(const struct nftnl_expr *expr)
{
    bool port = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE) == NFT_PAYLOAD_TRANSPORT_HEADER &&
                nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET) == DPORT &&
                nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN) == sizeof(uint16_t);
    return port ? LOADED_PORT : LOADED_OTHER;
}

static int read_expression(struct nftnl_expr *expr, void *data)
{
    struct meaning *meaning = data;
    const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
    if (strcmp(name, "payload") == 0)
        meaning->loaded = read_payload(expr);
    else if (strcmp(name, "meta") == 0)
        meaning->loaded =
            nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY) == NFT_META_L4PROTO ? LOADED_PROTOCOL : LOADED_OTHER;
    else if (strcmp(name, "cmp") == 0)
        read_comparison(meaning, expr);
    else if (strcmp(name, "redir") == 0)
        meaning->redirects = true;
    else if (strcmp(name, "target") == 0) /* of iptables-nft */
        meaning->redirects = strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_TG_NAME), "REDIRECT") == 0;
    else if (strcmp(name, "nat") == 0)
        meaning->rewrites = nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT;
    return 0;
}

/* A chain without a hook may be reached from anywhere. There only a redirect counts: new addresses for connections to
 * this host's own, as containers have them, are usual in such chains. */
static bool concerns_us(const struct base *base, const struct meaning *meaning)
{
    if (meaning->elsewhere || (base && base->hook != NF_INET_LOCAL_OUT))
        return false;
    return meaning->redirects || (meaning->rewrites && base);
}

static const char *family_word(uint32_t family)
{
    return family == NFPROTO_INET ? "inet" : family == NFPROTO_IPV4 ? "ip" : "ip6";
}

static void examine(struct search *search, struct nftnl_rule *rule)
{
    struct meaning meaning = {.conf = search->conf};
    uint32_t family = nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY);
    const char *table = nftnl_rule_get_str(rule, NFTNL_RULE_TABLE);
    const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
    if (family != NFPROTO_INET && family != NFPROTO_IPV4 && family != NFPROTO_IPV6)
        return;
    if (family == NFPROTO_INET && strcmp(table, RULESET_TABLE) == 0)
        return;
    nftnl_expr_foreach(rule, read_expression, &meaning);
    if (!concerns_us(find_base(search, family, table, chain), &meaning))
        return;
    search->found = true;
    snprintf(
        search->ret_text, TABLE_ERROR_MAX,
        "table %s %.30s, chain %.30s redirects web connections, too; of two redirects only one acts, remove the other "
        "one (nft list table %s %.30s)",
        family_word(family), table, chain, family_word(family), table);
}

static void take_rule(const struct nlmsghdr *message, void *data)
{
    struct search *search = data;
    struct nftnl_rule *rule = search->found ? NULL : nftnl_rule_alloc();
    if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0)
        examine(search, rule);
    if (rule)
        nftnl_rule_free(rule);
}

/* ---- all of them ---- */

static int look(struct search *search)
{
    struct nfsocket *nfsocket = nfsocket_new();
    int r;
    if (!nfsocket)
        return -errno;
    nfsocket_set_deadline(nfsocket, TIMEOUT_MS);
    r = nfsocket_dump(nfsocket, NFT_MSG_GETCHAIN, take_chain, search);
    if (r >= 0)
        r = nfsocket_dump(nfsocket, NFT_MSG_GETRULE, take_rule, search);
    nfsocket_free(nfsocket);
    return r;
}

int foreign_redirects(const struct conf *conf, char ret_text[static TABLE_ERROR_MAX])
{
    struct search *search = calloc(1, sizeof *search);
    bool found;
    int r;
    if (!search) {
        snprintf(ret_text, TABLE_ERROR_MAX, "reading nf_tables: %s", strerror(ENOMEM));
        return -ENOMEM;
    }
    search->conf = conf;
    search->ret_text = ret_text;
    r = look(search);
    found = search->found;
    free(search);
    if (r < 0)
        table_explain(r, "reading nf_tables", ret_text);
    return r < 0 ? r : found;
}

/* ---- whenever they change ---- */

static void arm(struct foreign *foreign, double seconds)
{
    timer_arm(foreign->loop, &foreign->timer, seconds);
}

static void timer_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_OTHERS}, {NULL, NULL}};
    static const struct log_field gone[] = {{"MESSAGE_ID", MESSAGE_ID_OTHERS_GONE}, {NULL, NULL}};
    struct foreign *foreign = watcher->data;
    char text[TABLE_ERROR_MAX] = "";
    int r;
    assert(foreign->conf);
    r = foreign_redirects(foreign->conf, text);
    foreign->looked = ev_now(loop);
    /* An error is no news: the rules of our own meet it, too. */
    if (r < 0 || strcmp(text, foreign->text) == 0)
        return;
    if (text[0] != '\0')
        log_event(LOG_LEVEL_WARNING, fields, "%s", text);
    else
        log_event(LOG_LEVEL_NOTICE, gone, "no other table redirects web connections any more");
    memcpy(foreign->text, text, sizeof text);
}

void foreign_set_conf(struct foreign *foreign, const struct conf *conf)
{
    foreign->conf = conf;
    arm(foreign, 0.);
}

void foreign_changed(struct foreign *foreign)
{
    double pause = foreign->looked + PAUSE_SECONDS - ev_now(foreign->loop);
    if (!ev_is_active(&foreign->timer))
        arm(foreign, pause > DELAY_SECONDS ? pause : DELAY_SECONDS);
}

void foreign_init(struct foreign *foreign, struct ev_loop *loop)
{
    *foreign = (struct foreign){.loop = loop, .looked = -PAUSE_SECONDS};
    ev_timer_init(&foreign->timer, timer_cb, 0., 0.);
    foreign->timer.data = foreign;
}

void foreign_fini(struct foreign *foreign)
{
    if (foreign->loop)
        ev_timer_stop(foreign->loop, &foreign->timer);
}
