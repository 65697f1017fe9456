/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/units.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct units units;
static uint64_t asked[4 * UNITS_MAX];
static unsigned n_asked;

static void ask_cb(uint64_t cgroup, void *data)
{
    ck_assert_ptr_eq(data, &units);
    asked[n_asked++] = cgroup;
}

static void setup(void)
{
    units = (struct units){.ask_cb = ask_cb, .data = &units};
    n_asked = 0;
}

static void take(uint64_t cgroup, const char *unit)
{
    struct ipc_unit answer = {.cgroup = cgroup};
    snprintf(answer.unit, sizeof answer.unit, "%s", unit);
    units_take(&units, &answer);
}

START_TEST(a_unit_is_asked_for_once_and_then_known)
{
    ck_assert_ptr_null(units_find(&units, 7, 100.));
    ck_assert_ptr_null(units_find(&units, 7, 101.));
    ck_assert_uint_eq(n_asked, 1);
    ck_assert_uint_eq(asked[0], 7);
    take(7, "backup.service");
    ck_assert_str_eq(units_find(&units, 7, 101.), "backup.service");
    ck_assert_str_eq(units_find(&units, 7, 1000.), "backup.service");
    ck_assert_uint_eq(n_asked, 1);
}
END_TEST

START_TEST(what_is_not_known_is_asked_for_again_after_a_while)
{
    ck_assert_ptr_null(units_find(&units, 7, 100.));
    take(7, "");
    ck_assert_ptr_null(units_find(&units, 7, 104.9));
    ck_assert_uint_eq(n_asked, 1);
    ck_assert_ptr_null(units_find(&units, 7, 105.));
    ck_assert_uint_eq(n_asked, 2);
}
END_TEST

START_TEST(nobody_is_asked_for_no_group_nor_where_nobody_is)
{
    ck_assert_ptr_null(units_find(&units, 0, 100.));
    ck_assert_uint_eq(n_asked, 0);
    units.ask_cb = NULL;
    ck_assert_ptr_null(units_find(&units, 7, 100.));
    take(0, "free.service"); /* entries that are free have that number */
    take(9, "unasked.service");
    units.ask_cb = ask_cb;
    ck_assert_ptr_null(units_find(&units, 9, 100.));
}
END_TEST

START_TEST(the_oldest_make_room)
{
    for (uint64_t cgroup = 1; cgroup <= UNITS_MAX + 1; cgroup++) {
        ck_assert_ptr_null(units_find(&units, cgroup, 100.));
        take(cgroup, "some.service");
    }
    ck_assert_str_eq(units_find(&units, 2, 100.), "some.service");
    ck_assert_ptr_null(units_find(&units, 1, 100.));
    ck_assert_uint_eq(n_asked, UNITS_MAX + 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *tcase = tcase_create("units");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_unit_is_asked_for_once_and_then_known);
    tcase_add_test(tcase, what_is_not_known_is_asked_for_again_after_a_while);
    tcase_add_test(tcase, nobody_is_asked_for_no_group_nor_where_nobody_is);
    tcase_add_test(tcase, the_oldest_make_room);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
