/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "gate/decide/schedule.h"

#define INTERVAL 30.
#define T0       1000.
#define ROUNDING 1e-6 /* of a difference of large numbers */

static struct schedule schedule;

static void set_up(void)
{
    schedule_init(&schedule, 30000, 30000);
}

/* Runs the test that is due; returns when it was. */
static double run(bool connected, bool changed)
{
    double due = schedule_due(&schedule);
    ck_assert_double_ge(due, 0.);
    schedule_started(&schedule);
    ck_assert_double_eq(schedule_due(&schedule), SCHEDULE_NEVER);
    schedule_ended(&schedule, connected, changed, due);
    return due;
}

static void start_connected(void)
{
    schedule_request(&schedule, SCHEDULE_START, T0);
    ck_assert_double_eq(run(true, true), T0);
}

START_TEST(nothing_is_due_before_the_prober_is_there)
{
    ck_assert_double_eq(schedule_due(&schedule), SCHEDULE_NEVER);
    schedule_request(&schedule, SCHEDULE_NETWORK, T0);
    schedule_request(&schedule, SCHEDULE_MANUAL, T0);
    schedule_trouble(&schedule, T0);
    ck_assert_double_eq(schedule_due(&schedule), SCHEDULE_NEVER);
    schedule_request(&schedule, SCHEDULE_START, T0);
    ck_assert_double_eq(schedule_due(&schedule), T0);
}
END_TEST

START_TEST(while_connected_the_interval_counts_from_the_end)
{
    start_connected();
    ck_assert_double_eq(schedule_due(&schedule), T0 + INTERVAL);
    ck_assert_double_eq(run(true, false), T0 + INTERVAL);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 2 * INTERVAL);
}
END_TEST

START_TEST(while_blocked_the_pauses_double_up_to_the_maximum)
{
    double pause = 1., last = T0;
    schedule_request(&schedule, SCHEDULE_START, T0);
    for (int i = 0; i < 10; i++) {
        last = run(false, i == 0);
        double waits = schedule_due(&schedule) - last;
        ck_assert_double_ge(waits, pause * 0.74);
        ck_assert_double_le(waits, pause + ROUNDING);
        pause = pause * 2 > 30. ? 30. : pause * 2;
    }
    /* Connected once, the next failure starts small again. */
    run(true, true);
    last = run(false, true);
    ck_assert_double_le(schedule_due(&schedule) - last, 1. + ROUNDING);
}
END_TEST

START_TEST(a_short_maximum_bounds_the_first_pause_too)
{
    schedule_init(&schedule, 30000, 200);
    schedule_request(&schedule, SCHEDULE_START, T0);
    run(false, true);
    ck_assert_double_le(schedule_due(&schedule) - T0, 0.2 + ROUNDING);
}
END_TEST

START_TEST(a_request_tests_at_once)
{
    static const enum schedule_cause causes[] = {SCHEDULE_START, SCHEDULE_NETWORK, SCHEDULE_RESUMED, SCHEDULE_MANUAL};
    start_connected();
    schedule_request(&schedule, causes[_i], T0 + 5.);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 5.);
    /* A later one does not push it away. */
    schedule_request(&schedule, causes[_i], T0 + 6.);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 5.);
}
END_TEST

START_TEST(what_happens_during_a_test_is_tested_afterwards)
{
    start_connected();
    schedule_request(&schedule, SCHEDULE_RESUMED, T0 + 5.);
    schedule_started(&schedule);
    schedule_request(&schedule, SCHEDULE_NETWORK, T0 + 5.1);
    schedule_ended(&schedule, true, false, T0 + 5.2);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 5.2);
    run(true, false);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 5.2 + INTERVAL);
}
END_TEST

START_TEST(a_person_and_trouble_are_answered_by_the_test_that_runs)
{
    start_connected();
    schedule_request(&schedule, SCHEDULE_NETWORK, T0 + 5.);
    schedule_started(&schedule);
    schedule_request(&schedule, SCHEDULE_MANUAL, T0 + 5.1);
    schedule_trouble(&schedule, T0 + 5.1);
    schedule_ended(&schedule, true, false, T0 + 5.2);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 5.2 + INTERVAL);
}
END_TEST

