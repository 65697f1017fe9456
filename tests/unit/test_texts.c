/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/texts.h"

/* The linker sends the list's realloc() here. */
static bool short_of_memory;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return short_of_memory ? NULL : __real_realloc(old, size);
}

START_TEST(lines_come_back_in_order)
{
    struct texts texts = {.n = 0};
    char expected[16];
    for (int i = 0; i < TEXTS_MAX; i++)
        texts_add(&texts, "line %d", i);
    ck_assert_uint_eq(texts.n, TEXTS_MAX);
    ck_assert_uint_eq(texts.more, 0);
    for (int i = 0; i < TEXTS_MAX; i++) {
        snprintf(expected, sizeof expected, "line %d", i);
        ck_assert_str_eq(texts.lines[i], expected);
        ck_assert(texts_contain(&texts, expected));
    }
    ck_assert(!texts_contain(&texts, "line"));
    texts_clear(&texts);
}
END_TEST

START_TEST(what_finds_no_room_is_counted)
{
    struct texts texts = {.n = 0};
    for (int i = 0; i < TEXTS_MAX + 7; i++)
        texts_add(&texts, "%d", i);
    ck_assert_uint_eq(texts.n, TEXTS_MAX);
    ck_assert_uint_eq(texts.more, 7);
    texts_clear(&texts);
    ck_assert_uint_eq(texts.n, 0);
    ck_assert_uint_eq(texts.more, 0);
    ck_assert_ptr_null(texts.lines);
}
END_TEST

START_TEST(what_finds_no_memory_is_counted)
{
    struct texts texts = {.n = 0};
    texts_add(&texts, "one");
    texts_add(&texts, "two");
    short_of_memory = true;
    texts_add(&texts, "three");
    short_of_memory = false;
    ck_assert_uint_eq(texts.n, 2);
    ck_assert_uint_eq(texts.more, 1);
    texts_add(&texts, "four");
    ck_assert_str_eq(texts.lines[2], "four");
    texts_clear(&texts);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("texts");
    TCase *tests = tcase_create("texts");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, lines_come_back_in_order);
    tcase_add_test(tests, what_finds_no_room_is_counted);
    tcase_add_test(tests, what_finds_no_memory_is_counted);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
