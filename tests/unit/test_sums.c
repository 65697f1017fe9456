/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/sums.h"

static struct sums sums;

static void set_up(void)
{
    memset(&sums, 0, sizeof sums);
}

static const struct sum *find(enum sum_by by, const char *key)
{
    const struct sum *sum;
    for (size_t i = 0; (sum = sums_at(&sums, i)); i++)
        if (sum->by == by && !sum->others && strcmp(sum->key, key) == 0)
            return sum;
    return NULL;
}

START_TEST(each_key_has_its_sum)
{
    const struct sum *sum;
    sums_add(&sums, SUM_BY_USER, "1000", false, 1, 10);
    sums_add(&sums, SUM_BY_USER, "1000", true, 2, 20);
    sums_add(&sums, SUM_BY_USER, NULL, false, 4, 40);
    sums_add(&sums, SUM_BY_NAME, "1000", false, 8, 80);
    sum = find(SUM_BY_USER, "1000");
    ck_assert_uint_eq(sum->sessions, 2);
    ck_assert_uint_eq(sum->failed, 1);
    ck_assert_uint_eq(sum->up, 3);
    ck_assert_uint_eq(sum->down, 30);
    ck_assert_uint_eq(find(SUM_BY_USER, "")->down, 40);
    ck_assert_uint_eq(find(SUM_BY_NAME, "1000")->up, 8);
    ck_assert_ptr_null(find(SUM_BY_UNIT, "1000"));
    ck_assert_ptr_null(sums_at(&sums, 3));
}
END_TEST

START_TEST(what_counts_least_gives_way_and_nothing_is_lost)
{
    uint64_t sessions = 0, down = 0;
    char key[32];
    size_t others = 0, n = 0;
    const struct sum *sum;
    sums_add(&sums, SUM_BY_NAME, "large.example", false, 0, 1000000);
    for (unsigned i = 0; i < 10 * SUMS_MAX; i++) {
        snprintf(key, sizeof key, "%u.example", i);
        sums_add(&sums, SUM_BY_NAME, key, false, 0, i);
        sums_add(&sums, SUM_BY_NAME, "large.example", false, 0, 1);
    }
    for (; (sum = sums_at(&sums, n)); n++) {
        sessions += sum->sessions;
        down += sum->down;
        others += sum->others;
    }
    ck_assert_uint_eq(n, SUMS_MAX);
    ck_assert_uint_eq(others, 1);
    ck_assert_uint_eq(find(SUM_BY_NAME, "large.example")->down, 1000000 + 10 * SUMS_MAX);
    ck_assert_uint_eq(sessions, 1 + 20 * SUMS_MAX);
    ck_assert_uint_eq(down, 1000000 + 10 * SUMS_MAX * (10 * SUMS_MAX - 1) / 2 + 10 * SUMS_MAX);
    snprintf(key, sizeof key, "%u.example", 10 * SUMS_MAX - 1);
    ck_assert_ptr_nonnull(find(SUM_BY_NAME, key)); /* the last one is always there */
}
END_TEST

START_TEST(a_long_key_is_cut)
{
    char key[2 * NAME_SIZE];
    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    sums_add(&sums, SUM_BY_UNIT, key, false, 1, 1);
    sums_add(&sums, SUM_BY_UNIT, key, false, 1, 1);
    ck_assert_uint_eq(strlen(sums_at(&sums, 0)->key), NAME_SIZE - 1);
    ck_assert_uint_eq(sums_at(&sums, 0)->sessions, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sums");
    TCase *tests = tcase_create("sums");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, each_key_has_its_sum);
    tcase_add_test(tests, what_counts_least_gives_way_and_nothing_is_lost);
    tcase_add_test(tests, a_long_key_is_cut);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
