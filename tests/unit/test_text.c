/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

static const struct {
    const char *text, *utf8, *ascii;
} cleans[] = {
    {"", "", ""},
    {"plain text", "plain text", "plain text"},
    {"tab\tline\nfeed\rreturn", "tab?line?feed?return", "tab?line?feed?return"},
    {"\033[31m\x7f", "?[31m?", "?[31m?"},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr??"},
    {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80", "?"},
    {"c1 \xc2\x9b", "c1 ?", "c1 ?"},
    {"override \xe2\x80\xae isolate \xe2\x81\xa6", "override ? isolate ?", "override ? isolate ?"},
    {"lone \xff \x80", "lone ? ?", "lone ? ?"},
    {"cut \xe2\x80", "cut ??", "cut ??"},
    {"overlong \xc0\xaf \xe0\x80\xaf", "overlong ?? ???", "overlong ?? ???"},
    {"surrogate \xed\xa0\x80", "surrogate ?", "surrogate ?"},
    {"beyond \xf4\x90\x80\x80", "beyond ????", "beyond ????"},
};

START_TEST(clean_leaves_only_what_is_harmless)
{
    char buf[64];
    ck_assert_str_eq(text_clean(cleans[_i].text, true, buf, sizeof buf), cleans[_i].utf8);
    ck_assert_str_eq(text_clean(cleans[_i].text, false, buf, sizeof buf), cleans[_i].ascii);
}
END_TEST

START_TEST(clean_cuts_between_characters)
{
    char buf[5];
    ck_assert_str_eq(text_clean("abc\xc3\xbc", true, buf, sizeof buf), "abc");
    ck_assert_str_eq(text_clean("abcdefg", true, buf, sizeof buf), "abcd");
    ck_assert_str_eq(text_clean("abc", true, buf, 1), "");
}
END_TEST

static const struct {
    unsigned long long bytes;
    const char *text;
} sizes[] = {
    {0, "0 B"},
    {999, "999 B"},
    {1000, "1.0 KiB"},
    {1024, "1.0 KiB"},
    {1536, "1.5 KiB"},
    {102400, "100 KiB"},
    {1023 * 1024ULL, "1.0 MiB"},
    {1234567, "1.2 MiB"},
    {99999999999ULL, "93.1 GiB"},
    {18446744073709551615ULL, "16.0 EiB"},
};

START_TEST(bytes_are_readable)
{
    char buf[32];
    ck_assert_str_eq(text_bytes(sizes[_i].bytes, buf), sizes[_i].text);
}
END_TEST

static const struct {
    long long seconds;
    const char *text;
} durations[] = {
    {-5, "0 s"},           {0, "0 s"},          {59, "59 s"},           {60, "1 min 0 s"},
    {3599, "59 min 59 s"}, {3600, "1 h 0 min"}, {86399, "23 h 59 min"}, {90000, "1 d 1 h"},
};

START_TEST(durations_are_readable)
{
    char buf[64];
    ck_assert_str_eq(text_duration(durations[_i].seconds, buf), durations[_i].text);
}
END_TEST

START_TEST(times_are_those_of_the_interface)
{
    static const char *const bad[] = {
        "", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05+01:00", "2026-13-02T03:04:05Z", "x"};
    int64_t when = -1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!text_parse_time(bad[i], &when));
    ck_assert(!text_parse_time(NULL, &when));
    ck_assert_int_eq(when, -1);
    ck_assert(text_parse_time("2026-01-02T03:04:05Z", &when));
    ck_assert_int_eq(when, 1767323045);
}
END_TEST

static char *wrapped(const char *text, unsigned width, size_t at, size_t indent)
{
    const struct text_style style = {.utf8 = true, .width = width};
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);
    text_wrap(out, &style, text, at, indent);
    fclose(out);
    return result;
}

static const struct {
    const char *text;
    unsigned width;
    size_t at, indent;
    const char *result;
} wraps[] = {
    {"", 10, 0, 0, ""},
    {"one two three", 10, 0, 0, "one two\nthree"},
    {"one two three", 10, 2, 2, "one two\n  three"},
    {"one two three", 13, 0, 0, "one two three"},
    {"a  b", 10, 0, 0, "a b"},
    {"abcdefghijkl", 5, 0, 0, "abcde\nfghij\nkl"},
    {"ab abcdefghij", 6, 2, 2, "ab\n  abcd\n  efgh\n  ij"},
    {"\xc3\xbc\xc3\xbc \xc3\xbc\xc3\xbc", 5, 0, 0, "\xc3\xbc\xc3\xbc \xc3\xbc\xc3\xbc"},
};

