/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies: where they end, however the bytes come, and what of them goes on. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "channel/http/body.h"

#define OUT_MAX 100000

static bool forbids_secret(const char *name, size_t length, const void *data)
{
    ck_assert_ptr_eq(data, &forbids_secret);
    return length == 6 && strncasecmp(name, "secret", 6) == 0;
}

static char out[OUT_MAX];
static size_t out_length;

/* Reads text in such parts; *ret_used: how much of it is the body's. */
static enum body_result feed(struct framing framing, bool decode, const char *text, size_t length, size_t part,
                             size_t *ret_used)
{
    struct body body;
    body_init(&body, framing, decode, forbids_secret, &forbids_secret);
    enum body_result result = body_is_done(&body) ? BODY_DONE : BODY_MORE;
    size_t at = 0, end = 0;
    out_length = 0;
    while (result == BODY_MORE && at < length) {
        if (at == end)
            end = end + part < length ? end + part : length;
        size_t used = 0;
        bool pass = false;
        result = body_read(&body, text + at, end - at, &used, &pass);
        if (result == BODY_BAD)
            break;
        ck_assert_uint_gt(used, 0);
        if (pass) {
            memcpy(out + out_length, text + at, used);
            out_length += used;
        }
        at += used;
    }
    ck_assert_int_eq(result == BODY_DONE, body_is_done(&body));
    *ret_used = at;
    return result;
}

static const struct framing chunked = {FRAMING_CHUNKED, 0};

