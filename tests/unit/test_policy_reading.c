/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy beside a second reading of "Who decides" in penstock.conf(5), written from the words and not from
 * policy.c: random configurations, random connections, SEED=n repeats them. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/policy.h"
#include "seed.h"

#define CONFIGURATIONS 2000
#define CONNECTIONS    100 /* for each of them */

#define COUNT_OF(a) (sizeof a / sizeof((a)[0]))

/* ---- the world: few enough of everything that lists and connections meet ---- */

static const char *const networks[] = {"0.0.0.0/0",      "10.0.0.0/8",      "10.1.0.0/16", "10.1.2.3/32",
                                       "203.0.113.0/24", "203.0.112.0/20",  "::/0",        "fd00::/8",
                                       "2001:db8::/32",  "2001:db8:1::/48", "127.0.0.0/8", "169.254.169.254/32"};
static const char *const addresses[] = {
    "10.1.2.3",      "10.1.9.9",        "10.200.0.1",      "203.0.113.7", "203.0.114.7",
    "198.51.100.1",  "169.254.169.254", "168.63.129.16",   "127.0.0.1",   "172.31.0.1",
    "172.32.0.1",    "224.0.0.5",       "255.255.255.255", "fd00::1",     "fe80::1",
    "2001:db8:1::1", "2001:db8:2::1",   "2001:db9::1",     "::1",         "ff02::5"};
static const char *const ports[] = {"22", "25", "53", "80", "443", "8080", "8081", "8443"};
static const char *const users[] = {"0", "1000", "1001", "65534"};
static const char *const names[] = {"example.com", "www.example.com", "a.b.example.com", "example.org",
                                    "com",         "xample.com"};
static const char *const domains[] = {"example.com", "b.example.com", "org", "ample.com"};
static const char *const near[] = {"127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",    "255.255.255.255/32",
                                   "10.0.0.0/8",  "172.16.0.0/12",  "192.168.0.0/16", "168.63.129.16/32",
                                   "::1/128",     "fe80::/10",      "ff00::/8",       "fc00::/7"};

struct choice {
    const char *items[4];
    size_t n;
};

struct written {
    struct choice bypass_users, bypass_networks, bypass_ports, block_users, block_networks, block_ports, block_domains,
        ports;
    bool local_networks, quic_passes, protect_proxies;
};

struct connection {
    const char *address, *port, *user, *name; /* NULL: not known */
    uint8_t protocol;
    bool own, own_user, local, source_routed, plain_proxy;
};

static struct choice choose(const char *const *pool, size_t size, size_t most)
{
    struct choice choice = {.n = (size_t)rand() % (most + 1)};
    for (size_t i = 0; i < choice.n; i++)
        choice.items[i] = pool[(size_t)rand() % size];
    return choice;
}

#define ONE_OF(pool) (pool)[(size_t)rand() % COUNT_OF(pool)]

/* ---- the second reading ---- */

static bool is_in_network(const char *address, const char *network)
{
    unsigned char a[16], n[16];
    char base[64];
    const char *slash = strchr(network, '/');
    int family = strchr(network, ':') ? AF_INET6 : AF_INET;
    snprintf(base, sizeof base, "%.*s", (int)(slash - network), network);
    if ((strchr(address, ':') ? AF_INET6 : AF_INET) != family)
        return false;
    ck_assert(inet_pton(family, address, a) == 1 && inet_pton(family, base, n) == 1);
    for (int bit = 0; bit < atoi(slash + 1); bit++)
        if (((a[bit / 8] ^ n[bit / 8]) << bit % 8) & 0x80)
            return false;
    return true;
}

static bool any_network(const struct choice *list, const char *address)
{
    for (size_t i = 0; i < list->n; i++)
        if (is_in_network(address, list->items[i]))
            return true;
    return false;
}

static bool any(const struct choice *list, const char *item)
{
    for (size_t i = 0; item && i < list->n; i++)
        if (strcmp(list->items[i], item) == 0)
            return true;
    return false;
}

/* "example.com = it and everything under it" */
static bool any_domain(const struct choice *list, const char *name)
{
    char dotted[64], under[64];
    for (size_t i = 0; name && i < list->n; i++) {
        snprintf(dotted, sizeof dotted, ".%s", name);
        snprintf(under, sizeof under, ".%s", list->items[i]);
        if (strlen(dotted) >= strlen(under) && strcmp(dotted + strlen(dotted) - strlen(under), under) == 0)
            return true;
    }
    return false;
}

static bool is_near(const char *address)
{
    for (size_t i = 0; i < COUNT_OF(near); i++)
        if (is_in_network(address, near[i]))
            return true;
    return false;
}

static enum policy_decision read_again(const struct written *w, const struct connection *c)
{
    bool redirected = any(&w->ports, c->port);
    /* what the rules cannot see the end of, and penstock itself */
    if (c->source_routed && redirected)
        return POLICY_REFUSED;
    if (c->own)
        return POLICY_DIRECT;
    if (c->own_user && redirected)
        return POLICY_REFUSED;
    /* services of this host, loopback */
    if (c->local || is_in_network(c->address, "127.0.0.0/8") || is_in_network(c->address, "::1/128"))
        return POLICY_DIRECT;
    if (c->plain_proxy && w->protect_proxies)
        return POLICY_REFUSED;
    if (any(&w->bypass_users, c->user) || any_network(&w->bypass_networks, c->address) ||
        any(&w->bypass_ports, c->port))
        return POLICY_DIRECT;
    if (any(&w->block_users, c->user) || any_network(&w->block_networks, c->address) || any(&w->block_ports, c->port))
        return POLICY_REFUSED;
    if (w->local_networks && is_near(c->address))
        return POLICY_DIRECT;
    if (!redirected)
        return POLICY_UNTOUCHED;
    if (c->protocol == IPPROTO_TCP)
        return any_domain(&w->block_domains, c->name) ? POLICY_REFUSED : POLICY_PROXY;
    return c->protocol == IPPROTO_UDP && w->quic_passes ? POLICY_UNTOUCHED : POLICY_REFUSED;
}

