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
    ck_assert(!reason_is_error(REASON_DONE));
    ck_assert(!reason_is_error(REASON_SHUTDOWN));
    ck_assert(reason_is_error(REASON_AUTH_FAILED));
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
    tcase_add_test_raise_signal(tests, a_reason_that_is_none_is_our_own_bug, SIGABRT);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
