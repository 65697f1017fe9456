/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/policy.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct conf *conf;

static void read_conf(const char *more)
{
    char text[1024];
    FILE *stream;
    snprintf(text, sizeof text, "[Proxy]\nServers=gw.example\nSecurePort=8081\n%s", more);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
}

static void forget(void)
{
    conf_free(conf);
    conf = NULL;
}

static struct addr address(const char *text, uint16_t port)
{
    struct addr addr;
    ck_assert(addr_parse(text, port, &addr));
    return addr;
}

static struct subject to(const char *host, uint16_t port)
{
    return (struct subject){.destination = address(host, port), .protocol = IPPROTO_TCP};
}

static void decides(const struct subject *subject, enum policy_decision decision, const char *rule_text)
{
    struct policy_rule rule;
    char buf[POLICY_RULE_TEXT_MAX];
    ck_assert_int_eq(policy_decide(conf, subject, &rule), decision);
    ck_assert_str_eq(policy_rule_text(conf, &rule, buf), rule_text);
}

#define ALL                                                                                                            \
    "[Redirect]\nPorts=8443\n[Bypass]\nUsers=daemon root\nNetworks=198.51.100.0/24 192.0.2.0/24\nPorts=22 9443\n"

START_TEST(redirected_ports_go_to_the_proxy)
{
    struct subject subject = to("203.0.113.7", 80);
    read_conf("");
    decides(&subject, POLICY_PROXY, "[Redirect] Ports=80");
    subject = to("2001:db8::1", 443);
    decides(&subject, POLICY_PROXY, "[Redirect] Ports=443");
    subject = to("203.0.113.7", 8443);
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
}
END_TEST

START_TEST(bypass_goes_past_the_proxy)
{
    struct subject subject = to("203.0.113.7", 8443);
    read_conf(ALL);
    decides(&subject, POLICY_PROXY, "[Redirect] Ports=8443");
    subject.has_uid = true; /* uid 0 */
    decides(&subject, POLICY_DIRECT, "[Bypass] Users=root");
    subject.uid = 4711;
    decides(&subject, POLICY_PROXY, "[Redirect] Ports=8443");
    subject = to("192.0.2.1", 8443);
    decides(&subject, POLICY_DIRECT, "[Bypass] Networks=192.0.2.0/24");
    subject = to("203.0.113.7", 9443);
    decides(&subject, POLICY_DIRECT, "[Bypass] Ports=9443");
    subject = to("10.1.2.3", 8443);
    decides(&subject, POLICY_DIRECT, "[Bypass] LocalNetworks=yes");
    subject = to("fd00::1", 8443);
    decides(&subject, POLICY_DIRECT, "[Bypass] LocalNetworks=yes");
}
END_TEST

#define BLOCK "[Block]\nUsers=bin root\nNetworks=203.0.113.0/24 10.1.0.0/16\nPorts=25 443\n"

START_TEST(block_refuses_on_every_port_and_protocol)
{
    struct subject subject = to("203.0.113.7", 4711);
    read_conf(BLOCK);
    decides(&subject, POLICY_REFUSED, "[Block] Networks=203.0.113.0/24");
    subject.protocol = IPPROTO_ICMP;
    decides(&subject, POLICY_REFUSED, "[Block] Networks=203.0.113.0/24");
    subject = to("198.51.100.1", 25);
    subject.protocol = IPPROTO_UDP;
    decides(&subject, POLICY_REFUSED, "[Block] Ports=25");
    subject = to("198.51.100.1", 443);
    decides(&subject, POLICY_REFUSED, "[Block] Ports=443");
    subject = to("198.51.100.1", 4711);
    subject.has_uid = true;
    decides(&subject, POLICY_REFUSED, "[Block] Users=root");
    subject.uid = 4711;
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
}
END_TEST

START_TEST(block_stands_between_bypass_and_local_networks)
{
    struct subject subject = to("10.1.2.3", 80);
    read_conf(BLOCK "[Bypass]\nUsers=4711\nNetworks=203.0.113.7\nPorts=444\n");
    decides(&subject, POLICY_REFUSED, "[Block] Networks=10.1.0.0/16");
    subject = to("10.2.2.3", 80);
    decides(&subject, POLICY_DIRECT, "[Bypass] LocalNetworks=yes");
    subject.has_uid = true; /* uid 0 */
    decides(&subject, POLICY_REFUSED, "[Block] Users=root");
    subject.destination = address("203.0.113.7", 443);
    decides(&subject, POLICY_DIRECT, "[Bypass] Networks=203.0.113.7/32");
    subject.destination = address("203.0.113.8", 444);
    decides(&subject, POLICY_DIRECT, "[Bypass] Ports=444");
    subject.destination = address("203.0.113.8", 443);
    subject.uid = 4711;
    decides(&subject, POLICY_DIRECT, "[Bypass] Users=4711");
    subject.own = true;
    decides(&subject, POLICY_DIRECT, "penstock's own traffic");
    subject = to("127.0.0.1", 443);
    decides(&subject, POLICY_DIRECT, "service of this host");
}
END_TEST

