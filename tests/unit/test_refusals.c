/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/refusals.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static struct refusals refusals;
static struct texts warnings;
static int logged, saved_stderr;

static void setup(void)
{
    FILE *file = tmpfile();
    refusals = (struct refusals){0};
    saved_stderr = dup(STDERR_FILENO);
    logged = dup(fileno(file));
    fclose(file);
    dup2(logged, STDERR_FILENO);
    log_init("gate", LOG_LEVEL_INFO);
}

static void teardown(void)
{
    texts_clear(&warnings);
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(logged);
}

static unsigned lines_logged(void)
{
    char text[10000];
    unsigned n = 0;
    ssize_t length = pread(logged, text, sizeof text, 0);
    for (ssize_t i = 0; i < length; i++)
        n += text[i] == '\n';
    return n;
}

static void take(uint64_t reload, unsigned n, uint16_t port, int status)
{
    struct answers answers = {0};
    for (unsigned i = 0; i < n; i++)
        answers_add(&answers, port, status, status == 200 ? CAUSE_NONE : CAUSE_PROXY_REFUSED, "proxy answered it");
    refusals_take(&refusals, reload, &answers);
}

static size_t warned(uint64_t reload)
{
    texts_clear(&warnings);
    refusals_warnings(&refusals, reload, &warnings);
    return warnings.n;
}

START_TEST(what_relays_tell_adds_up_to_a_warning)
{
    take(0, 2, 80, 403);
    ck_assert_uint_eq(warned(0), 0);
    take(0, 2, 80, 403); /* another relay */
    take(0, 9, 443, 200);
    ck_assert_uint_eq(warned(0), 1);
    ck_assert_msg(strncmp(warnings.lines[0],
                          "4 of 4 connections to port 80 failed in the last 5 minutes: proxy answered it. ", 79) == 0,
                  "%s", warnings.lines[0]);
    ck_assert_ptr_nonnull(strstr(warnings.lines[0], cause_cure(CAUSE_PROXY_PORT)));
    take(0, 5, 80, 200);
    ck_assert_uint_eq(warned(0), 0);
}
END_TEST

START_TEST(trouble_is_logged_once)
{
    take(0, 2, 80, 403);
    ck_assert_uint_eq(lines_logged(), 0);
    for (int i = 0; i < 5; i++)
        take(0, 2, 80, 403);
    ck_assert_uint_eq(lines_logged(), 1);
    take(0, 30, 80, 200); /* no trouble any more, and then again */
    take(0, 90, 80, 403);
    ck_assert_uint_eq(warned(0), 1);
    ck_assert_uint_eq(lines_logged(), 1);
    take(0, 10, 443, 403);
    ck_assert_uint_eq(lines_logged(), 2);
}
END_TEST

/* The slots are moved, as the clock cannot be. */
START_TEST(what_is_older_than_five_minutes_is_forgotten)
{
    take(0, 4, 80, 403);
    for (int i = 0; i < REFUSALS_SLOTS; i++)
        if (refusals.slots[i].answers.n > 0)
            refusals.slots[i].period -= REFUSALS_SLOTS;
    ck_assert_uint_eq(warned(0), 0);
    take(0, 1, 443, 200);
    ck_assert_uint_eq(refusals.told.n, 0); /* news again when it comes back */
    take(0, 3, 80, 403);
    ck_assert_uint_eq(warned(0), 1);
    ck_assert_ptr_nonnull(strstr(warnings.lines[0], "3 of 3"));
    ck_assert_uint_eq(lines_logged(), 2);
}
END_TEST

START_TEST(answers_to_another_configuration_are_no_news)
{
    take(3, 4, 80, 403);
    ck_assert_uint_eq(warned(3), 1);
    ck_assert_uint_eq(warned(4), 0);
    take(4, 1, 80, 403);
    ck_assert_uint_eq(warned(4), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refusals");
    TCase *tcase = tcase_create("refusals");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_relays_tell_adds_up_to_a_warning);
    tcase_add_test(tcase, trouble_is_logged_once);
    tcase_add_test(tcase, what_is_older_than_five_minutes_is_forgotten);
    tcase_add_test(tcase, answers_to_another_configuration_are_no_news);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