static const struct {
    const char *text;
    size_t used;
    const char *onward, *decoded;
} good[] = {
    {"0\r\n\r\n", 5, "0\r\n\r\n", ""},
    {"5\r\nhello\r\n0\r\n\r\nGET ", 15, "5\r\nhello\r\n0\r\n\r\n", "hello"},
    {"A\r\n0123456789\r\n00b\r\n01234567890\r\n000\r\n\r\n", 40, "A\r\n0123456789\r\n00b\r\n01234567890\r\n000\r\n\r\n",
     "012345678901234567890"},
    {"2\r\n\r\n\r\n0\r\n\r\n", 12, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n"},
    {"3;a=b\r\nabc\r\n0;\r\n\r\n", 18, "3\r\nabc\r\n0\r\n\r\n", "abc"},
    {"3 \t;a=\"b;\xff\"\r\nabc\r\n0  \r\n\r\n", 25, "3\r\nabc\r\n0\r\n\r\n", "abc"},
    {"1\r\nx\r\n0\r\nX-Sum: 1 2\r\nY:\r\n\r\nrest", 27, "1\r\nx\r\n0\r\nX-Sum: 1 2\r\nY:\r\n\r\n", "x"},
    {"0\r\nsecrets: x\r\nsecre: y\r\n\r\n", 27, "0\r\nsecrets: x\r\nsecre: y\r\n\r\n", ""},
};

static void expect_onward(const char *text, size_t expected_used, bool decode, const char *expected)
{
    for (size_t part = 1; part <= strlen(text); part++) {
        size_t used;
        ck_assert_int_eq(feed(chunked, decode, text, strlen(text), part, &used), BODY_DONE);
        ck_assert_uint_eq(used, expected_used);
        ck_assert_msg(out_length == strlen(expected) && memcmp(out, expected, out_length) == 0,
                      "in parts of %zu: \"%.*s\"", part, (int)out_length, out);
    }
}

START_TEST(chunks_go_on_to_their_end)
{
    expect_onward(good[_i].text, good[_i].used, false, good[_i].onward);
    expect_onward(good[_i].text, good[_i].used, true, good[_i].decoded);
}
END_TEST

static const char *const bad[] = {
    "\r\n",
    "x\r\n",
    " 5\r\nhello\r\n",
    "-1\r\n",
    "+5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5 5\r\nhello\r\n",
    "5 a\r\nhello\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\r\rhello\r\n",
    "5\rhello\r\n",
    "5;a\nhello\r\n0\r\n\r\n",
    "5;a\x01\r\nhello\r\n",
    "5;a=\"\rb\"\r\nhello\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhello!\r\n0\r\n\r\n",
    "1000000000000000\r\n",
    "0000000000000005\r\nhello\r\n",
    "fffffffffffffffff\r\n",
    "0\r\n\n",
    "0\r\n\rx",
    "0\r\nX\r\n\r\n",
    "0\r\n: x\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nX: y\r\n z\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\nX: y\rz\r\n\r\n",
    "0\r\nX: \x7f\r\n\r\n",
    "0\r\nSecret: x\r\n\r\n",
    "0\r\nX: y\r\nsecret:\r\n\r\n",
};

START_TEST(bad_chunks_are_found_however_the_bytes_come)
{
    for (size_t part = 1; part <= strlen(bad[_i]); part++) {
        size_t used;
        ck_assert_msg(feed(chunked, false, bad[_i], strlen(bad[_i]), part, &used) == BODY_BAD, "taken: \"%s\"",
                      bad[_i]);
        ck_assert_int_eq(feed(chunked, true, bad[_i], strlen(bad[_i]), part, &used), BODY_BAD);
    }
}
END_TEST

START_TEST(a_nul_in_a_line_is_bad_and_in_a_chunk_is_a_byte)
{
    static const char in_chunk[] = "1\r\n\0\r\n0\r\n\r\n", in_extension[] = "1;\0\r\nx\r\n",
                      in_trailer[] = "0\r\nX: \0\r\n\r\n";
    size_t used;
    ck_assert_int_eq(feed(chunked, false, in_chunk, sizeof in_chunk - 1, 3, &used), BODY_DONE);
    ck_assert_int_eq(feed(chunked, false, in_extension, sizeof in_extension - 1, 3, &used), BODY_BAD);
    ck_assert_int_eq(feed(chunked, false, in_trailer, sizeof in_trailer - 1, 3, &used), BODY_BAD);
}
END_TEST

/* A line of first, n times c, last. */
static enum body_result feed_line(const char *first, char c, size_t n, const char *last)
{
    size_t length = strlen(first) + n + strlen(last), used;
    char *text = malloc(length + 1);
    strcpy(text, first);
    memset(text + strlen(first), c, n);
    strcpy(text + strlen(first) + n, last);
    enum body_result result = feed(chunked, false, text, length, length, &used);
    free(text);
    return result;
}

START_TEST(lines_have_limits)
{
    ck_assert_int_eq(feed_line("0;", 'x', BODY_LINE_MAX - 1, "\r\n\r\n"), BODY_DONE);
    ck_assert_int_eq(feed_line("0;", 'x', BODY_LINE_MAX + 1, "\r\n\r\n"), BODY_BAD);
    ck_assert_int_eq(feed_line("0", ' ', BODY_LINE_MAX + 1, "\r\n\r\n"), BODY_BAD);
    ck_assert_int_eq(feed_line("0\r\n", 'x', BODY_NAME_MAX, ":\r\n\r\n"), BODY_DONE);
    ck_assert_int_eq(feed_line("0\r\n", 'x', BODY_NAME_MAX + 1, ":\r\n\r\n"), BODY_BAD);
    ck_assert_int_eq(feed_line("0\r\nX:", 'x', BODY_TRAILERS_MAX - 6, "\r\n\r\n"), BODY_DONE);
    ck_assert_int_eq(feed_line("0\r\nX:", 'x', BODY_TRAILERS_MAX, "\r\n\r\n"), BODY_BAD);
}
END_TEST

START_TEST(a_length_is_a_length)
{
    for (size_t part = 1; part < 8; part++) {
        size_t used;
        ck_assert_int_eq(feed((struct framing){FRAMING_LENGTH, 5}, true, "helloGET", 8, part, &used), BODY_DONE);
        ck_assert_uint_eq(used, 5);
        ck_assert_uint_eq(out_length, 5);
        ck_assert_int_eq(feed((struct framing){FRAMING_LENGTH, 9}, false, "helloGET", 8, part, &used), BODY_MORE);
        ck_assert_uint_eq(out_length, 8);
    }
}
END_TEST

START_TEST(only_the_end_ends_what_has_no_length)
{
    struct body body;
    size_t used;
    ck_assert_int_eq(feed((struct framing){FRAMING_CLOSE, 0}, false, "0\r\n\r\n", 5, 2, &used), BODY_MORE);
    ck_assert_uint_eq(out_length, 5);
    body_init(&body, (struct framing){FRAMING_CLOSE, 0}, false, NULL, NULL);
    ck_assert(body_ends_with_source(&body) && !body_is_done(&body));
    body_init(&body, (struct framing){FRAMING_LENGTH, 1}, false, NULL, NULL);
    ck_assert(!body_ends_with_source(&body));
    body_init(&body, chunked, false, NULL, NULL);
    ck_assert(!body_ends_with_source(&body));
    body_init(&body, (struct framing){FRAMING_LENGTH, 0}, false, NULL, NULL);
    ck_assert(body_ends_with_source(&body) && body_is_done(&body));
    body_init(&body, (struct framing){FRAMING_NONE, 0}, false, NULL, NULL);
    ck_assert(body_is_done(&body));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("body");
    TCase *tcase = tcase_create("body");
    tcase_add_loop_test(tcase, chunks_go_on_to_their_end, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tcase, bad_chunks_are_found_however_the_bytes_come, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, a_nul_in_a_line_is_bad_and_in_a_chunk_is_a_byte);
    tcase_add_test(tcase, lines_have_limits);
    tcase_add_test(tcase, a_length_is_a_length);
    tcase_add_test(tcase, only_the_end_ends_what_has_no_length);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
