/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/policy.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- matches: true, with the first entry of the list from *entry on that does it ---- */

static bool is_set(const struct addr *addr)
{
    return addr->sa.sa_family != AF_UNSPEC;
}

static bool is_loopback(const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return (ntohl(addr->in4.sin_addr.s_addr) >> 24) == 127;
    return addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&addr->in6.sin6_addr);
}

static bool match_not_redirected(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return is_set(&subject->acceptor) &&
           (!is_set(&subject->destination) || addr_equal(&subject->destination, &subject->acceptor));
}

/* All of loopback at our port, for any relay of this host may have been meant. */
static bool match_loop(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    if (!is_set(&subject->acceptor))
        return false;
    if (is_loopback(&subject->destination) && addr_port(&subject->destination) == addr_port(&subject->acceptor))
        return true;
    return is_set(&subject->proxy) && addr_equal(&subject->destination, &subject->proxy);
}

static bool in_ports(const uint16_t *ports, size_t count, const struct addr *addr, size_t *entry)
{
    for (size_t i = *entry; i < count; i++) {
        if (ports[i] == addr_port(addr)) {
            *entry = i;
            return true;
        }
    }
    return false;
}

bool policy_is_web(const struct conf *conf, const struct subject *subject)
{
    size_t entry = 0;
    return in_ports(conf->ports, conf->n_ports, &subject->destination, &entry);
}

/* Before all that is exempt: the address that is seen is not where it ends. */
static bool match_source_route(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return subject->source_routed && policy_is_web(conf, subject);
}

static bool match_own(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return subject->own;
}

static bool match_own_elsewhere(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return subject->own_user && policy_is_web(conf, subject);
}

static bool match_host(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return subject->local || is_loopback(&subject->destination);
}

static bool match_proxies(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return conf->protect_proxies && subject->plain_proxy;
}

static bool in_users(const struct conf_user *users, size_t count, const struct subject *subject, size_t *entry)
{
    for (size_t i = *entry; i < count && subject->has_uid; i++) {
        if (conf_user_has(&users[i], subject->uid)) {
            *entry = i;
            return true;
        }
    }
    return false;
}

static bool in_networks(const struct prefix *networks, size_t count, const struct addr *addr, size_t *entry)
{
    for (size_t i = *entry; i < count; i++) {
        if (prefix_contains(&networks[i], addr)) {
            *entry = i;
            return true;
        }
    }
    return false;
}

static bool match_bypass_users(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_users(conf->bypass_users, conf->n_bypass_users, subject, entry);
}

static bool match_bypass_networks(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_networks(conf->bypass_networks, conf->n_bypass_networks, &subject->destination, entry);
}

static bool match_bypass_ports(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_ports(conf->bypass_ports, conf->n_bypass_ports, &subject->destination, entry);
}

static bool match_block_users(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_users(conf->block_users, conf->n_block_users, subject, entry);
}

static bool match_block_networks(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_networks(conf->block_networks, conf->n_block_networks, &subject->destination, entry);
}

static bool match_block_ports(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return in_ports(conf->block_ports, conf->n_block_ports, &subject->destination, entry);
}

static bool match_local_networks(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    size_t count, first = 0;
    const struct prefix *networks = conf_local_networks(&count);
    return conf->local_networks && in_networks(networks, count, &subject->destination, &first);
}

static bool match_ports(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return subject->protocol == IPPROTO_TCP && in_ports(conf->ports, conf->n_ports, &subject->destination, entry);
}

/* The domain itself, or what is under it. */
static bool is_in_domain(const char *name, size_t length, const char *domain)
{
    size_t tail = strlen(domain);
    return length >= tail && memcmp(name + length - tail, domain, tail) == 0 &&
           (length == tail || name[length - tail - 1] == '.');
}

/* Of those shorter than limit the longest. */
static bool find_domain(const struct conf *conf, const struct subject *subject, size_t limit, size_t *entry)
{
    const size_t length = strlen(subject->name);
    size_t best = 0;
    for (size_t i = 0; i < conf->n_block_domains; i++) {
        const size_t tail = strlen(conf->block_domains[i]);
        if (tail > best && tail < limit && is_in_domain(subject->name, length, conf->block_domains[i])) {
            best = tail;
            *entry = i;
        }
    }
    return best > 0;
}

