/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the proxy, and its answers fed whole and byte by byte. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "channel/http/connect.h"
#include "model/hostname.h"

/* ---- requests ---- */

static void expect_request(const struct conf *conf, const char *host, uint16_t port, const char *text)
{
    char buf[CONNECT_REQUEST_MAX];
    int length = connect_write_request(conf, host, port, buf, sizeof buf);
    ck_assert_int_eq(length, strlen(text));
    ck_assert_int_eq(memcmp(buf, text, (size_t)length), 0);
}

START_TEST(requests_name_the_host_and_bracket_ipv6)
{
    struct conf conf = {0};
    expect_request(&conf, "www.example", 443, "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n\r\n");
    expect_request(&conf, "192.0.2.1", 80, "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n");
    expect_request(&conf, "2001:db8::1", 65535,
                   "CONNECT [2001:db8::1]:65535 HTTP/1.1\r\nHost: [2001:db8::1]:65535\r\n\r\n");
    expect_request(&conf, "a_b-c.example.", 1, "CONNECT a_b-c.example.:1 HTTP/1.1\r\nHost: a_b-c.example.:1\r\n\r\n");
}
END_TEST

START_TEST(configured_headers_follow)
{
    struct conf conf = {.n_headers = 2};
    char buf[256];
    int length;
    static const char ping[] = "OPTIONS * HTTP/1.1\r\nHost: [2001:db8::9]\r\nMax-Forwards: 0\r\n"
                               "Proxy-Authorization: Basic eDp5\r\nX-Site: 7\r\n\r\n";
    conf.headers[0] = (char *)"Proxy-Authorization: Basic eDp5";
    conf.headers[1] = (char *)"X-Site: 7";
    expect_request(&conf, "www.example", 443,
                   "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n"
                   "Proxy-Authorization: Basic eDp5\r\nX-Site: 7\r\n\r\n");
    length = connect_write_ping(&conf, "2001:db8::9", buf, sizeof buf);
    ck_assert_int_eq(length, sizeof ping - 1);
    ck_assert_mem_eq(buf, ping, sizeof ping - 1);
}
END_TEST

static const char *const bad_hosts[] = {"",
                                        "a b",
                                        "a\r\nX: y",
                                        "a\nb",
                                        "a/b",
                                        "a@b",
                                        "a%62",
                                        "h\x7f",
                                        "\xc3\xa4.example",
                                        "[2001:db8::1]",
                                        "2001:db8::1%eth0",
                                        "a:80",
                                        ":",
                                        "1:2:3:4:5:6:7:8:9",
                                        "a?b",
                                        "a#b",
                                        "*",
                                        "a,b",
                                        "\"a\"",
                                        "-a",
                                        "127.1",
                                        "0x7f.1"};

START_TEST(what_is_no_host_is_refused)
{
    struct conf conf = {0};
    char buf[512];
    ck_assert_int_eq(connect_write_request(&conf, bad_hosts[_i], 443, buf, sizeof buf), -EINVAL);
    ck_assert_int_eq(connect_write_ping(&conf, bad_hosts[_i], buf, sizeof buf), -EINVAL);
}
END_TEST

START_TEST(limits_of_requests)
{
    struct conf conf = {0};
    char host[HOSTNAME_MAX + 2], buf[CONNECT_REQUEST_MAX + 1000], header[CONNECT_REQUEST_MAX];
    static const char text[] = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    const int length = sizeof text - 1;
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i % 64 == 63 ? '.' : 'a';
    host[HOSTNAME_MAX] = 'a';
    host[HOSTNAME_MAX + 1] = '\0';
    ck_assert_int_eq(connect_write_request(&conf, host, 443, buf, sizeof buf), -EINVAL);
    host[HOSTNAME_MAX] = '\0';
    ck_assert_int_gt(connect_write_request(&conf, host, 443, buf, sizeof buf), 2 * HOSTNAME_MAX);
    ck_assert_int_eq(connect_write_request(&conf, "a", 0, buf, sizeof buf), -EINVAL);
    for (int size = 0; size < length; size++) {
        memset(buf, '#', sizeof buf);
        ck_assert_int_eq(connect_write_request(&conf, "a", 1, buf, (size_t)size), -EMSGSIZE);
        ck_assert_int_eq(buf[size], '#'); /* nothing behind the end */
    }
    ck_assert_int_eq(connect_write_request(&conf, "a", 1, buf, (size_t)length), length);
    memset(header, 'x', sizeof header);
    header[sizeof header - 1] = '\0';
    conf.headers[0] = header;
    conf.n_headers = 1;
    ck_assert_int_eq(connect_write_request(&conf, "a", 1, buf, sizeof buf), -EMSGSIZE);
}
END_TEST

/* ---- answers ---- */

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
    {"HTTP/1.1 101 Switching Protocols\r\n\r\nrest", 101, "Switching Protocols", "rest"},
};
#define N_GOOD ((int)(sizeof good / sizeof good[0]))