/* ---- the same for the policy ---- */

static size_t put_list(char *text, size_t size, const char *key, const struct choice *list)
{
    size_t at = (size_t)snprintf(text, size, "%s=", key);
    for (size_t i = 0; i < list->n; i++)
        at += (size_t)snprintf(text + at, size - at, " %s", list->items[i]);
    at += (size_t)snprintf(text + at, size - at, "\n");
    return at;
}

static struct conf *conf_of(const struct written *w)
{
    char text[4096];
    struct conf *conf;
    FILE *stream;
    size_t at = (size_t)snprintf(
        text, sizeof text, "[Proxy]\nServers=gw.example\nSecurePort=8081\n[Redirect]\nQUIC=%s\nProtectProxies=%s\n",
        w->quic_passes ? "pass" : "reject", w->protect_proxies ? "yes" : "no");
    at += put_list(text + at, sizeof text - at, "Ports", &w->ports);
    at +=
        (size_t)snprintf(text + at, sizeof text - at, "[Bypass]\nLocalNetworks=%s\n", w->local_networks ? "yes" : "no");
    at += put_list(text + at, sizeof text - at, "Users", &w->bypass_users);
    at += put_list(text + at, sizeof text - at, "Networks", &w->bypass_networks);
    at += put_list(text + at, sizeof text - at, "Ports", &w->bypass_ports);
    at += (size_t)snprintf(text + at, sizeof text - at, "[Block]\n");
    at += put_list(text + at, sizeof text - at, "Users", &w->block_users);
    at += put_list(text + at, sizeof text - at, "Networks", &w->block_networks);
    at += put_list(text + at, sizeof text - at, "Ports", &w->block_ports);
    at += put_list(text + at, sizeof text - at, "Domains", &w->block_domains);
    stream = fmemopen(text, at, "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

static struct subject subject_of(const struct connection *c)
{
    struct subject subject = {.protocol = c->protocol,
                              .own = c->own,
                              .own_user = c->own_user,
                              .local = c->local,
                              .source_routed = c->source_routed,
                              .plain_proxy = c->plain_proxy,
                              .name = c->name,
                              .has_uid = c->user};
    if (c->user)
        subject.uid = (uid_t)atoi(c->user);
    ck_assert(addr_parse(c->address, (uint16_t)atoi(c->port), &subject.destination));
    return subject;
}

static struct written some_configuration(void)
{
    struct written w = {.bypass_users = choose(users, COUNT_OF(users), 2),
                        .bypass_networks = choose(networks, COUNT_OF(networks), 2),
                        .bypass_ports = choose(ports, COUNT_OF(ports), 2),
                        .block_users = choose(users, COUNT_OF(users), 2),
                        .block_networks = choose(networks, COUNT_OF(networks), 3),
                        .block_ports = choose(ports, COUNT_OF(ports), 2),
                        .block_domains = choose(domains, COUNT_OF(domains), 2),
                        .local_networks = rand() % 2,
                        .quic_passes = rand() % 2,
                        .protect_proxies = rand() % 2};
    do
        w.ports = choose(ports, COUNT_OF(ports), 3);
    while (w.ports.n == 0);
    return w;
}

static struct connection some_connection(void)
{
    static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP};
    struct connection c = {.address = ONE_OF(addresses),
                           .port = ONE_OF(ports),
                           .user = rand() % 3 ? ONE_OF(users) : NULL,
                           .name = rand() % 2 ? ONE_OF(names) : NULL,
                           .protocol = ONE_OF(protocols),
                           .own_user = rand() % 8 == 0,
                           .local = rand() % 8 == 0,
                           .source_routed = rand() % 8 == 0,
                           .plain_proxy = rand() % 8 == 0};
    c.own = c.own_user && rand() % 2;
    return c;
}

START_TEST(the_policy_is_what_the_manual_says)
{
    unsigned seed = seed_of_run(), seen[POLICY_UNTOUCHED + 1] = {0};
    srand(seed);
    for (int i = 0; i < CONFIGURATIONS; i++) {
        const struct written w = some_configuration();
        struct conf *conf = conf_of(&w);
        for (int k = 0; k < CONNECTIONS; k++) {
            const struct connection c = some_connection();
            const struct subject subject = subject_of(&c);
            char text[POLICY_RULE_TEXT_MAX];
            struct policy_rule rule;
            enum policy_decision decision = policy_decide(conf, &subject, &rule);
            ck_assert_msg(decision == read_again(&w, &c), "SEED=%u, configuration %d: %s:%s by %s: %s", seed, i,
                          c.address, c.port, c.user ? c.user : "-", policy_rule_text(conf, &rule, text));
            seen[decision]++;
        }
        conf_free(conf);
    }
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        ck_assert_uint_gt(seen[i], CONFIGURATIONS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy_reading");
    TCase *tcase = tcase_create("policy_reading");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_policy_is_what_the_manual_says);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