START_TEST(wrap_breaks_at_spaces_and_else_anywhere)
{
    char *result = wrapped(wraps[_i].text, wraps[_i].width, wraps[_i].at, wraps[_i].indent);
    ck_assert_str_eq(result, wraps[_i].result);
    free(result);
}
END_TEST

/* Whatever the width, nothing is lost and no line is too long. */
START_TEST(wrap_keeps_every_word)
{
    static const char text[] =
        "connect to 192.0.2.7:8081: the-quick-brown-fox-jumps-over-the-lazy-dog \xc3\xa4\xc3\xb6 "
        "a b c d e f g h i j k l m n o p q r s t u v w x y z";
    for (unsigned width = 4; width < 100; width++) {
        char *result = wrapped(text, width, 3, 3), *rest = strdup(result), *start = rest, *to = result;

        for (char *line, *first = rest; (line = strsep(&rest, "\n"));)
            ck_assert_uint_le(text_columns(line) + (line == first ? 3 : 0), width);
        for (const char *from = result; *from; from++) /* without white space both are the same */
            if (*from != ' ' && *from != '\n')
                *to++ = *from;
        *to = '\0';
        to = result;
        for (const char *from = text; *from; from++)
            if (*from != ' ')
                ck_assert_int_eq(*from, *to++);
        ck_assert_int_eq(*to, '\0');
        free(start);
        free(result);
    }
}
END_TEST

START_TEST(a_very_long_word_is_not_lost)
{
    char text[5000];
    char *result;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    result = wrapped(text, 100, 0, 0);
    ck_assert_uint_eq(strlen(result), sizeof text - 1 + 49);
    free(result);
}
END_TEST

START_TEST(cells_have_their_width)
{
    const struct text_style utf8 = {.utf8 = true, .width = 80}, ascii = {.width = 80};
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);
    text_cell(out, &utf8, "abc", 5);
    text_cell(out, &utf8, "|abcdef", 5);
    text_cell(out, &ascii, "|abcdef", 5);
    text_cell(out, &utf8, "|\xc3\xbc", 3);
    text_cell(out, &utf8, "|abc", 4);
    fclose(out);
    ck_assert_str_eq(result, "abc  |abc…|abc>|\xc3\xbc |abc");
    free(result);
}
END_TEST

START_TEST(colour_is_only_written_where_wanted)
{
    const struct text_style on = {.colour = true}, off = {.colour = false};
    char *result = NULL;
    size_t size;
    FILE *out = open_memstream(&result, &size);
    text_tone(out, &off, TEXT_BAD, true);
    text_tone_end(out, &off);
    text_tone(out, &on, TEXT_BAD, true);
    text_tone_end(out, &on);
    fclose(out);
    ck_assert_str_eq(result, "\033[1m\033[31m\033[0m");
    free(result);
}
END_TEST

START_TEST(a_file_gets_no_colour_and_full_width)
{
    struct text_style style;
    FILE *file = tmpfile();
    text_style_of(file, &style);
    ck_assert(!style.terminal && !style.colour);
    ck_assert_uint_eq(style.width, TEXT_WIDTH_MAX);
    fclose(file);
}
END_TEST

#define LOOP(test, table) tcase_add_loop_test(tcase, test, 0, sizeof table / sizeof((table)[0]))

int main(void)
{
    Suite *suite = suite_create("text");
    TCase *tcase = tcase_create("text");
    SRunner *runner;
    int failed;
    LOOP(clean_leaves_only_what_is_harmless, cleans);
    tcase_add_test(tcase, clean_cuts_between_characters);
    LOOP(bytes_are_readable, sizes);
    LOOP(durations_are_readable, durations);
    tcase_add_test(tcase, times_are_those_of_the_interface);
    LOOP(wrap_breaks_at_spaces_and_else_anywhere, wraps);
    tcase_add_test(tcase, wrap_keeps_every_word);
    tcase_add_test(tcase, a_very_long_word_is_not_lost);
    tcase_add_test(tcase, cells_have_their_width);
    tcase_add_test(tcase, colour_is_only_written_where_wanted);
    tcase_add_test(tcase, a_file_gets_no_colour_and_full_width);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
