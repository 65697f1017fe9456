/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/answers.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct answers answers;

static void setup(void)
{
    answers = (struct answers){0};
}

static void add(unsigned n, uint16_t port, int status)
{
    char detail[64];
    snprintf(detail, sizeof detail, "proxy answered %d", status);
    for (unsigned i = 0; i < n; i++)
        answers_add(&answers, port, status, status == 200 ? CAUSE_NONE : CAUSE_PROXY_REFUSED,
                    status == 200 ? "" : detail);
}

/* How many troubles there are; *ret_first is one. */
static unsigned troubles(size_t *ret_first)
{
    unsigned n = 0;
    for (size_t i = answers.n; i-- > 0;) {
        if (!answers_is_trouble(&answers, i))
            continue;
        n++;
        *ret_first = i;
    }
    return n;
}

static const char *text_of(size_t i)
{
    static char text[ANSWERS_TEXT_MAX];
    return answers_text(&answers, i, "today", text);
}

START_TEST(a_port_that_is_refused_most_of_the_time_is_trouble)
{
    static const struct {
        unsigned good, refused;
        bool trouble;
    } cases[] = {{0, 0, false}, {0, 2, false}, {0, 3, true}, {3, 3, true}, {4, 3, false}, {1000, 999, false}};
    size_t i = 0;
    add(cases[_i].good, 80, 200);
    add(cases[_i].refused, 80, 403);
    add(500, 443, 200); /* other ports have nothing to do with it */
    ck_assert_uint_eq(troubles(&i), cases[_i].trouble);
}
END_TEST

START_TEST(what_the_proxy_cannot_reach_must_be_more_to_be_trouble)
{
    static const int statuses[] = {404, 500, 502, 503, 504};
    size_t i = 0;
    for (int n = 0; n < 9; n++)
        add(1, 443, statuses[n % 5]);
    ck_assert_uint_eq(troubles(&i), 0);
    add(1, 443, 503);
    ck_assert_uint_eq(troubles(&i), 1);
    ck_assert_int_eq(answers_cause(&answers, i), CAUSE_PROXY_UNREACHED);
    ck_assert_ptr_nonnull(strstr(text_of(i), "10 of 10 connections to port 443 failed today: proxy answered 503. "));
}
END_TEST

START_TEST(a_port_that_alone_is_refused_is_named)
{
    size_t i = 0;
    add(40, 80, 403);
    ck_assert_uint_eq(troubles(&i), 1);
    ck_assert_int_eq(answers_cause(&answers, i), CAUSE_PROXY_REFUSED); /* nobody knows yet what else is */
    add(1, 443, 200);
    ck_assert_uint_eq(troubles(&i), 1);
    ck_assert_int_eq(answers_cause(&answers, i), CAUSE_PROXY_PORT);
    ck_assert_ptr_nonnull(strstr(text_of(i), "40 of 40 connections to port 80 failed today: proxy answered 403. "));
    ck_assert_ptr_nonnull(strstr(text_of(i), cause_cure(CAUSE_PROXY_PORT)));
    add(1, 80, 200);
    ck_assert_int_eq(answers_cause(&answers, i), CAUSE_PROXY_REFUSED);
}
END_TEST

START_TEST(the_last_words_are_kept)
{
    answers_add(&answers, 443, 407, CAUSE_PROXY_AUTHENTICATION_SCHEME, "first");
    answers_add(&answers, 443, 407, CAUSE_PROXY_AUTHENTICATION, "second");
    ck_assert_uint_eq(answers.n, 1);
    ck_assert_str_eq(answers.counts[0].detail, "second");
    ck_assert_int_eq(answers_cause(&answers, 0), CAUSE_PROXY_AUTHENTICATION);
}
END_TEST

START_TEST(sums_are_sums)
{
    struct answers sum = {0};
    add(2, 80, 403);
    add(3, 443, 200);
    answers_merge(&sum, &answers);
    answers_merge(&sum, &answers);
    ck_assert_uint_eq(sum.n, 2);
    ck_assert_uint_eq(sum.counts[0].n, 4);
    ck_assert_uint_eq(sum.counts[1].n, 6);
    ck_assert_str_eq(sum.counts[0].detail, "proxy answered 403");
    sum.counts[0].n = UINT32_MAX - 1; /* a relay that lies */
    answers_merge(&sum, &answers);
    ck_assert_uint_eq(sum.counts[0].n, UINT32_MAX);
}
END_TEST

START_TEST(what_finds_no_room_is_not_counted)
{
    for (int status = 400; status < 400 + 2 * ANSWERS_MAX; status++)
        add(1, 80, status == 404 ? 499 : status);
    ck_assert_uint_eq(answers.n, ANSWERS_MAX);
    add(1, 80, 400);
    ck_assert_uint_eq(answers.counts[0].n, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answers");
    TCase *tcase = tcase_create("answers");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_loop_test(tcase, a_port_that_is_refused_most_of_the_time_is_trouble, 0, 6);
    tcase_add_test(tcase, what_the_proxy_cannot_reach_must_be_more_to_be_trouble);
    tcase_add_test(tcase, a_port_that_alone_is_refused_is_named);
    tcase_add_test(tcase, the_last_words_are_kept);
    tcase_add_test(tcase, sums_are_sums);
    tcase_add_test(tcase, what_finds_no_room_is_not_counted);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
