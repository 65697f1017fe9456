/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/head.h"

static const struct {
    const char *text;
    int length; /* -1: not whole yet */
    size_t next;
} lines[] = {{"", -1, 0},    {"abc", -1, 0},     {"abc\r", -1, 0},       {"\n", 0, 1},
             {"\r\n", 0, 2}, {"abc\nd\n", 3, 4}, {"abc\r\nd\r\n", 3, 5}, {"a\rb\r\r\n", 4, 6}};

START_TEST(a_line_ends_with_lf)
{
    struct head_line line;
    bool whole = head_read_line(lines[_i].text, strlen(lines[_i].text), &line);
    ck_assert_int_eq(whole, lines[_i].length >= 0);
    if (!whole)
        return;
    ck_assert_ptr_eq(line.text, lines[_i].text);
    ck_assert_uint_eq(line.length, (size_t)lines[_i].length);
    ck_assert_uint_eq(line.next, lines[_i].next);
}
END_TEST

static const struct {
    const char *line, *value; /* NULL: it is not this field */
} fields[] = {{"Host: a.example\r\n", "a.example"},
              {"hOSt:a b\n", "a b"},
              {"Host: \t a \t \r\n", "a"},
              {"Host:\r\n", ""},
              {"Host: \t\r\n", ""},
              {"Host : a\r\n", NULL},
              {" Host: a\r\n", NULL},
              {"Hos: a\r\n", NULL},
              {"Hosts: a\r\n", NULL},
              {"X-Host: a\r\n", NULL},
              {"Host\r\n", NULL},
              {"\r\n", NULL}};

START_TEST(a_field_has_its_name_before_the_colon)
{
    struct head_line line;
    const char *value = NULL;
    size_t length = 0;
    ck_assert(head_read_line(fields[_i].line, strlen(fields[_i].line), &line));
    ck_assert_int_eq(head_read_field(&line, "Host", &value, &length), fields[_i].value != 0);
    if (!fields[_i].value)
        return;
    ck_assert_uint_eq(length, strlen(fields[_i].value));
    ck_assert_int_eq(memcmp(value, fields[_i].value, length), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("head");
    TCase *tcase = tcase_create("head");
    tcase_add_loop_test(tcase, a_line_ends_with_lf, 0, sizeof lines / sizeof lines[0]);
    tcase_add_loop_test(tcase, a_field_has_its_name_before_the_colon, 0, sizeof fields / sizeof fields[0]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
