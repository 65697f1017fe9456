/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/names.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_S 60.

static struct names names;
static uint64_t asked[8 * NAMES_MAX];
static unsigned n_asked;
static const char *name;

static void ask_cb(uint64_t id, void *data)
{
    ck_assert_ptr_eq(data, &names);
    asked[n_asked++] = id;
}

static void setup(void)
{
    names_init(&names, KEEP_S, ask_cb, &names);
    n_asked = 0;
    name = "untouched";
}

static void teardown(void)
{
    names_fini(&names);
}

static void expect_known(uint64_t id, double now, const char *expected)
{
    name = NULL;
    ck_assert_int_eq(names_find(&names, id, now, &name), NAMES_KNOWN);
    ck_assert_str_eq(name, expected);
}

START_TEST(a_name_is_asked_for_and_then_known)
{
    ck_assert_int_eq(names_find(&names, 7, 100., &name), NAMES_AWAITED);
    ck_assert_int_eq(names_find(&names, 7, 100.1, &name), NAMES_AWAITED);
    ck_assert_uint_eq(n_asked, 1);
    ck_assert_uint_eq(asked[0], 7);
    ck_assert_str_eq(name, "untouched");
    names_take(&names, 7, "ann", 100.2);
    expect_known(7, 100.2, "ann");
    expect_known(7, 160.1, "ann");
    ck_assert_uint_eq(n_asked, 1);
}
END_TEST

START_TEST(root_has_a_name_too)
{
    ck_assert_int_eq(names_find(&names, 0, 100., &name), NAMES_AWAITED);
    names_take(&names, 0, "root", 100.);
    expect_known(0, 100., "root");
}
END_TEST

START_TEST(an_answer_that_does_not_come_is_asked_for_again_but_not_waited_for_for_ever)
{
    ck_assert_int_eq(names_find(&names, 7, 100., &name), NAMES_AWAITED);
    ck_assert_int_eq(names_find(&names, 7, 100. + NAMES_REPEAT_S, &name), NAMES_AWAITED);
    ck_assert_uint_eq(n_asked, 2);
    ck_assert_int_eq(names_find(&names, 7, 100. + NAMES_PATIENCE_S, &name), NAMES_NONE);
    ck_assert_int_eq(names_find(&names, 7, 200., &name), NAMES_NONE);
    ck_assert_uint_eq(n_asked, 4);
    names_take(&names, 7, "late", 201.);
    expect_known(7, 201., "late");
}
END_TEST

START_TEST(what_has_no_name_is_asked_for_again_after_a_while)
{
    ck_assert_int_eq(names_find(&names, 7, 100., &name), NAMES_AWAITED);
    names_take(&names, 7, "", 100.);
    ck_assert_int_eq(names_find(&names, 7, 100., &name), NAMES_NONE);
    ck_assert_int_eq(names_find(&names, 7, 100. + NAMES_NONE_S - .1, &name), NAMES_NONE);
    ck_assert_uint_eq(n_asked, 1);
    ck_assert_int_eq(names_find(&names, 7, 100. + NAMES_NONE_S, &name), NAMES_NONE);
    ck_assert_uint_eq(n_asked, 2);
}
END_TEST

START_TEST(an_old_name_is_asked_for_again_and_good_until_there_is_another)
{
    (void)names_find(&names, 7, 100., &name);
    names_take(&names, 7, "ann", 100.);
    expect_known(7, 100. + KEEP_S, "ann");
    ck_assert_uint_eq(n_asked, 2);
    expect_known(7, 100. + KEEP_S + .1, "ann");
    ck_assert_uint_eq(n_asked, 2);
    names_take(&names, 7, "bob", 161.);
    expect_known(7, 161., "bob");
    names_take(&names, 7, "", 162.);
    ck_assert_int_eq(names_find(&names, 7, 162., &name), NAMES_NONE);
    names.keep_s = 0.; /* as of control groups: for good */
    names_take(&names, 7, "some.service", 163.);
    expect_known(7, 1e9, "some.service");
    ck_assert_uint_eq(n_asked, 2);
}
END_TEST

START_TEST(nobody_is_asked_where_nobody_is)
{
    names.ask_cb = NULL;
    ck_assert_int_eq(names_find(&names, 7, 100., &name), NAMES_NONE);
}
END_TEST

START_TEST(the_oldest_makes_room)
{
    for (uint64_t id = 1; id <= NAMES_MAX; id++)
        (void)names_find(&names, id, 100., &name);
    names_take(&names, 1, "first", 100.);
    names_take(&names, 2, "second", 100.);
    names_take(&names, NAMES_MAX + 1, "unasked", 100.);
    ck_assert_int_eq(names_find(&names, NAMES_MAX + 1, 100., &name), NAMES_AWAITED);
    expect_known(2, 100., "second");
    ck_assert_int_eq(names_find(&names, 1, 100., &name), NAMES_AWAITED);
    ck_assert_uint_eq(n_asked, NAMES_MAX + 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("names");
    TCase *tcase = tcase_create("names");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_name_is_asked_for_and_then_known);
    tcase_add_test(tcase, root_has_a_name_too);
    tcase_add_test(tcase, an_answer_that_does_not_come_is_asked_for_again_but_not_waited_for_for_ever);
    tcase_add_test(tcase, what_has_no_name_is_asked_for_again_after_a_while);
    tcase_add_test(tcase, an_old_name_is_asked_for_again_and_good_until_there_is_another);
    tcase_add_test(tcase, nobody_is_asked_where_nobody_is);
    tcase_add_test(tcase, the_oldest_makes_room);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
