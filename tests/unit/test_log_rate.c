/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/log_rate.h"

#include <check.h>
#include <stdlib.h>

/* How many of so many lines are written at that moment. */
static int written(struct log_rate *rate, unsigned per_second, double now, int lines)
{
    int n = 0;
    for (int i = 0; i < lines; i++)
        n += log_rate_take(rate, per_second, now);
    return n;
}

START_TEST(a_second_s_lines_may_come_at_once)
{
    struct log_rate rate = {0};
    ck_assert_int_eq(written(&rate, 50, 1000., 60), 50);
    ck_assert_uint_eq(log_rate_tell(&rate), 10);
    ck_assert_uint_eq(log_rate_tell(&rate), 0);
    ck_assert_int_eq(written(&rate, 50, 1000.1, 60), 5);
    ck_assert_int_eq(written(&rate, 50, 1001.1, 60), 50);
    ck_assert_uint_eq(log_rate_tell(&rate), 65);
}
END_TEST

START_TEST(quiet_saves_no_more_than_a_second)
{
    struct log_rate rate = {0};
    ck_assert_int_eq(written(&rate, 10, 5., 1), 1);
    ck_assert_int_eq(written(&rate, 10, 5000., 100), 10);
}
END_TEST

START_TEST(over_a_long_time_the_rate_is_kept)
{
    struct log_rate rate = {0};
    int n = 0;
    for (int i = 0; i < 10000; i++)
        n += written(&rate, 20, i / 1000., 3);
    ck_assert_int_ge(n, 10 * 20);
    ck_assert_int_le(n, 11 * 20 + 1);
    ck_assert_uint_eq(log_rate_tell(&rate), (uint64_t)(30000 - n));
}
END_TEST

START_TEST(another_rate_holds_at_once)
{
    struct log_rate rate = {0};
    ck_assert_int_eq(written(&rate, 100, 1., 100), 100);
    ck_assert_int_eq(written(&rate, 1, 1., 5), 0);
    ck_assert_int_eq(written(&rate, 1000, 1., 2000), 900);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_rate");
    TCase *tcase = tcase_create("log_rate");
    tcase_add_test(tcase, a_second_s_lines_may_come_at_once);
    tcase_add_test(tcase, quiet_saves_no_more_than_a_second);
    tcase_add_test(tcase, over_a_long_time_the_rate_is_kept);
    tcase_add_test(tcase, another_rate_holds_at_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
