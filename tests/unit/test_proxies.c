/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/proxies.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct proxies proxies;

static void forget(void)
{
    proxies = (struct proxies){0};
}

static bool name(const char *text, double now)
{
    struct addr addr;
    ck_assert(addr_parse(text, 8081, &addr));
    return proxies_name(&proxies, &addr, 1, now);
}

START_TEST(an_address_is_new_once)
{
    ck_assert(name("192.0.2.1", 1.));
    ck_assert(!name("192.0.2.1", 2.));
    ck_assert(name("2001:db8::1", 3.));
    ck_assert_uint_eq(proxies.n, 2);
    ck_assert_uint_eq(addr_port(&proxies.addrs[0]), 0);
}
END_TEST

START_TEST(one_that_is_not_named_any_more_goes_in_the_end)
{
    name("192.0.2.1", 0.);
    ck_assert(name("192.0.2.2", PROXIES_KEPT_S));
    ck_assert_uint_eq(proxies.n, 2);
    ck_assert(name("192.0.2.2", PROXIES_KEPT_S + 1.));
    ck_assert_uint_eq(proxies.n, 1);
    ck_assert(!name("192.0.2.2", PROXIES_KEPT_S + 2.));
}
END_TEST

START_TEST(while_nothing_is_named_nothing_goes)
{
    name("192.0.2.1", 0.);
    ck_assert(!proxies_name(&proxies, NULL, 0, 10. * PROXIES_KEPT_S));
    ck_assert_uint_eq(proxies.n, 1);
}
END_TEST

START_TEST(the_oldest_makes_room)
{
    char text[32];
    for (unsigned i = 0; i <= PROXIES_MAX; i++) {
        snprintf(text, sizeof text, "10.0.%u.%u", i / 256, i % 256);
        ck_assert(name(text, i));
    }
    ck_assert_uint_eq(proxies.n, PROXIES_MAX);
    ck_assert(name("10.0.0.0", 1000.)); /* was forgotten */
    ck_assert(!name("10.0.0.2", 1001.));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("proxies");
    TCase *tcase = tcase_create("proxies");
    tcase_add_checked_fixture(tcase, NULL, forget);
    tcase_add_test(tcase, an_address_is_new_once);
    tcase_add_test(tcase, one_that_is_not_named_any_more_goes_in_the_end);
    tcase_add_test(tcase, while_nothing_is_named_nothing_goes);
    tcase_add_test(tcase, the_oldest_makes_room);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