START_TEST(an_answer_is_read_whole_or_byte_by_byte)
{
    const char *text = good[_i].text;
    size_t length = strlen(text), head = length - strlen(good[_i].rest);
    struct connect_answer answer;
    for (size_t seen = 0; seen < head; seen++) {
        answer.status = -1;
        ck_assert_msg(connect_read_answer(text, seen, &answer) == CONNECT_MORE, "after %zu bytes", seen);
        ck_assert_int_eq(answer.status, -1);
    }
    for (size_t seen = head; seen <= length; seen++) {
        ck_assert_int_eq(connect_read_answer(text, seen, &answer), CONNECT_DONE);
        ck_assert_int_eq(answer.status, good[_i].status);
        ck_assert_str_eq(answer.reason, good[_i].reason);
        ck_assert_uint_eq(answer.length, head);
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
    BAD("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", 27),
    BAD("HTTP/1.1 200 OK\r\n: x\r\n\r\n", 18),
    BAD("HTTP/1.1 200 OK\r\n folded: first\r\n\r\n", 18),
    BAD("HTTP/1.1 200 OK\r\nA B: x\r\n\r\n", 20),
    BAD("HTTP/1.1 200 OK\r\nA: x\x00y\r\n\r\n", 22),
    BAD("HTTP/1.1 200 OK\r\nA: x\r\r\n\r\n", 23),
    BAD("HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n", 21),
    BAD("HTTP/1.1 200 OK\r\n\xc3\xa4: x\r\n\r\n", 18),
    BAD("HTTP/1.1 100 Continue\r\n\r\nnonsense", 26),
#undef BAD
};
#define N_BAD ((int)(sizeof bad / sizeof bad[0]))

START_TEST(what_is_not_http_is_known_at_once)
{
    struct connect_answer answer = {.status = -1};
    for (size_t seen = 0; seen < bad[_i].at; seen++)
        ck_assert_msg(connect_read_answer(bad[_i].text, seen, &answer) == CONNECT_MORE, "after %zu bytes", seen);
    for (size_t seen = bad[_i].at; seen <= bad[_i].length; seen++)
        ck_assert_msg(connect_read_answer(bad[_i].text, seen, &answer) == CONNECT_BAD, "after %zu bytes", seen);
    ck_assert_int_eq(answer.status, -1);
}
END_TEST

START_TEST(a_header_without_an_end_is_too_large)
{
    static char buf[2 * CONNECT_ANSWER_MAX];
    struct connect_answer answer;
    size_t head = (size_t)sprintf(buf, "HTTP/1.1 200 OK\r\nX: ");
    memset(buf + head, 'x', sizeof buf - head);
    ck_assert_int_eq(connect_read_answer(buf, CONNECT_ANSWER_MAX - 1, &answer), CONNECT_MORE);
    ck_assert_int_eq(connect_read_answer(buf, CONNECT_ANSWER_MAX, &answer), CONNECT_TOO_LARGE);
    ck_assert_int_eq(connect_read_answer(buf, sizeof buf, &answer), CONNECT_TOO_LARGE);
    /* Ends just in time, with the tunnel's bytes behind it. */
    memcpy(buf + CONNECT_ANSWER_MAX - 4, "\r\n\r\n", 4);
    ck_assert_int_eq(connect_read_answer(buf, sizeof buf, &answer), CONNECT_DONE);
    ck_assert_uint_eq(answer.length, CONNECT_ANSWER_MAX);
    memcpy(buf + CONNECT_ANSWER_MAX - 4, "x\r\n\r\n", 5);
    ck_assert_int_eq(connect_read_answer(buf, sizeof buf, &answer), CONNECT_TOO_LARGE);
}
END_TEST

START_TEST(interim_answers_without_an_end_are_too_large)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    static char buf[CONNECT_ANSWER_MAX + sizeof interim];
    struct connect_answer answer;
    size_t used = 0;
    while (used < CONNECT_ANSWER_MAX) {
        memcpy(buf + used, interim, sizeof interim - 1);
        used += sizeof interim - 1;
    }
    ck_assert_int_eq(connect_read_answer(buf, used - 100, &answer), CONNECT_MORE);
    ck_assert_int_eq(connect_read_answer(buf, used, &answer), CONNECT_TOO_LARGE);
}
END_TEST

START_TEST(a_long_reason_is_cut)
{
    char buf[500];
    struct connect_answer answer;
    size_t length = (size_t)sprintf(buf, "HTTP/1.1 403 %0*d\r\n\r\n", 300, 7);
    ck_assert_int_eq(connect_read_answer(buf, length, &answer), CONNECT_DONE);
    ck_assert_uint_eq(strlen(answer.reason), CONNECT_REASON_MAX - 1);
    ck_assert_uint_eq(answer.length, length);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connect");
    TCase *tcase = tcase_create("connect");
    SRunner *runner;
    int failed;
    tcase_add_test(tcase, requests_name_the_host_and_bracket_ipv6);
    tcase_add_test(tcase, configured_headers_follow);
    tcase_add_loop_test(tcase, what_is_no_host_is_refused, 0, sizeof bad_hosts / sizeof bad_hosts[0]);
    tcase_add_test(tcase, limits_of_requests);
    tcase_add_loop_test(tcase, an_answer_is_read_whole_or_byte_by_byte, 0, N_GOOD);
    tcase_add_loop_test(tcase, what_is_not_http_is_known_at_once, 0, N_BAD);
    tcase_add_test(tcase, a_header_without_an_end_is_too_large);
    tcase_add_test(tcase, interim_answers_without_an_end_are_too_large);
    tcase_add_test(tcase, a_long_reason_is_cut);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
