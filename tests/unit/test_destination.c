/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/destination.h"

#include <check.h>
#include <stdlib.h>

static struct addr address(const char *text, uint16_t port)
{
    struct addr addr;
    ck_assert(addr_parse(text, port, &addr));
    return addr;
}

static const struct addr unset;

static enum destination_verdict decide(const char *host, uint16_t port)
{
    struct addr destination = address(host, port), own = address("127.0.0.1", 15443);
    struct addr proxy = address("192.0.2.7", 8081);
    return destination_judge(&destination, &own, &proxy);
}

START_TEST(the_web_goes_to_the_proxy)
{
    ck_assert_int_eq(decide("198.51.100.7", 443), DESTINATION_PROXY);
    ck_assert_int_eq(decide("2001:db8::1", 443), DESTINATION_PROXY);
    ck_assert_int_eq(decide("198.51.100.7", 15443), DESTINATION_PROXY);
    ck_assert_int_eq(decide("127.0.0.1", 80), DESTINATION_PROXY);
}
END_TEST

START_TEST(a_connection_to_the_relay_itself_is_not_redirected)
{
    struct addr own = address("127.0.0.1", 15443), proxy = address("192.0.2.7", 8081);
    ck_assert_int_eq(decide("127.0.0.1", 15443), DESTINATION_NOT_REDIRECTED);
    ck_assert_int_eq(destination_judge(&unset, &own, &proxy), DESTINATION_NOT_REDIRECTED);
}
END_TEST

START_TEST(loops_are_seen)
{
    ck_assert_int_eq(decide("192.0.2.7", 8081), DESTINATION_LOOP);
    ck_assert_int_eq(decide("192.0.2.7", 443), DESTINATION_PROXY);
    ck_assert_int_eq(decide("127.0.0.2", 15443), DESTINATION_LOOP);
    ck_assert_int_eq(decide("::1", 15443), DESTINATION_LOOP);
}
END_TEST

START_TEST(without_a_route_only_our_own_addresses_are_loops)
{
    struct addr own = address("::1", 15443), destination = address("2001:db8::1", 443);
    ck_assert_int_eq(destination_judge(&destination, &own, &unset), DESTINATION_PROXY);
    destination = address("127.0.0.1", 15443);
    ck_assert_int_eq(destination_judge(&destination, &own, &unset), DESTINATION_LOOP);
}
END_TEST

START_TEST(target_is_the_name_or_else_the_address)
{
    char buf[ADDR_TEXT_MAX];
    struct addr v4 = address("198.51.100.7", 443), v6 = address("2001:db8::1", 443);
    ck_assert_str_eq(destination_target("www.example", &v4, buf), "www.example");
    ck_assert_str_eq(destination_target(NULL, &v4, buf), "198.51.100.7");
    ck_assert_str_eq(destination_target("", &v6, buf), "2001:db8::1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tcase = tcase_create("policy");
    tcase_add_test(tcase, the_web_goes_to_the_proxy);
    tcase_add_test(tcase, a_connection_to_the_relay_itself_is_not_redirected);
    tcase_add_test(tcase, loops_are_seen);
    tcase_add_test(tcase, without_a_route_only_our_own_addresses_are_loops);
    tcase_add_test(tcase, target_is_the_name_or_else_the_address);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