static bool match_block_domains(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    size_t port = 0;
    return subject->name && match_ports(conf, subject, &port) && find_domain(conf, subject, SIZE_MAX, entry);
}

static bool match_quic(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    bool passes = subject->protocol == IPPROTO_UDP && conf->quic == CONF_QUIC_PASS;
    return subject->protocol != IPPROTO_TCP && !passes && policy_is_web(conf, subject);
}

static bool match_all(const struct conf *conf, const struct subject *subject, size_t *entry)
{
    return true;
}

/* ---- the table ---- */

static const struct row {
    enum policy_decision decision;
    bool kernels;
    bool (*match)(const struct conf *conf, const struct subject *subject, size_t *entry);
    const char *section, *key; /* NULL: no key makes it */
    const char *value;         /* of the key, or what the row is; NULL: an entry of the key's list */
} rows[] = {
    [POLICY_ROW_NOT_REDIRECTED] = {POLICY_REFUSED, false, match_not_redirected, NULL, NULL, "not redirected"},
    [POLICY_ROW_LOOP] = {POLICY_REFUSED, false, match_loop, NULL, NULL, "the proxy or penstock itself"},
    [POLICY_ROW_SOURCE_ROUTE] = {POLICY_REFUSED, true, match_source_route, NULL, NULL, "source route"},
    [POLICY_ROW_OWN] = {POLICY_DIRECT, true, match_own, NULL, NULL, "penstock's own traffic"},
    [POLICY_ROW_OWN_ELSEWHERE] = {POLICY_REFUSED, true, match_own_elsewhere, NULL, NULL, "penstock, not to a proxy"},
    [POLICY_ROW_HOST] = {POLICY_DIRECT, true, match_host, NULL, NULL, "service of this host"},
    [POLICY_ROW_PROXIES] = {POLICY_REFUSED, true, match_proxies, "Redirect", "ProtectProxies", "yes"},
    [POLICY_ROW_BYPASS_USERS] = {POLICY_DIRECT, true, match_bypass_users, "Bypass", "Users", NULL},
    [POLICY_ROW_BYPASS_NETWORKS] = {POLICY_DIRECT, true, match_bypass_networks, "Bypass", "Networks", NULL},
    [POLICY_ROW_BYPASS_PORTS] = {POLICY_DIRECT, true, match_bypass_ports, "Bypass", "Ports", NULL},
    [POLICY_ROW_BLOCK_USERS] = {POLICY_REFUSED, true, match_block_users, "Block", "Users", NULL},
    [POLICY_ROW_BLOCK_NETWORKS] = {POLICY_REFUSED, true, match_block_networks, "Block", "Networks", NULL},
    [POLICY_ROW_BLOCK_PORTS] = {POLICY_REFUSED, true, match_block_ports, "Block", "Ports", NULL},
    [POLICY_ROW_LOCAL_NETWORKS] = {POLICY_DIRECT, true, match_local_networks, "Bypass", "LocalNetworks", "yes"},
    [POLICY_ROW_BLOCK_DOMAINS] = {POLICY_REFUSED, false, match_block_domains, "Block", "Domains", NULL},
    [POLICY_ROW_PORTS] = {POLICY_PROXY, true, match_ports, "Redirect", "Ports", NULL},
    [POLICY_ROW_QUIC] = {POLICY_REFUSED, true, match_quic, "Redirect", "QUIC", "reject"},
    [POLICY_ROW_DEFAULT] = {POLICY_UNTOUCHED, false, match_all, NULL, NULL, "no redirected port"},
};
static_assert(sizeof rows / sizeof rows[0] == POLICY_ROW_COUNT, "one row for each");

static enum policy_decision decide_from(const struct conf *conf, const struct subject *subject,
                                        struct policy_rule *rule)
{
    while (!rows[rule->row].match(conf, subject, &rule->entry))
        *rule = (struct policy_rule){.row = rule->row + 1};
    return rows[rule->row].decision;
}

