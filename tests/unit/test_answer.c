/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The proxy's answers, whole, as every beginning of them, and byte by byte. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/answer.h"

/* As the bytes come in parts: what was dealt with is gone. Ends with the first result that is not ANSWER_MORE. */
static enum answer_result feed(const char *text, size_t length, size_t part, struct answer *ret_answer)
{
    enum answer_result result = ANSWER_MORE;
    struct answer answer = {0};
    size_t begin = 0, end = 0, used;
    while (result == ANSWER_MORE && end < length) {
        end = end + part < length ? end + part : length;
        used = SIZE_MAX;
        result = answer_read(&answer, text + begin, end - begin, &used);
        if (result == ANSWER_MORE || result == ANSWER_DONE)
            begin += used;
        if (result == ANSWER_MORE)
            ck_assert_uint_eq(begin, answer.length);
    }
    *ret_answer = answer;
    return result;
}

static const struct {
    const char *text;
    int status;
    const char *reason;
    const char *rest; /* that belongs to the tunnel */
} good[] = {
    {"HTTP/1.1 200 Connection established\r\n\r\n", 200, "Connection established", ""},
    {"HTTP/1.0 200 OK\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 200 \r\n\r\n", 200, "", ""},
    {"HTTP/1.1 200\r\n\r\n", 200, "", ""},
    {"HTTP/1.1 200 OK\n\n", 200, "OK", ""},
    {"HTTP/1.1 200 OK\r\nVia: 1.1 squid\nX: y\r\n\nrest", 200, "OK", "rest"},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, "No Content", ""},
    {"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01\x02", 200, "OK", "\x16\x03\x01\x02"},
    {"HTTP/1.1 200 OK\r\n\r\n\r\n", 200, "OK", "\r\n"},
    {"HTTP/1.1 200 OK\r\nA: b\r\n\r\nHTTP/1.1 500 No\r\n\r\n", 200, "OK", "HTTP/1.1 500 No\r\n\r\n"},
    {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\nx", 200, "OK", "x"},
    {"HTTP/1.1 403 Forbidden\r\nServer: squid\r\nX-Folded: a\r\n  b\r\n\tc\r\n\r\n<html>", 403, "Forbidden", "<html>"},
    {"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", 407,
     "Proxy Authentication Required", ""},
    {"HTTP/1.1 502 Bad\tGateway  \r\n\r\n", 502, "Bad?Gateway", ""},
    {"HTTP/1.1 599 \xc3\xa4\r\nEmpty:\r\nSpaced : x\r\nHigh: \xff\r\n\r\n", 599, "??", ""},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest", 200, "OK", "rest"},
    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 \r\n\r\nHTTP/1.0 503 Busy\r\n\r\n", 503, "Busy", ""},
    {"HTTP/1.1 200 OK\r\nX Forwarded By : x\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\nrest", 200, "OK", "rest"},
    {"HTTP/1.1 200 OK\r\n: x\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 200 OK\r\n\xc3\xa4: x\r\n\r\n", 200, "OK", ""},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\nrest", 101, "Switching Protocols", "rest"},
};
#define N_GOOD ((int)(sizeof good / sizeof good[0]))

static void check_good(int i, const struct answer *answer)
{
    ck_assert_int_eq(answer->status, good[i].status);
    ck_assert_str_eq(answer->reason, good[i].reason);
    ck_assert_uint_eq(answer->length, strlen(good[i].text) - strlen(good[i].rest));
}

START_TEST(an_answer_is_read_whole_or_byte_by_byte)
{
    const char *text = good[_i].text;
    size_t length = strlen(text), head = length - strlen(good[_i].rest);
    struct answer answer;
    for (size_t seen = 0; seen < head; seen++)
        ck_assert_msg(feed(text, seen, seen, &answer) == ANSWER_MORE, "after %zu bytes", seen);
    for (size_t seen = head; seen <= length; seen++) {
        ck_assert_int_eq(feed(text, seen, seen, &answer), ANSWER_DONE);
        check_good(_i, &answer);
    }
    for (size_t part = 1; part < length; part++) {
        ck_assert_int_eq(feed(text, length, part, &answer), ANSWER_DONE);
        check_good(_i, &answer);
    }
}
END_TEST

