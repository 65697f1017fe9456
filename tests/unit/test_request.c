/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "channel/http/request.h"
#include "model/hostname.h"

static void expect_request(const struct conf *conf, const char *host, uint16_t port, const char *text)
{
    char buf[REQUEST_MAX];
    int length = request_write_connect(conf, NULL, host, port, buf, sizeof buf);
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
    length = request_write_ping(&conf, "2001:db8::9", buf, sizeof buf);
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
    ck_assert_int_eq(request_write_connect(&conf, NULL, bad_hosts[_i], 443, buf, sizeof buf), -EINVAL);
    ck_assert_int_eq(request_write_ping(&conf, bad_hosts[_i], buf, sizeof buf), -EINVAL);
}
END_TEST

START_TEST(limits_of_requests)
{
    struct conf conf = {0};
    char host[HOSTNAME_MAX + 2], buf[REQUEST_MAX + 1000], header[REQUEST_MAX];
    static const char text[] = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    const int length = sizeof text - 1;
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i % 64 == 63 ? '.' : 'a';
    host[HOSTNAME_MAX] = 'a';
    host[HOSTNAME_MAX + 1] = '\0';
    ck_assert_int_eq(request_write_connect(&conf, NULL, host, 443, buf, sizeof buf), -EINVAL);
    host[HOSTNAME_MAX] = '\0';
    ck_assert_int_gt(request_write_connect(&conf, NULL, host, 443, buf, sizeof buf), 2 * HOSTNAME_MAX);
    ck_assert_int_eq(request_write_connect(&conf, NULL, "a", 0, buf, sizeof buf), -EINVAL);
    for (int size = 0; size < length; size++) {
        memset(buf, '#', sizeof buf);
        ck_assert_int_eq(request_write_connect(&conf, NULL, "a", 1, buf, (size_t)size), -EMSGSIZE);
        ck_assert_int_eq(buf[size], '#'); /* nothing behind the end */
    }
    ck_assert_int_eq(request_write_connect(&conf, NULL, "a", 1, buf, (size_t)length), length);
    memset(header, 'x', sizeof header);
    header[sizeof header - 1] = '\0';
    conf.headers[0] = header;
    conf.n_headers = 1;
    ck_assert_int_eq(request_write_connect(&conf, NULL, "a", 1, buf, sizeof buf), -EMSGSIZE);
}
END_TEST

/* Whatever a configuration and the host's users are like. */
START_TEST(the_longest_headers_fit)
{
    char host[HOSTNAME_MAX + 1], buf[REQUEST_MAX], user[CONF_USER_NAME_SIZE], header[CONF_HEADERS_BYTES_MAX];
    struct conf conf = {.n_headers = 1, .headers = {header}};
    const struct identity identity = {.user = user};
    memset(header, 'x', sizeof header);
    header[1] = ':';
    for (int i = 0; i < CONF_SPECIFIERS_MAX; i++)
        memcpy(header + 2 + 2 * i, "%u", 2);
    header[sizeof header - 2] = '\0';
    memset(user, '%', sizeof user - 1);
    user[sizeof user - 1] = '\0';
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = i % 64 == 63 ? '.' : 'a';
    host[HOSTNAME_MAX] = '\0';
    ck_assert_int_gt(request_write_connect(&conf, &identity, host, 65535, buf, sizeof buf), 16 * 3 * 255);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request");
    TCase *tcase = tcase_create("request");
    SRunner *runner;
    int failed;
    tcase_add_test(tcase, requests_name_the_host_and_bracket_ipv6);
    tcase_add_test(tcase, configured_headers_follow);
    tcase_add_loop_test(tcase, what_is_no_host_is_refused, 0, sizeof bad_hosts / sizeof bad_hosts[0]);
    tcase_add_test(tcase, limits_of_requests);
    tcase_add_test(tcase, the_longest_headers_fit);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