static void decides_name(const char *host, const char *name, enum policy_decision decision, const char *rule_text)
{
    struct subject subject = to(host, 443);
    subject.name = name;
    decides(&subject, decision, rule_text);
}

START_TEST(blocked_domains_are_themselves_and_all_under_them)
{
    struct subject subject = to("203.0.113.7", 25);
    read_conf("[Block]\nDomains=Example.COM. sub.example.com other.example xn--bcher-kva.example\n");
    decides_name("203.0.113.7", "example.com", POLICY_REFUSED, "[Block] Domains=example.com");
    decides_name("203.0.113.7", "www.example.com", POLICY_REFUSED, "[Block] Domains=example.com");
    decides_name("2001:db8::1", "a.sub.example.com", POLICY_REFUSED, "[Block] Domains=sub.example.com");
    decides_name("203.0.113.7", "xn--bcher-kva.example", POLICY_REFUSED, "[Block] Domains=xn--bcher-kva.example");
    decides_name("203.0.113.7", "notexample.com", POLICY_PROXY, "[Redirect] Ports=443");
    decides_name("203.0.113.7", "com", POLICY_PROXY, "[Redirect] Ports=443");
    decides_name("203.0.113.7", "example.com.evil", POLICY_PROXY, "[Redirect] Ports=443");
    decides_name("203.0.113.7", NULL, POLICY_PROXY, "[Redirect] Ports=443");
    decides_name("10.0.0.1", "example.com", POLICY_DIRECT, "[Bypass] LocalNetworks=yes");
    subject.name = "example.com"; /* no relay hears it */
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
    subject = to("203.0.113.7", 443);
    subject.name = "example.com";
    subject.protocol = IPPROTO_UDP;
    decides(&subject, POLICY_REFUSED, "[Redirect] QUIC=reject");
}
END_TEST

START_TEST(local_networks_can_be_sent_to_the_proxy)
{
    struct subject subject = to("10.1.2.3", 443);
    read_conf("[Bypass]\nLocalNetworks=no\n");
    decides(&subject, POLICY_PROXY, "[Redirect] Ports=443");
    subject = to("127.0.0.1", 443); /* loopback is this host's, whatever the configuration says */
    decides(&subject, POLICY_DIRECT, "service of this host");
}
END_TEST

START_TEST(the_first_of_several_wins)
{
    struct subject subject = to("198.51.100.7", 22);
    read_conf(ALL);
    subject.own = subject.local = subject.has_uid = true;
    decides(&subject, POLICY_DIRECT, "penstock's own traffic");
    subject.own = false;
    decides(&subject, POLICY_DIRECT, "service of this host");
    subject.local = false;
    decides(&subject, POLICY_DIRECT, "[Bypass] Users=root");
    subject.has_uid = false;
    decides(&subject, POLICY_DIRECT, "[Bypass] Networks=198.51.100.0/24");
    subject.destination = address("10.0.0.1", 22);
    decides(&subject, POLICY_DIRECT, "[Bypass] Ports=22");
}
END_TEST

START_TEST(penstocks_user_reaches_no_web_port_but_the_proxies)
{
    struct subject subject = to("198.51.100.7", 8443);
    read_conf(ALL);
    subject.own_user = true;
    decides(&subject, POLICY_REFUSED, "penstock, not to a proxy");
    subject.local = true;
    decides(&subject, POLICY_REFUSED, "penstock, not to a proxy");
    subject.own = true;
    decides(&subject, POLICY_DIRECT, "penstock's own traffic");
    subject = to("203.0.113.7", 53);
    subject.own_user = true;
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
}
END_TEST

START_TEST(the_losers_are_told_in_their_order)
{
    static const char *const rules[] = {"[Bypass] Users=root",           "[Bypass] Networks=192.0.2.0/24",
                                        "[Bypass] Networks=192.0.0.0/8", "[Bypass] Ports=22",
                                        "[Block] Networks=192.0.2.7/32", "no redirected port"};
    struct subject subject = to("192.0.2.7", 22);
    struct policy_rule rule;
    char buf[POLICY_RULE_TEXT_MAX];
    read_conf(ALL "Networks=192.0.0.0/8\n[Block]\nNetworks=192.0.2.7\n");
    subject.has_uid = true;
    ck_assert_int_eq(policy_decide(conf, &subject, &rule), POLICY_DIRECT);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        ck_assert_str_eq(policy_rule_text(conf, &rule, buf), rules[i]);
        if (rule.row != POLICY_ROW_DEFAULT)
            policy_decide_without(conf, &subject, &rule);
    }
}
END_TEST

