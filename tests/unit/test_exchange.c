/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question on a socket pair, the proxy's end of which is the test's. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/http/exchange.h"
#include "under_filter.h"

static struct stream *stream;
static int peer;
static struct exchange exchange;
static bool want_write;

static void setup(void)
{
    const struct conf conf = {0};
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_ptr_nonnull(stream = stream_new_plain(fds[0]));
    peer = fds[1];
    memset(&exchange, 0, sizeof exchange);
    ck_assert_int_eq(exchange_ask(&exchange, &conf, NULL, "www.example", 443), 0);
    ck_assert_int_eq(exchange_step(&exchange, stream, &want_write), EXCHANGE_AGAIN);
}

static void teardown(void)
{
    exchange_fini(&exchange);
    stream_free(stream, true);
    close(peer);
}

static enum exchange_result say(const char *text)
{
    ck_assert_int_eq(send(peer, text, strlen(text), 0), strlen(text));
    return exchange_step(&exchange, stream, &want_write);
}

START_TEST(nothing_is_held_while_the_proxy_thinks)
{
    ck_assert_ptr_null(exchange.request);
    ck_assert_ptr_null(exchange.line);
    ck_assert_int_eq(say("HTTP/1.1 102 Processing\r\n"), EXCHANGE_AGAIN);
    ck_assert_ptr_null(exchange.line);
    ck_assert_int_eq(say("\r\nHTTP/1.1 2"), EXCHANGE_AGAIN);
    ck_assert_uint_eq(exchange.line_length, 10);
    ck_assert_int_eq(say("00 OK\r\n"), EXCHANGE_AGAIN);
    ck_assert_ptr_null(exchange.line);
    ck_assert_int_eq(say("\r\n"), EXCHANGE_DONE);
    ck_assert_int_eq(exchange.answer.status, 200);
}
END_TEST

/* A field of 60 KB, and the tunnel's bytes right behind the answer. */
START_TEST(a_long_field_is_read_and_what_follows_is_given_back)
{
    static char field[60001], back[8];
    size_t count = 0;
    memset(field, 'x', sizeof field - 1);
    ck_assert_int_eq(say("HTTP/1.1 200 OK\r\nSet-Cookie: "), EXCHANGE_AGAIN);
    for (size_t at = 0; at < sizeof field - 1; at += 6000)
        ck_assert_int_eq(say(field + sizeof field - 1 - 6000), EXCHANGE_AGAIN);
    ck_assert_uint_le(exchange.line_size, ANSWER_MAX);
    ck_assert_int_eq(say("\r\n\r\nbehind"), EXCHANGE_DONE);
    ck_assert_int_eq(stream_read(stream, back, sizeof back, &count), STREAM_OK);
    ck_assert_uint_eq(count, 6);
    ck_assert_mem_eq(back, "behind", 6);
}
END_TEST

static void expect_given_back(const char *text)
{
    char back[200];
    size_t length = 0, count;
    while (stream_read(stream, back + length, sizeof back - length, &count) == STREAM_OK)
        length += count;
    ck_assert_uint_eq(length, strlen(text));
    ck_assert_mem_eq(back, text, length);
}

START_TEST(an_answer_that_refuses_can_be_read_once_more)
{
    exchange.keeps = true;
    ck_assert_int_eq(say("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 4"), EXCHANGE_AGAIN);
    ck_assert_int_eq(say("03 No\r\nContent-Length: 2\r\n"), EXCHANGE_AGAIN);
    ck_assert_int_eq(say("\r\nno"), EXCHANGE_DONE);
    ck_assert_int_eq(exchange.answer.status, 403);
    expect_given_back("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
}
END_TEST

START_TEST(one_that_accepts_is_not_the_tunnels)
{
    exchange.keeps = true;
    ck_assert_int_eq(say("HTTP/1.1 200 OK\r\n"), EXCHANGE_AGAIN);
    ck_assert_int_eq(say("\r\nhi"), EXCHANGE_DONE);
    expect_given_back("hi");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tcase = tcase_create("exchange");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, nothing_is_held_while_the_proxy_thinks);
    tcase_add_test(tcase, a_long_field_is_read_and_what_follows_is_given_back);
    tcase_add_test(tcase, an_answer_that_refuses_can_be_read_once_more);
    tcase_add_test(tcase, one_that_accepts_is_not_the_tunnels);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