START_TEST(a_network_that_changes_all_the_time_is_tested_once_a_second)
{
    double now = T0 + 5.;
    int tests = 0;
    start_connected();
    for (; now < T0 + 15.; now += 0.25) {
        schedule_request(&schedule, SCHEDULE_NETWORK, now);
        if (schedule_due(&schedule) <= now) {
            schedule_started(&schedule);
            schedule_ended(&schedule, true, false, now);
            tests++;
        }
    }
    ck_assert_int_ge(tests, 9);
    ck_assert_int_le(tests, 11);
}
END_TEST

START_TEST(trouble_is_tested_at_once_and_then_with_doubling_pauses)
{
    double pause = 0.05, now = T0 + 5.;
    start_connected();
    schedule_trouble(&schedule, now);
    ck_assert_double_eq(schedule_due(&schedule), now);
    for (int i = 0; i < 10; i++) {
        run(true, false); /* the tests do not see what the relays see */
        schedule_trouble(&schedule, now);
        ck_assert_double_eq_tol(schedule_due(&schedule) - now, pause, 1e-6);
        now = schedule_due(&schedule);
        pause = pause * 2 > 5. ? 5. : pause * 2;
    }
}
END_TEST

START_TEST(trouble_that_changed_the_verdict_is_believed_again)
{
    double now = T0 + 5.;
    start_connected();
    for (int i = 0; i < 5; i++) {
        schedule_trouble(&schedule, now);
        now = run(true, false);
    }
    schedule_trouble(&schedule, now);
    now = run(true, true);
    schedule_trouble(&schedule, now);
    ck_assert_double_eq(schedule_due(&schedule), now);
}
END_TEST

START_TEST(trouble_after_a_long_quiet_is_news)
{
    double now = T0 + 5.;
    start_connected();
    for (int i = 0; i < 5; i++) {
        schedule_trouble(&schedule, now);
        now = run(true, false);
    }
    for (int i = 0; i < 2; i++)
        now = run(true, false);
    now += 5.;
    schedule_trouble(&schedule, now);
    run(true, false);
    schedule_trouble(&schedule, now);
    ck_assert_double_eq_tol(schedule_due(&schedule) - now, 0.05, 1e-6);
}
END_TEST

START_TEST(a_lost_prober_holds_the_tests_until_it_is_back)
{
    start_connected();
    schedule_request(&schedule, SCHEDULE_NETWORK, T0 + 5.);
    schedule_started(&schedule);
    schedule_hold(&schedule);
    ck_assert_double_eq(schedule_due(&schedule), SCHEDULE_NEVER);
    schedule_trouble(&schedule, T0 + 6.);
    ck_assert_double_eq(schedule_due(&schedule), SCHEDULE_NEVER);
    schedule_request(&schedule, SCHEDULE_START, T0 + 7.);
    ck_assert_double_eq(schedule_due(&schedule), T0 + 7.);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tests = tcase_create("schedule");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, nothing_is_due_before_the_prober_is_there);
    tcase_add_test(tests, while_connected_the_interval_counts_from_the_end);
    tcase_add_test(tests, while_blocked_the_pauses_double_up_to_the_maximum);
    tcase_add_test(tests, a_short_maximum_bounds_the_first_pause_too);
    tcase_add_loop_test(tests, a_request_tests_at_once, 0, 4);
    tcase_add_test(tests, what_happens_during_a_test_is_tested_afterwards);
    tcase_add_test(tests, a_person_and_trouble_are_answered_by_the_test_that_runs);
    tcase_add_test(tests, a_network_that_changes_all_the_time_is_tested_once_a_second);
    tcase_add_test(tests, trouble_is_tested_at_once_and_then_with_doubling_pauses);
    tcase_add_test(tests, trouble_that_changed_the_verdict_is_believed_again);
    tcase_add_test(tests, trouble_after_a_long_quiet_is_news);
    tcase_add_test(tests, a_lost_prober_holds_the_tests_until_it_is_back);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
