/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conflicts.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/conf/header.h"
#include "model/policy.h"

#define PLACE_MAX  4400 /* a path, and a number */
#define LENGTH_MAX 128  /* of a prefix */

/* ---- rules by their names ---- */

struct list {
    const char *section;
    enum policy_row networks_row, ports_row, users_row;
    const struct prefix *networks;
    size_t n_networks;
    const uint16_t *ports;
    size_t n_ports;
    const struct conf_user *users;
    size_t n_users;
    const char *outcome; /* what becomes of what it takes */
};

static struct list bypass_of(const struct conf *conf)
{
    return (struct list){"Bypass",
                         POLICY_ROW_BYPASS_NETWORKS,
                         POLICY_ROW_BYPASS_PORTS,
                         POLICY_ROW_BYPASS_USERS,
                         conf->bypass_networks,
                         conf->n_bypass_networks,
                         conf->bypass_ports,
                         conf->n_bypass_ports,
                         conf->bypass_users,
                         conf->n_bypass_users,
                         "goes past the proxy"};
}

static struct list block_of(const struct conf *conf)
{
    return (struct list){"Block",
                         POLICY_ROW_BLOCK_NETWORKS,
                         POLICY_ROW_BLOCK_PORTS,
                         POLICY_ROW_BLOCK_USERS,
                         conf->block_networks,
                         conf->n_block_networks,
                         conf->block_ports,
                         conf->n_block_ports,
                         conf->block_users,
                         conf->n_block_users,
                         "is refused"};
}

/* "FILE:LINE: ", or nothing where that is not known. */
static const char *place_of(const struct conf *conf, const struct policy_rule *rule, char buf[static PLACE_MAX])
{
    const char *file;
    unsigned line;
    buf[0] = '\0';
    if (policy_rule_origin(conf, rule, &file, &line))
        snprintf(buf, PLACE_MAX, "%s:%u: ", file, line);
    return buf;
}

static const char *name_of(const struct conf *conf, enum policy_row row, size_t entry,
                           char buf[static POLICY_RULE_TEXT_MAX])
{
    return policy_rule_text(conf, &(struct policy_rule){row, entry}, buf);
}

/* ---- what takes everything ---- */

static bool contains(const struct prefix *outer, const struct prefix *inner)
{
    return outer->length <= inner->length && prefix_contains(outer, &inner->base);
}

/* Another one has all of it; of two equal ones the first counts. */
static bool is_inside_another(const struct list *list, size_t i)
{
    for (size_t k = 0; k < list->n_networks; k++) {
        const bool equal = list->networks[k].length == list->networks[i].length;
        if (k != i && contains(&list->networks[k], &list->networks[i]) && (!equal || k < i))
            return true;
    }
    return false;
}

/* Prefixes that are not inside another are disjoint; they fill the space when each pairs up with one of its length, and
 * what they make with one of the next shorter length, down to nothing. */
static bool covers_all(const struct list *list, int family)
{
    size_t counts[LENGTH_MAX + 1] = {0};
    for (size_t i = 0; i < list->n_networks; i++)
        if (list->networks[i].base.sa.sa_family == family && !is_inside_another(list, i))
            counts[list->networks[i].length]++;
    for (unsigned length = LENGTH_MAX; length > 0; length--) {
        if (counts[length] % 2 != 0)
            return false;
        counts[length - 1] += counts[length] / 2;
    }
    return counts[0] == 1;
}

static void find_everything(const struct conf *conf, const struct list *list, struct texts *texts)
{
    static const struct {
        int family;
        const char *name;
    } families[] = {{AF_INET, "IPv4"}, {AF_INET6, "IPv6"}};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (covers_all(list, families[i].family))
            texts_add(texts, "[%s] Networks= covers all of %s: whatever is sent there %s", list->section,
                      families[i].name, list->outcome);
}

static void find_redirected_ports(const struct conf *conf, const struct list *list, struct texts *texts)
{
    char place[PLACE_MAX], name[POLICY_RULE_TEXT_MAX];
    for (size_t i = 0; i < list->n_ports; i++) {
        struct subject subject = {.protocol = IPPROTO_TCP, .destination.in4.sin_family = AF_INET};
        addr_set_port(&subject.destination, list->ports[i]);
        if (policy_is_web(conf, &subject))
            texts_add(texts, "%s%s: this is a redirected port, and all that is sent to it %s",
                      place_of(conf, &(struct policy_rule){list->ports_row, i}, place),
                      name_of(conf, list->ports_row, i, name), list->outcome);
    }
}

/* ---- the proxies ---- */