enum policy_decision policy_decide(const struct conf *conf, const struct subject *subject, struct policy_rule *ret_rule)
{
    struct policy_rule rule = {0};
    enum policy_decision decision = decide_from(conf, subject, &rule);
    *ret_rule = rule;
    return decision;
}

enum policy_decision policy_decide_without(const struct conf *conf, const struct subject *subject,
                                           struct policy_rule *rule)
{
    assert(rule->row < POLICY_ROW_DEFAULT);
    if (rule->row == POLICY_ROW_BLOCK_DOMAINS &&
        find_domain(conf, subject, strlen(conf->block_domains[rule->entry]), &rule->entry))
        return rows[rule->row].decision;
    if (rows[rule->row].value || rule->row == POLICY_ROW_BLOCK_DOMAINS)
        *rule = (struct policy_rule){.row = rule->row + 1};
    else
        rule->entry++;
    return decide_from(conf, subject, rule);
}

bool policy_row_is_kernels(enum policy_row row)
{
    assert(row < POLICY_ROW_COUNT);
    return rows[row].kernels;
}

/* ---- names ---- */

static const char *port_text(uint16_t port, char buf[static ADDR_TEXT_MAX])
{
    snprintf(buf, ADDR_TEXT_MAX, "%u", port);
    return buf;
}

static const char *entry_text(const struct conf *conf, const struct policy_rule *rule, char buf[static ADDR_TEXT_MAX])
{
    switch (rule->row) {
    case POLICY_ROW_BYPASS_USERS:
        return conf->bypass_users[rule->entry].name;
    case POLICY_ROW_BYPASS_NETWORKS:
        return prefix_text(&conf->bypass_networks[rule->entry], buf);
    case POLICY_ROW_BYPASS_PORTS:
        return port_text(conf->bypass_ports[rule->entry], buf);
    case POLICY_ROW_BLOCK_USERS:
        return conf->block_users[rule->entry].name;
    case POLICY_ROW_BLOCK_NETWORKS:
        return prefix_text(&conf->block_networks[rule->entry], buf);
    case POLICY_ROW_BLOCK_PORTS:
        return port_text(conf->block_ports[rule->entry], buf);
    case POLICY_ROW_BLOCK_DOMAINS:
        return conf->block_domains[rule->entry];
    case POLICY_ROW_PORTS:
        return port_text(conf->ports[rule->entry], buf);
    case POLICY_ROW_NOT_REDIRECTED:
    case POLICY_ROW_LOOP:
    case POLICY_ROW_SOURCE_ROUTE:
    case POLICY_ROW_OWN:
    case POLICY_ROW_OWN_ELSEWHERE:
    case POLICY_ROW_HOST:
    case POLICY_ROW_PROXIES:
    case POLICY_ROW_LOCAL_NETWORKS:
    case POLICY_ROW_QUIC:
    case POLICY_ROW_DEFAULT:
        return rows[rule->row].value;
    case POLICY_ROW_COUNT:
        break;
    }
    assert(!"a row of the table");
}

const char *policy_rule_text(const struct conf *conf, const struct policy_rule *rule,
                             char buf[static POLICY_RULE_TEXT_MAX])
{
    const struct row *row = &rows[rule->row];
    char text[ADDR_TEXT_MAX];
    if (row->key)
        snprintf(buf, POLICY_RULE_TEXT_MAX, "[%s] %s=%s", row->section, row->key, entry_text(conf, rule, text));
    else
        snprintf(buf, POLICY_RULE_TEXT_MAX, "%s", row->value);
    return buf;
}

bool policy_rule_has_key(const struct policy_rule *rule)
{
    return rows[rule->row].key;
}

bool policy_rule_origin(const struct conf *conf, const struct policy_rule *rule, const char **ret_file,
                        unsigned *ret_line)
{
    const struct row *row = &rows[rule->row];
    return row->key && conf_origin(conf, row->section, row->key, rule->entry, ret_file, ret_line);
}