/* at: how many bytes are needed to know. */
static const struct {
    const char *text;
    size_t length, at;
} bad[] = {
#define BAD(text, at)                                                                                                  \
    {                                                                                                                  \
        text, sizeof text - 1, at                                                                                      \
    }
    BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1),
    BAD("\x00\x00\x12\x04\x00\x00\x00\x00\x00", 1), /* HTTP/2 SETTINGS */
    BAD("\x16\x03\x01\x02\x00", 1),
    BAD("\x15\x03\x03\x00\x02\x02\x28", 1),
    BAD("SSH-2.0-x\r\n", 1),
    BAD("<html>", 1),
    BAD("http/1.1 200 OK\r\n\r\n", 1),
    BAD("\r\nHTTP/1.1 200 OK\r\n\r\n", 2),
    BAD("HTTP/2 200\r\n\r\n", 6),
    BAD("HTTP/2.0 200 OK\r\n\r\n", 6),
    BAD("HTTP/1.x 200 OK\r\n\r\n", 8),
    BAD("HTTP/1.1\t200 OK\r\n\r\n", 9),
    BAD("HTTP/1.1  200 OK\r\n\r\n", 10),
    BAD("HTTP/1.1 099 OK\r\n\r\n", 10),
    BAD("HTTP/1.1 600 OK\r\n\r\n", 10),
    BAD("HTTP/1.1 2x0 OK\r\n\r\n", 11),
    BAD("HTTP/1.1 2000 OK\r\n\r\n", 13),
    BAD("HTTP/1.1 20\r\n\r\n", 13),
    BAD("HTTP/1.1\r\n\r\n", 10),
    BAD("HTTP/1.1 200 O\x00K\r\n\r\n", 15),
    BAD("HTTP/1.1 200 O\rK\r\n\r\n", 16),
    BAD("HTTP/1.1 200 \x1b[31m\r\n\r\n", 14),
    BAD("HTTP/1.1 200 OK\r\nA: x\x00y\r\n\r\n", 22),
    BAD("HTTP/1.1 200 OK\r\nA: x\r\r\n\r\n", 23),
    BAD("HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n", 21),
    BAD("HTTP/1.1 100 Continue\r\n\r\nnonsense", 26),
#undef BAD
};
#define N_BAD ((int)(sizeof bad / sizeof bad[0]))

START_TEST(what_is_not_http_is_known_at_once)
{
    struct answer answer;
    size_t length = bad[_i].length, at = bad[_i].at;
    for (size_t seen = 0; seen < at; seen++)
        ck_assert_msg(feed(bad[_i].text, seen, seen, &answer) == ANSWER_MORE, "after %zu bytes", seen);
    for (size_t seen = at; seen <= length; seen++)
        ck_assert_msg(feed(bad[_i].text, seen, seen, &answer) == ANSWER_BAD, "after %zu bytes", seen);
    ck_assert_int_eq(feed(bad[_i].text, at - 1, 1, &answer), ANSWER_MORE);
    ck_assert_int_eq(feed(bad[_i].text, at, 1, &answer), ANSWER_BAD);
}
END_TEST

/* _i: in parts of so many bytes; 0: whole. */
static size_t part_of(int i, size_t length)
{
    static const size_t parts[] = {0, 1, 4096};
    return parts[i] ? parts[i] : length;
}

START_TEST(a_header_without_an_end_is_too_large)
{
    static char buf[2 * ANSWER_MAX];
    struct answer answer;
    size_t head = (size_t)sprintf(buf, "HTTP/1.1 200 OK\r\nX: "), part = part_of(_i, sizeof buf);
    memset(buf + head, 'x', sizeof buf - head);
    ck_assert_int_eq(feed(buf, ANSWER_MAX - 1, part, &answer), ANSWER_MORE);
    ck_assert_int_eq(feed(buf, ANSWER_MAX, part, &answer), ANSWER_TOO_LARGE);
    ck_assert_int_eq(feed(buf, sizeof buf, part, &answer), ANSWER_TOO_LARGE);
    /* Ends just in time, with the tunnel's bytes behind it. */
    memcpy(buf + ANSWER_MAX - 4, "\r\n\r\n", 4);
    ck_assert_int_eq(feed(buf, sizeof buf, part, &answer), ANSWER_DONE);
    ck_assert_uint_eq(answer.length, ANSWER_MAX);
    memcpy(buf + ANSWER_MAX - 4, "x\r\n\r\n", 5);
    ck_assert_int_eq(feed(buf, sizeof buf, part, &answer), ANSWER_TOO_LARGE);
}
END_TEST

