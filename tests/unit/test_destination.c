/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/destination.h"
#include "under_filter.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct addr address(const char *text, uint16_t port)
{
    struct addr addr;
    ck_assert(addr_parse(text, port, &addr));
    return addr;
}

static const struct addr unset;

static const struct conf *conf(void)
{
    static struct conf *conf;
    char text[] = "[Proxy]\nServers=gw.example\nSecurePort=8081\n[Redirect]\nPorts=80 443\n"
                  "[Block]\nNetworks=203.0.113.0/24\n[Bypass]\nNetworks=203.0.113.9\n";
    FILE *stream = fmemopen(text, sizeof text - 1, "r");
    if (!conf)
        ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

/* "proxy", or why not. */
static const char *judge(const struct addr *destination, const struct addr *own, const struct addr *proxy)
{
    const struct destination_question question = {.destination = destination, .own = own, .proxy = proxy};
    struct policy_rule rule;
    enum reason reason;
    return destination_judge(conf(), &question, &rule, &reason) ? "proxy" : reason_slug(reason);
}

static const char *decide(const char *host, uint16_t port)
{
    struct addr destination = address(host, port), own = address("127.0.0.1", 15443);
    struct addr proxy = address("192.0.2.7", 8081);
    return judge(&destination, &own, &proxy);
}

START_TEST(the_web_goes_to_the_proxy)
{
    ck_assert_str_eq(decide("198.51.100.7", 443), "proxy");
    ck_assert_str_eq(decide("2001:db8::1", 443), "proxy");
    ck_assert_str_eq(decide("127.0.0.1", 80), "proxy");
}
END_TEST

START_TEST(other_ports_are_nobodys_business_of_ours)
{
    ck_assert_str_eq(decide("198.51.100.7", 8443), "port");
    ck_assert_str_eq(decide("2001:db8::1", 25), "port");
    ck_assert_str_eq(decide("198.51.100.7", 15443), "port");
    ck_assert_str_eq(decide("10.0.0.1", 22), "port"); /* bypassed, but there by another's redirect */
    ck_assert_str_eq(decide("10.0.0.1", 443), "proxy");
}
END_TEST

START_TEST(what_is_blocked_is_refused_though_it_was_redirected)
{
    ck_assert_str_eq(decide("203.0.113.7", 443), "rule");
    ck_assert_str_eq(decide("203.0.113.9", 443), "proxy");
}
END_TEST

START_TEST(a_connection_to_the_relay_itself_is_not_redirected)
{
    struct addr own = address("127.0.0.1", 15443), proxy = address("192.0.2.7", 8081);
    ck_assert_str_eq(decide("127.0.0.1", 15443), "not-redirected");
    ck_assert_str_eq(judge(&unset, &own, &proxy), "not-redirected");
}
END_TEST

START_TEST(loops_are_seen)
{
    ck_assert_str_eq(decide("192.0.2.7", 8081), "loop");
    ck_assert_str_eq(decide("192.0.2.7", 443), "proxy");
    ck_assert_str_eq(decide("127.0.0.2", 15443), "loop");
    ck_assert_str_eq(decide("::1", 15443), "loop");
}
END_TEST

START_TEST(without_a_route_only_our_own_addresses_are_loops)
{
    struct addr own = address("::1", 15443), destination = address("2001:db8::1", 443);
    ck_assert_str_eq(judge(&destination, &own, &unset), "proxy");
    destination = address("127.0.0.1", 15443);
    ck_assert_str_eq(judge(&destination, &own, &unset), "loop");
}
END_TEST

/* ---- by name, by address ---- */

#define FACTS(...) (&(struct destination_facts){__VA_ARGS__})

START_TEST(a_name_goes_before_an_address_but_once)
{
    const enum conf_names prefer = CONF_NAMES_PREFER;
    ck_assert_int_eq(destination_choose(prefer, FACTS(.named = true, .heard = true)), TARGET_NAME);
    ck_assert_int_eq(destination_choose(prefer, FACTS(.named = true, .heard = true, .asked_address = true)),
                     TARGET_LATE_NAME);
    ck_assert_int_eq(destination_choose(prefer, FACTS(.named = true, .heard = true, .name_failed = true)),
                     TARGET_NAME_FAILED);
    ck_assert_int_eq(destination_choose(prefer, FACTS(.heard = true)), TARGET_NO_NAME);
    ck_assert_int_eq(destination_choose(prefer, FACTS(.heard = false)), TARGET_SILENCE);
}
END_TEST

START_TEST(names_can_be_required_or_ignored)
{
    const struct destination_facts named = {.named = true, .heard = true}, unnamed = {.heard = true}, silent = {0};
    ck_assert_int_eq(destination_choose(CONF_NAMES_REQUIRE, &named), TARGET_NAME);
    ck_assert_int_eq(destination_choose(CONF_NAMES_REQUIRE, &unnamed), TARGET_NONE);
    ck_assert_int_eq(destination_choose(CONF_NAMES_REQUIRE, &silent), TARGET_NONE);
    ck_assert_int_eq(destination_choose(CONF_NAMES_IGNORE, &named), TARGET_NAMES_IGNORED);
    ck_assert_int_eq(destination_choose(CONF_NAMES_IGNORE, &silent), TARGET_NAMES_IGNORED);
}
END_TEST

START_TEST(the_address_is_tried_once_and_only_for_a_name_that_was_not_reached)
{
    const struct destination_facts first = {.named = true, .heard = true};
    const struct destination_facts second = {.named = true, .heard = true, .name_failed = true};
    static const int unreached[] = {404, 500, 502, 503, 504}, others[] = {0, 200, 302, 400, 403, 405, 407, 501};
    for (size_t i = 0; i < sizeof unreached / sizeof unreached[0]; i++) {
        ck_assert(destination_may_try_address(CONF_NAMES_PREFER, &first, TARGET_NAME, unreached[i]));
        ck_assert(destination_may_try_address(CONF_NAMES_PREFER, &first, TARGET_LATE_NAME, unreached[i]));
        ck_assert(!destination_may_try_address(CONF_NAMES_PREFER, &second, TARGET_NAME_FAILED, unreached[i]));
        ck_assert(!destination_may_try_address(CONF_NAMES_PREFER, &first, TARGET_SILENCE, unreached[i]));
        ck_assert(!destination_may_try_address(CONF_NAMES_REQUIRE, &first, TARGET_NAME, unreached[i]));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert(!destination_may_try_address(CONF_NAMES_PREFER, &first, TARGET_NAME, others[i]));
}
END_TEST

START_TEST(host_is_the_name_or_else_the_address)
{
    char buf[ADDR_TEXT_MAX];
    struct addr v4 = address("198.51.100.7", 443), v6 = address("2001:db8::1", 443);
    ck_assert_str_eq(destination_host(TARGET_NAME, "www.example", &v4, buf), "www.example");
    ck_assert_str_eq(destination_host(TARGET_NAME_FAILED, "www.example", &v4, buf), "198.51.100.7");
    ck_assert_str_eq(destination_host(TARGET_NO_NAME, NULL, &v6, buf), "2001:db8::1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("destination");
    TCase *tcase = tcase_create("destination");
    tcase_add_test(tcase, the_web_goes_to_the_proxy);
    tcase_add_test(tcase, other_ports_are_nobodys_business_of_ours);
    tcase_add_test(tcase, what_is_blocked_is_refused_though_it_was_redirected);
    tcase_add_test(tcase, a_connection_to_the_relay_itself_is_not_redirected);
    tcase_add_test(tcase, loops_are_seen);
    tcase_add_test(tcase, without_a_route_only_our_own_addresses_are_loops);
    tcase_add_test(tcase, a_name_goes_before_an_address_but_once);
    tcase_add_test(tcase, names_can_be_required_or_ignored);
    tcase_add_test(tcase, the_address_is_tried_once_and_only_for_a_name_that_was_not_reached);
    tcase_add_test(tcase, host_is_the_name_or_else_the_address);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
