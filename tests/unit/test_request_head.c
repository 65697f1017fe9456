/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of clients: what goes on to the proxy, and what must not become a request at all. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/request_head.h"

#define GET  "GET /x HTTP/1.1\r\nHost: a.example\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a.example\r\n"

static const struct conf no_headers;

static bool read_text(const char *text, struct request_head *ret_head, struct head_fault *ret_fault)
{
    size_t checked = 0, length = head_find_end(text, strlen(text), &checked);
    ck_assert_msg(length == strlen(text), "the end of \"%s\" was found at %zu", text, length);
    return request_head_read((struct span){text, length}, ret_head, ret_fault);
}

static void expect_onward(const struct conf *conf, const char *text, uint16_t port, const char *expected)
{
    struct request_head head;
    struct head_fault fault = {0, ""};
    char buf[4096];
    ck_assert_msg(read_text(text, &head, &fault), "\"%s\": %d, %s", text, fault.status, fault.why);
    const struct request_target target = {.conf = conf, .default_host = "2001:db8::7", .port = port};
    int length = request_head_write(&head, &target, buf, sizeof buf - 1);
    ck_assert_int_gt(length, 0);
    buf[length] = '\0';
    ck_assert_str_eq(buf, expected);
}

/* ---- what goes on ---- */

#define ABS(target, host) "GET http://" target " HTTP/1.1\r\nHost: " host "\r\n"
#define END               "Via: 1.1 penstock\r\n\r\n"
#define HTTP10(more)      "GET / HTTP/1.0\r\n" more "\r\n"

