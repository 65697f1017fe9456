/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "model/reason.h"

START_TEST(every_reason_has_a_slug_and_a_text)
{
    const char *slug = reason_slug((enum reason)_i);
    ck_assert_str_ne(reason_text((enum reason)_i), "");
    ck_assert_uint_gt(strlen(slug), 0);
    ck_assert_uint_eq(strspn(slug, "abcdefghijklmnopqrstuvwxyz-"), strlen(slug));
    for (int other = 0; other < _i; other++) {
        ck_assert_str_ne(slug, reason_slug((enum reason)other));
        ck_assert_str_ne(reason_text((enum reason)_i), reason_text((enum reason)other));
    }
}
END_TEST

START_TEST(orderly_ends_are_no_errors)
{
    ck_assert_str_eq(reason_slug(REASON_DONE), "done");
    ck_assert_int_eq(reason_counts_as(REASON_DONE), REASON_COUNT_ENDED);
    ck_assert_int_eq(reason_counts_as(REASON_SHUTDOWN), REASON_COUNT_ENDED);
    ck_assert_int_eq(reason_counts_as(REASON_AUTH_FAILED), REASON_COUNT_FAILED);
}
END_TEST

START_TEST(who_goes_away_and_what_is_refused_is_no_fault)
{
    ck_assert_int_eq(reason_counts_as(REASON_CLIENT_GONE), REASON_COUNT_CLIENT);
    ck_assert_int_eq(reason_counts_as(REASON_CLIENT_RESET), REASON_COUNT_CLIENT);
    ck_assert_int_eq(reason_counts_as(REASON_CLIENT_ERROR), REASON_COUNT_CLIENT);
    ck_assert_int_eq(reason_counts_as(REASON_BLOCKED), REASON_COUNT_REFUSED);
    ck_assert_int_eq(reason_counts_as(REASON_NAME_REQUIRED), REASON_COUNT_REFUSED);
    ck_assert_int_eq(reason_counts_as(REASON_CUT), REASON_COUNT_FAILED);
    ck_assert_int_eq(reason_counts_as(REASON_PROXY_REFUSED), REASON_COUNT_FAILED);
}
END_TEST

START_TEST(a_reason_that_is_none_is_our_own_bug)
{
    reason_text(REASON_COUNT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reason");
    TCase *tests = tcase_create("reason");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(tests, every_reason_has_a_slug_and_a_text, 0, REASON_COUNT);
    tcase_add_test(tests, orderly_ends_are_no_errors);
    tcase_add_test(tests, who_goes_away_and_what_is_refused_is_no_fault);
    tcase_add_test_raise_signal(tests, a_reason_that_is_none_is_our_own_bug, SIGABRT);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