START_TEST(a_rule_knows_where_it_was_written)
{
    struct subject subject = to("192.0.2.7", 443);
    struct policy_rule rule;
    const char *file;
    unsigned line;
    read_conf(ALL);
    policy_decide(conf, &subject, &rule);
    ck_assert(policy_rule_has_key(&rule) && policy_rule_origin(conf, &rule, &file, &line));
    ck_assert_str_eq(file, "test");
    ck_assert_uint_eq(line, 8);
    subject = to("10.0.0.1", 443);
    policy_decide(conf, &subject, &rule); /* LocalNetworks=yes by default */
    ck_assert(policy_rule_has_key(&rule) && !policy_rule_origin(conf, &rule, &file, &line));
    subject = to("203.0.113.1", 4711);
    policy_decide(conf, &subject, &rule);
    ck_assert(!policy_rule_has_key(&rule) && !policy_rule_origin(conf, &rule, &file, &line));
}
END_TEST

START_TEST(source_routes_are_refused_before_anything_is_exempt)
{
    struct subject subject = to("198.51.100.7", 8443);
    read_conf(ALL);
    subject.own = subject.source_routed = true;
    decides(&subject, POLICY_REFUSED, "source route");
    addr_set_port(&subject.destination, 22);
    decides(&subject, POLICY_DIRECT, "penstock's own traffic");
}
END_TEST

START_TEST(plain_ports_of_proxies_are_refused_before_bypass)
{
    struct subject subject = to("198.51.100.7", 8080);
    read_conf(ALL);
    subject.plain_proxy = true;
    decides(&subject, POLICY_REFUSED, "[Redirect] ProtectProxies=yes");
    subject.own = true;
    decides(&subject, POLICY_DIRECT, "penstock's own traffic");
    forget();
    read_conf("[Redirect]\nProtectProxies=no\n");
    subject.own = false;
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
}
END_TEST

START_TEST(what_is_not_tcp_is_refused_on_redirected_ports)
{
    struct subject subject = to("203.0.113.7", 443);
    subject.protocol = IPPROTO_UDP;
    read_conf("");
    decides(&subject, POLICY_REFUSED, "[Redirect] QUIC=reject");
    addr_set_port(&subject.destination, 53);
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
}
END_TEST

START_TEST(only_udp_may_pass_as_quic)
{
    struct subject subject = to("203.0.113.7", 443);
    subject.protocol = IPPROTO_UDP;
    read_conf("[Redirect]\nQUIC=pass\n");
    decides(&subject, POLICY_UNTOUCHED, "no redirected port");
    subject.protocol = IPPROTO_UDPLITE;
    decides(&subject, POLICY_REFUSED, "[Redirect] QUIC=reject");
}
END_TEST

START_TEST(a_relay_refuses_itself_and_the_proxy)
{
    struct subject subject = to("192.0.2.7", 8081);
    read_conf(ALL);
    subject.acceptor = address("127.0.0.1", 15443);
    subject.proxy = address("192.0.2.7", 8081);
    decides(&subject, POLICY_REFUSED, "the proxy or penstock itself");
    subject.proxy = (struct addr){0};
    decides(&subject, POLICY_DIRECT, "[Bypass] Networks=192.0.2.0/24");
    subject.destination = address("::1", 15443);
    decides(&subject, POLICY_REFUSED, "the proxy or penstock itself");
    subject.destination = subject.acceptor;
    decides(&subject, POLICY_REFUSED, "not redirected");
    subject.destination = (struct addr){0};
    decides(&subject, POLICY_REFUSED, "not redirected");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_add_checked_fixture(tcase, NULL, forget);
    tcase_add_test(tcase, redirected_ports_go_to_the_proxy);
    tcase_add_test(tcase, bypass_goes_past_the_proxy);
    tcase_add_test(tcase, block_refuses_on_every_port_and_protocol);
    tcase_add_test(tcase, block_stands_between_bypass_and_local_networks);
    tcase_add_test(tcase, blocked_domains_are_themselves_and_all_under_them);
    tcase_add_test(tcase, local_networks_can_be_sent_to_the_proxy);
    tcase_add_test(tcase, the_first_of_several_wins);
    tcase_add_test(tcase, penstocks_user_reaches_no_web_port_but_the_proxies);
    tcase_add_test(tcase, the_losers_are_told_in_their_order);
    tcase_add_test(tcase, a_rule_knows_where_it_was_written);
    tcase_add_test(tcase, source_routes_are_refused_before_anything_is_exempt);
    tcase_add_test(tcase, plain_ports_of_proxies_are_refused_before_bypass);
    tcase_add_test(tcase, what_is_not_tcp_is_refused_on_redirected_ports);
    tcase_add_test(tcase, only_udp_may_pass_as_quic);
    tcase_add_test(tcase, a_relay_refuses_itself_and_the_proxy);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