static void find_blocked_proxies(const struct conf *conf, struct texts *texts)
{
    static const char why[] = "penstock reaches it all the same, other programs do not";
    char place[PLACE_MAX], name[POLICY_RULE_TEXT_MAX];
    struct addr server;
    for (size_t i = 0; i < conf->n_block_networks; i++) {
        const struct policy_rule rule = {POLICY_ROW_BLOCK_NETWORKS, i};
        for (size_t k = 0; k < conf->n_servers; k++)
            if (addr_parse(conf->servers[k], 0, &server) && prefix_contains(&conf->block_networks[i], &server))
                texts_add(texts, "%s%s: the proxy %s is in it: %s", place_of(conf, &rule, place),
                          policy_rule_text(conf, &rule, name), conf->servers[k], why);
    }
    for (size_t i = 0; i < conf->n_block_ports; i++) {
        const struct policy_rule rule = {POLICY_ROW_BLOCK_PORTS, i};
        if (conf->block_ports[i] == conf->port || (conf->secure && conf->block_ports[i] == conf->secure_port))
            texts_add(texts, "%s%s: this is a port of the proxies: %s", place_of(conf, &rule, place),
                      policy_rule_text(conf, &rule, name), why);
    }
}

/* ---- what never decides ---- */

static void tell_idle(const struct conf *conf, const struct policy_rule *idle, const struct policy_rule *first,
                      struct texts *texts)
{
    char place[PLACE_MAX], name[POLICY_RULE_TEXT_MAX], taker[POLICY_RULE_TEXT_MAX];
    texts_add(texts, "%s%s: never decides, for %s comes first and takes all of it", place_of(conf, idle, place),
              policy_rule_text(conf, idle, name), policy_rule_text(conf, first, taker));
}

/* The first of the n networks that has all of it; n: none. */
static size_t taker_of(const struct prefix *network, const struct prefix *networks, size_t n)
{
    size_t i = 0;
    while (i < n && !contains(&networks[i], network))
        i++;
    return i;
}

/* Within one list: by an earlier entry. */
static void find_idle_networks(const struct conf *conf, const struct list *list, struct texts *texts)
{
    for (size_t i = 0; i < list->n_networks; i++) {
        size_t taker = taker_of(&list->networks[i], list->networks, i);
        if (taker < i)
            tell_idle(conf, &(struct policy_rule){list->networks_row, i},
                      &(struct policy_rule){list->networks_row, taker}, texts);
    }
}

static bool has_all(const struct conf_user *outer, const struct conf_user *inner)
{
    const struct conf_group *group = inner->group ? conf_group_in_force(inner->group) : NULL;
    if (!inner->group)
        return inner->uid != CONF_UID_UNKNOWN && conf_user_has(outer, inner->uid);
    for (size_t i = 0; group && i < group->n; i++)
        if (!conf_user_has(outer, group->uids[i]))
            return false;
    return group && group->n > 0;
}

/* What [Bypass] has, [Block] never sees. */
static void find_idle_block(const struct conf *conf, const struct list *bypass, const struct list *block,
                            struct texts *texts)
{
    for (size_t i = 0; i < block->n_networks; i++) {
        size_t taker = taker_of(&block->networks[i], bypass->networks, bypass->n_networks);
        if (taker < bypass->n_networks)
            tell_idle(conf, &(struct policy_rule){block->networks_row, i},
                      &(struct policy_rule){bypass->networks_row, taker}, texts);
    }
    for (size_t i = 0; i < block->n_ports; i++)
        for (size_t k = 0; k < bypass->n_ports; k++)
            if (block->ports[i] == bypass->ports[k])
                tell_idle(conf, &(struct policy_rule){block->ports_row, i}, &(struct policy_rule){bypass->ports_row, k},
                          texts);
    for (size_t i = 0; i < block->n_users; i++)
        for (size_t k = 0; k < bypass->n_users; k++)
            if (has_all(&bypass->users[k], &block->users[i]))
                tell_idle(conf, &(struct policy_rule){block->users_row, i}, &(struct policy_rule){bypass->users_row, k},
                          texts);
}

/* ---- headers ---- */

static void find_untold_headers(const struct conf *conf, struct texts *texts)
{
    const char *file;
    unsigned line;
    char place[PLACE_MAX] = "";
    for (size_t i = 0; i < conf->n_headers && !conf->secure && !conf->identity_on_plain; i++) {
        const char *header = conf->headers[i];
        if (!header_has(header, HEADER_WHO))
            continue;
        if (conf_origin(conf, "Proxy", "Header", i, &file, &line))
            snprintf(place, sizeof place, "%s:%u: ", file, line);
        texts_add(texts,
                  "%s[Proxy] Header=%.*s: never sent, for without the secure channel nobody is told who asks; "
                  "IdentityOnPlain=yes would do it",
                  place, (int)strcspn(header, ":"), header);
    }
}

void conflicts_find(const struct conf *conf, struct texts *texts)
{
    find_untold_headers(conf, texts);
    const struct list lists[] = {bypass_of(conf), block_of(conf)};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        find_everything(conf, &lists[i], texts);
        find_redirected_ports(conf, &lists[i], texts);
        find_idle_networks(conf, &lists[i], texts);
    }
    find_idle_block(conf, &lists[0], &lists[1], texts);
    find_blocked_proxies(conf, texts);
}