static const struct {
    const char *text, *onward;
    uint16_t port;
} good[] = {
    {GET "\r\n", ABS("a.example/x", "a.example") END, 80},
    {"GET / HTTP/1.1\nHost:a.example\n\n", ABS("a.example/", "a.example") END, 80},
    {GET "Accept:  */*\t \r\nEmpty:\r\n\r\n", ABS("a.example/x", "a.example") "Accept: */*\r\nEmpty: \r\n" END, 80},
    {"GET /?q=a HTTP/1.1\r\nHost: A.Example:80\r\n\r\n", ABS("A.Example:80/?q=a", "A.Example:80") END, 80},
    /* The port that the client dialled is the one. */
    {GET "\r\n", ABS("a.example:8080/x", "a.example:8080") END, 8080},
    {"GET / HTTP/1.1\r\nHost: a.example:81\r\n\r\n", ABS("a.example/", "a.example") END, 80},
    {"GET / HTTP/1.1\r\nHost: a.example:81\r\n\r\n", ABS("a.example:81/", "a.example:81") END, 81},
    {"GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", ABS("a.example/", "a.example") END, 80},
    {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", ABS("[2001:db8::1]:8080/", "[2001:db8::1]:8080") END, 8080},
    {"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", ABS("192.0.2.1/", "192.0.2.1") END, 80},
    /* No host, or none said: the address. */
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", ABS("[2001:db8::7]/", "[2001:db8::7]") END, 80},
    {HTTP10(""), ABS("[2001:db8::7]:81/", "[2001:db8::7]:81") "Via: 1.0 penstock\r\n\r\n", 81},
    {HTTP10("Host: a.example\r\nExpect: 100-continue\r\n"), ABS("a.example/", "a.example") "Via: 1.0 penstock\r\n\r\n",
     80},
    /* Forms. */
    {"GET http://a.example/y HTTP/1.1\r\nHost: A.example\r\n\r\n", ABS("a.example/y", "a.example") END, 80},
    {"GET HTTP://a.example HTTP/1.1\r\nHost: a.example:80\r\n\r\n", ABS("a.example/", "a.example") END, 80},
    {"GET http://a.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n", ABS("a.example/?q", "a.example") END, 80},
    {"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n" END,
     80},
    {"OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n",
     "OPTIONS http://a.example HTTP/1.1\r\nHost: a.example\r\n" END, 80},
    {"M-SEARCH! /\xc3\xa4 HTTP/1.3\r\nHost: a.example\r\n\r\n",
     "M-SEARCH! http://a.example/\xc3\xa4 HTTP/1.1\r\nHost: a.example\r\nVia: 1.3 penstock\r\n\r\n", 80},
    /* For one hop only. */
    {GET "Connection: keep-alive, X-Mine,\r\nX-Mine: 1\r\nx-yours: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
         "Proxy-Authorization: Basic eDp5\r\nProxy-Connection: close\r\n\r\n",
     ABS("a.example/x", "a.example") "x-yours: 2\r\n" END, 80},
    {GET "X-Mine: 1\r\nX-Later: 2\r\nConnection: x-LATER\r\nConnection: x-mine\r\n\r\n",
     ABS("a.example/x", "a.example") END, 80},
    {GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n",
     ABS("a.example/x", "a.example") END, 80},
    /* Lengths, which Connection cannot take away. */
    {POST "Content-Length: 007\r\nConnection: Content-Length, Host\r\n\r\n",
     "POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 7\r\n" END, 80},
    {POST "transfer-encoding: Chunked\r\nTrailer: X\r\nExpect: 100-continue\r\n\r\n",
     "POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\nTrailer: X\r\nExpect: 100-continue\r\n"
     "Transfer-Encoding: chunked\r\n" END,
     80},
    {GET "Via: 1.0 b\r\n\r\n", ABS("a.example/x", "a.example") "Via: 1.0 b\r\n" END, 80},
};

START_TEST(a_request_goes_on_in_absolute_form)
{
    expect_onward(&no_headers, good[_i].text, good[_i].port, good[_i].onward);
}
END_TEST

START_TEST(configured_fields_are_added_and_never_come_from_the_client)
{
    struct conf conf = {.n_headers = 2};
    conf.headers[0] = (char *)"X-User: root";
    conf.headers[1] = (char *)"Proxy-Authorization: Basic eDp5";
    expect_onward(&conf, GET "x-user: me\r\nX_USER: me\r\nX-User-Id: 7\r\nX-User:\r\nPROXY-AUTHORIZATION: no\r\n\r\n",
                  80,
                  ABS("a.example/x", "a.example") "X-User-Id: 7\r\nVia: 1.1 penstock\r\nX-User: root\r\n"
                                                  "Proxy-Authorization: Basic eDp5\r\n\r\n");
    conf.headers[1] = (char *)"X_Other: 1";
    expect_onward(&conf, GET "x-other: me\r\nX_OTHER: me\r\n\r\n", 80,
                  ABS("a.example/x", "a.example") "Via: 1.1 penstock\r\nX-User: root\r\nX_Other: 1\r\n\r\n");
    ck_assert(request_field_is_ours("x_uSER", 6, &conf));
    ck_assert(request_field_is_ours("content-length", 14, &conf));
    ck_assert(!request_field_is_ours("x-use", 5, &conf));
    ck_assert(!request_field_is_ours("x-user-", 7, &conf));
}
END_TEST

START_TEST(what_does_not_fit_is_not_written)
{
    struct request_head head;
    struct head_fault fault;
    char buf[4096];
    const struct request_target target = {.conf = &no_headers, .default_host = "192.0.2.1", .port = 80};
    ck_assert(read_text(GET "\r\n", &head, &fault));
    int length = request_head_write(&head, &target, buf, sizeof buf);
    ck_assert_int_eq(request_head_write(&head, &target, buf, (size_t)length), length);
    buf[length - 1] = 'x';
    ck_assert_int_eq(request_head_write(&head, &target, buf, (size_t)length - 1), -EMSGSIZE);
    ck_assert_int_eq(buf[length - 1], 'x');
}
END_TEST

/* ---- what is known about it ---- */

static const struct {
    const char *text;
    enum framing_kind framing;
    uint64_t length;
    bool keep_alive, expects, upgrade, binds, repeatable;
} facts[] = {
    {GET "\r\n", FRAMING_NONE, 0, true, false, false, false, true},
    {GET "Connection: Close\r\n\r\n", FRAMING_NONE, 0, false, false, false, false, true},
    {HTTP10(""), FRAMING_NONE, 0, false, false, false, false, true},
    {HTTP10("Connection: foo, Keep-Alive\r\n"), FRAMING_NONE, 0, true, false, false, false, true},
    {HTTP10("Connection: Upgrade\r\nUpgrade: websocket\r\n"), FRAMING_NONE, 0, false, false, false, false, true},
    {POST "\r\n", FRAMING_NONE, 0, true, false, false, false, false},
    {POST "Content-Length: 18446744073709\r\nExpect: 100-Continue\r\n\r\n", FRAMING_LENGTH, 18446744073709, true, true,
     false, false, false},
    {GET "Content-Length: 0\r\n\r\n", FRAMING_LENGTH, 0, true, false, false, false, true},
    {GET "Content-Length: 1\r\n\r\n", FRAMING_LENGTH, 1, true, false, false, false, false},
    {GET "Transfer-Encoding: chunked\r\n\r\n", FRAMING_CHUNKED, 0, true, false, false, false, false},
    {GET "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", FRAMING_NONE, 0, true, false, true, false,
     true},
    {GET "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n", FRAMING_NONE, 0, true, false, true, false, true},
    {GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", FRAMING_NONE, 0, true, false, false, false, true},
    {GET "Upgrade: websocket\r\n\r\n", FRAMING_NONE, 0, true, false, false, false, true},
    {GET "Authorization: NTLM TlRMTVNTUAAB\r\n\r\n", FRAMING_NONE, 0, true, false, false, true, true},
    {GET "Authorization: negotiate YII=\r\n\r\n", FRAMING_NONE, 0, true, false, false, true, true},
    {GET "Authorization: Basic NTLM\r\n\r\n", FRAMING_NONE, 0, true, false, false, false, true},
};

START_TEST(what_follows_a_request_is_known)
{
    struct request_head head;
    struct head_fault fault;
    ck_assert(read_text(facts[_i].text, &head, &fault));
    ck_assert_int_eq(head.framing.kind, facts[_i].framing);
    ck_assert_uint_eq(head.framing.length, facts[_i].length);
    ck_assert_int_eq(head.keep_alive, facts[_i].keep_alive);
    ck_assert_int_eq(head.expects_continue, facts[_i].expects);
    ck_assert_int_eq(head.upgrade, facts[_i].upgrade);
    ck_assert_int_eq(head.binds, facts[_i].binds);
    ck_assert_int_eq(head.repeatable, facts[_i].repeatable);
}
END_TEST

/* ---- what is refused ---- */

static const struct {
    const char *text;
    int status;
} bad[] = {
    /* The request line. */
    {"GET /x\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x HTTP/0.9\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x HTTP/2.0\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x HTTP/1.10\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x http/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x HTTP/1.1 \r\nHost: a.example\r\n\r\n", 400},
    {"GET  /x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET\t/x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x y HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x\tHTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x#y HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\r\nHost: a.example\r\n\r\n", 400},
    {" GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"G(T /x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET http://a.example:0/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"GET http://a.example:65536/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
    /* Host. */
    {"GET /x HTTP/1.1\r\n\r\n", 400},
    {GET "Host: a.example\r\n\r\n", 400},
    {GET "host: b.example\r\n\r\n", 400},
    {HTTP10("Host: a.example\r\nHost: b.example\r\n"), 400},
    {"GET /x HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: a.example/y\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: u@a.example\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: a.example:80:80\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: a.example:99999\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n", 400},
    {"GET /x HTTP/1.1\r\nHost: 127.1\r\n\r\n", 400},
    {"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", 400},
    {"GET http://a.example/ HTTP/1.1\r\nHost: a.example:81\r\n\r\n", 400},
    {"GET http://a.example/ HTTP/1.1\r\nHost:\r\n\r\n", 400},
    /* Both lengths, several, or none that is one. */
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
    {POST "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n", 400},
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
    {POST "Content-Length: 5, 5\r\n\r\n", 400},
    {POST "Content-Length: +5\r\n\r\n", 400},
    {POST "Content-Length: -5\r\n\r\n", 400},
    {POST "Content-Length: 0x5\r\n\r\n", 400},
    {POST "Content-Length: 5 5\r\n\r\n", 400},
    {POST "Content-Length:\r\n\r\n", 400},
    {POST "Content-Length: 99999999999999999999\r\n\r\n", 400},
    {POST "Content-Length : 5\r\n\r\n", 400},
    /* Codings. */
    {"POST /x HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
    {POST "Transfer-Encoding: identity\r\n\r\n", 501},
    {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
    {POST "Transfer-Encoding: chunked;x\r\n\r\n", 501},
    {POST "Transfer-Encoding:\r\n\r\n", 501},
    {POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     400},
    {POST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding\t: chunked\r\n\r\n", 400},
    {POST " Transfer-Encoding: chunked\r\n\r\n", 400},
    {POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400},
    {POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", 400},
    {POST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
    /* Lines that are no fields. */
    {GET "X: a\r\n b\r\n\r\n", 400},
    {GET "X: a\r\n\tb\r\n\r\n", 400},
    {GET "X\r\n\r\n", 400},
    {GET ": y\r\n\r\n", 400},
    {GET "X y: z\r\n\r\n", 400},
    {GET "X\xe4: z\r\n\r\n", 400},
    {GET "X: a\rb\r\n\r\n", 400},
    {GET "X: a\r\r\n\r\n", 400},
    {GET "X: a\x01\r\n\r\n", 400},
    {GET "X: a\x7f\r\n\r\n", 400},
};

START_TEST(what_could_be_read_in_two_ways_is_refused)
{
    struct request_head head;
    struct head_fault fault = {0, ""};
    ck_assert_msg(!read_text(bad[_i].text, &head, &fault), "taken: \"%s\"", bad[_i].text);
    ck_assert_msg(fault.status == bad[_i].status, "\"%s\": %d, %s", bad[_i].text, fault.status, fault.why);
}
END_TEST

START_TEST(a_nul_is_refused_wherever_it_stands)
{
    static const char text[] = GET "X-Some: value\r\n\r\n";
    struct request_head head;
    struct head_fault fault;
    ck_assert(request_head_read((struct span){text, sizeof text - 1}, &head, &fault));
    for (size_t i = 0; i < sizeof text - 5; i++) {
        char copy[sizeof text];
        if (text[i] == '\r' || text[i] == '\n')
            continue;
        memcpy(copy, text, sizeof text);
        copy[i] = '\0';
        ck_assert_msg(!request_head_read((struct span){copy, sizeof text - 1}, &head, &fault), "at %zu", i);
    }
}
END_TEST

static char *repeat(const char *first, const char *line, unsigned times)
{
    char *text = malloc(strlen(first) + times * strlen(line) + 3);
    strcpy(text, first);
    char *end = text + strlen(text);
    for (unsigned i = 0; i < times; i++)
        end = stpcpy(end, line);
    strcpy(end, "\r\n");
    return text;
}

START_TEST(fields_and_what_connection_names_have_a_number)
{
    struct request_head head;
    struct head_fault fault = {0, ""};
    char *text = repeat(GET, "a:b\r\n", FIELDS_MAX - 1);
    ck_assert(read_text(text, &head, &fault));
    free(text);
    text = repeat(GET, "a:b\r\n", FIELDS_MAX);
    ck_assert(!read_text(text, &head, &fault));
    ck_assert_int_eq(fault.status, 431);
    free(text);
    text = repeat(GET, "Connection:b\r\n", HOPS_MAX + 1);
    ck_assert(!read_text(text, &head, &fault));
    ck_assert_int_eq(fault.status, 400);
    free(text);
    text = repeat(GET "Connection: ", "abcdefghijklmno,", HOPS_BYTES_MAX / 16 + 1);
    memcpy(text + strlen(text) - 2, "\n\n", 2);
    ck_assert(!read_text(text, &head, &fault));
    ck_assert_int_eq(fault.status, 400);
    free(text);
}
END_TEST

/* ---- where it begins and ends ---- */

static const struct {
    const char *text;
    size_t end; /* 0: not there */
} ends[] = {
    {"", 0},           {"GET", 0},         {"a\r\n", 0},
    {"a\r\n\r", 0},    {"a\r\n\r\n", 5},   {"a\n\n", 3},
    {"a\n\r\nb", 4},   {"a\r\n\nb", 4},    {"a\r\nb\r\n\r\nc\r\n\r\n", 8},
    {"a\n\rb\n\n", 6}, {"a\r\r\n\r\n", 6},
};

START_TEST(the_end_is_found_however_the_bytes_come)
{
    const char *text = ends[_i].text;
    for (size_t part = 1; part <= strlen(text) + 1; part++) {
        size_t checked = 0, found = 0, length = 0;
        while (!found && length < strlen(text)) {
            length = length + part < strlen(text) ? length + part : strlen(text);
            found = head_find_end(text, length, &checked);
        }
        ck_assert_msg(found == ends[_i].end, "\"%s\" in parts of %zu: %zu", text, part, found);
    }
}
END_TEST

START_TEST(empty_lines_before_a_request_are_passed_over)
{
    ck_assert_uint_eq(head_empty_lines("\r\n\n\r\nGET", 8), 5);
    ck_assert_uint_eq(head_empty_lines("\r", 1), 0);
    ck_assert_uint_eq(head_empty_lines("\rG", 2), 0);
    ck_assert_uint_eq(head_empty_lines("GET", 3), 0);
}
END_TEST

static bool for_a_proxy(const char *line)
{
    return request_line_is_for_a_proxy((struct span){line, strlen(line)});
}

START_TEST(what_a_client_says_to_its_own_proxy_is_recognised)
{
    ck_assert(for_a_proxy("CONNECT a.example:443 HTTP/1.1"));
    ck_assert(for_a_proxy("CONNECT /x HTTP/1.1"));
    ck_assert(for_a_proxy("GET http://a.example/ HTTP/1.1"));
    ck_assert(for_a_proxy("GET ftp://a.example/ HTTP/1.0"));
    ck_assert(!for_a_proxy("GET / HTTP/1.1"));
    ck_assert(!for_a_proxy("OPTIONS * HTTP/1.1"));
    ck_assert(!for_a_proxy("GET /http://a.example/ HTTP/1.1"));
    ck_assert(!for_a_proxy("GET"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request_head");
    TCase *tcase = tcase_create("request_head");
    tcase_add_loop_test(tcase, a_request_goes_on_in_absolute_form, 0, sizeof good / sizeof good[0]);
    tcase_add_test(tcase, configured_fields_are_added_and_never_come_from_the_client);
    tcase_add_test(tcase, what_does_not_fit_is_not_written);
    tcase_add_loop_test(tcase, what_follows_a_request_is_known, 0, sizeof facts / sizeof facts[0]);
    tcase_add_loop_test(tcase, what_could_be_read_in_two_ways_is_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, a_nul_is_refused_wherever_it_stands);
    tcase_add_test(tcase, fields_and_what_connection_names_have_a_number);
    tcase_add_loop_test(tcase, the_end_is_found_however_the_bytes_come, 0, sizeof ends / sizeof ends[0]);
    tcase_add_test(tcase, empty_lines_before_a_request_are_passed_over);
    tcase_add_test(tcase, what_a_client_says_to_its_own_proxy_is_recognised);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