START_TEST(interim_answers_without_an_end_are_too_large)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    static char buf[ANSWER_MAX + sizeof interim];
    struct answer answer;
    size_t used = 0;
    while (used < ANSWER_MAX) {
        memcpy(buf + used, interim, sizeof interim - 1);
        used += sizeof interim - 1;
    }
    ck_assert_int_eq(feed(buf, used - 100, part_of(_i, used), &answer), ANSWER_MORE);
    ck_assert_int_eq(feed(buf, used, part_of(_i, used), &answer), ANSWER_TOO_LARGE);
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
    char buf[500];
    struct answer answer;
    size_t length = (size_t)sprintf(buf, "HTTP/1.1 403 %0*d\r\n\r\n", 300, 7);
    ck_assert_int_eq(feed(buf, length, length, &answer), ANSWER_DONE);
    ck_assert_uint_eq(strlen(answer.reason), ANSWER_REASON_MAX - 1);
    ck_assert_uint_eq(answer.length, length);
}
END_TEST

static const struct {
    const char *head, *hint;
    bool basic;
} hints[] = {
    {"407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n", "Basic", true},
    {"407 No\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate:NTLM\r\n", "Negotiate, NTLM", false},
    {"407 No\r\nProxy-Authenticate: Digest realm=\"a, b\", qop=\"auth,auth-int\", nonce=x==, bAsIc realm=y\r\n",
     "Digest, bAsIc", true},
    {"407 No\r\nProxy-Authenticate: Basically, , =, \"Basic\"\r\n", "Basically", false},
    {"407 No\r\nWWW-Authenticate: Basic\r\n", "", false},
    {"401 No\r\nProxy-Authenticate: Basic\r\n", "", false},
    {"302 Found\r\nLocation: https://Login.Example:8443/?u=http://other.example/\r\n", "login.example", false},
    {"307 Found\r\nLocation: http://login.example\r\nProxy-Authenticate: Basic\r\n", "login.example", false},
    {"302 Found\r\nLocation: /login\r\n", "", false},
    {"302 Found\r\nLocation: http://\r\n", "", false},
    {"302 Found\r\nLocation: http://-\xff/\r\n", "", false},
    {"200 OK\r\nLocation: http://login.example/\r\n", "", false},
    {"302 Found\r\nLocation: http://login.example/\r\n\r\n", "login.example", false},
};

START_TEST(what_it_says_beside_its_status_is_kept_as_a_hint)
{
    char text[512];
    struct answer answer;
    snprintf(text, sizeof text, "HTTP/1.1 %s\r\n", hints[_i].head);
    for (size_t part = 1; part <= strlen(text); part++) {
        ck_assert_int_eq(feed(text, strlen(text), part, &answer), ANSWER_DONE);
        ck_assert_str_eq(answer.hint, hints[_i].hint);
        ck_assert_int_eq(answer.basic, hints[_i].basic);
    }
}
END_TEST

START_TEST(a_hint_has_an_end_and_is_of_the_final_answer)
{
    char text[4096] = "HTTP/1.1 407 No\r\n";
    struct answer answer;
    for (int i = 0; i < 100; i++)
        strcat(text, "Proxy-Authenticate: Scheme\r\n");
    strcat(text, "\r\n");
    ck_assert_int_eq(feed(text, strlen(text), 7, &answer), ANSWER_DONE);
    ck_assert_uint_eq(strlen(answer.hint), ANSWER_HINT_MAX - 1);
    snprintf(text, sizeof text, "HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 407 No\r\n\r\n");
    ck_assert_int_eq(feed(text, strlen(text), 7, &answer), ANSWER_DONE);
    ck_assert_str_eq(answer.hint, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer");
    TCase *tcase = tcase_create("answer");
    tcase_add_loop_test(tcase, an_answer_is_read_whole_or_byte_by_byte, 0, N_GOOD);
    tcase_add_loop_test(tcase, what_is_not_http_is_known_at_once, 0, N_BAD);
    tcase_add_loop_test(tcase, a_header_without_an_end_is_too_large, 0, 3);
    tcase_add_loop_test(tcase, interim_answers_without_an_end_are_too_large, 0, 3);
    tcase_add_test(tcase, a_long_reason_is_cut);
    tcase_add_loop_test(tcase, what_it_says_beside_its_status_is_kept_as_a_hint, 0, sizeof hints / sizeof hints[0]);
    tcase_add_test(tcase, a_hint_has_an_end_and_is_of_the_final_answer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
