/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "base/backoff.h"

/* The jitter is random: looked at often enough to see its bounds broken. */
#define ROUNDS 200

START_TEST(waits_double_up_to_the_maximum)
{
    static const uint32_t expected[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    for (int round = 0; round < ROUNDS; round++) {
        struct backoff backoff;

        backoff_init(&backoff, 1000, 30000);
        for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
            uint32_t wait = backoff_next(&backoff);

            ck_assert_uint_le(wait, expected[i]);
            ck_assert_uint_ge(wait, expected[i] / 4 * 3);
        }
    }
}
END_TEST

START_TEST(waits_differ)
{
    uint32_t first = 0;
    int different = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct backoff backoff;
        uint32_t wait;

        backoff_init(&backoff, 100000, 100000);
        wait = backoff_next(&backoff);
        different += round > 0 && wait != first;
        if (round == 0)
            first = wait;
    }
    ck_assert_int_gt(different, ROUNDS / 2);
}
END_TEST

START_TEST(a_reset_begins_anew)
{
    struct backoff backoff;
    backoff_init(&backoff, 1000, 30000);
    for (int i = 0; i < 10; i++)
        backoff_next(&backoff);
    backoff_reset(&backoff);
    ck_assert_uint_le(backoff_next(&backoff), 1000);
}
END_TEST

START_TEST(extremes_do_not_overflow)
{
    struct backoff backoff;
    backoff_init(&backoff, 1, 1);
    for (int i = 0; i < 5; i++)
        ck_assert_uint_eq(backoff_next(&backoff), 1);
    backoff_init(&backoff, UINT32_MAX / 2 + 5, UINT32_MAX);
    for (int i = 0; i < 5; i++)
        ck_assert_uint_ge(backoff_next(&backoff), UINT32_MAX / 8 * 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backoff");
    TCase *tests = tcase_create("backoff");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, waits_double_up_to_the_maximum);
    tcase_add_test(tests, waits_differ);
    tcase_add_test(tests, a_reset_begins_anew);
    tcase_add_test(tests, extremes_do_not_overflow);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
