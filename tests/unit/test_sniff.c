/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/sniff.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seed.h"
#include "under_filter.h"

#define HELLO_MAX 65536

/* ---- building a ClientHello ---- */

struct bytes {
    unsigned char data[HELLO_MAX];
    size_t n;
};

static void put(struct bytes *bytes, const void *data, size_t n)
{
    ck_assert(bytes->n + n <= HELLO_MAX);
    memcpy(bytes->data + bytes->n, data, n);
    bytes->n += n;
}

static void put_number(struct bytes *bytes, size_t octets, size_t value)
{
    while (octets-- > 0) {
        unsigned char octet = (unsigned char)(value >> (8 * octets));
        put(bytes, &octet, 1);
    }
}

static void put_filler(struct bytes *bytes, size_t n)
{
    while (n-- > 0)
        put(bytes, "f", 1);
}

static void put_server_name(struct bytes *bytes, const char *name)
{
    size_t n = strlen(name);
    put_number(bytes, 2, 0); /* server_name */
    put_number(bytes, 2, n + 5);
    put_number(bytes, 2, n + 3);
    put_number(bytes, 1, 0); /* host_name */
    put_number(bytes, 2, n);
    put(bytes, name, n);
}

static enum { ECH_NONE, ECH_FIRST, ECH_LAST } ech;

static void put_ech(struct bytes *bytes)
{
    put_number(bytes, 2, 0xfe0d);
    put_number(bytes, 2, 200);
    put_filler(bytes, 200);
}

/* The handshake message, without records. filler: size of another extension before server_name. */
static void make_message(struct bytes *message, const char *name, size_t filler)
{
    static struct bytes extensions, body;
    extensions.n = body.n = message->n = 0;
    if (ech == ECH_FIRST)
        put_ech(&extensions);
    if (filler > 0) {
        put_number(&extensions, 2, 21); /* padding */
        put_number(&extensions, 2, filler);
        put_filler(&extensions, filler);
    }
    if (name)
        put_server_name(&extensions, name);
    if (ech == ECH_LAST)
        put_ech(&extensions);
    put_number(&body, 2, 0x0303);
    put_filler(&body, 32);
    put_number(&body, 1, 32);
    put_filler(&body, 32);
    put_number(&body, 2, 4);
    put_number(&body, 4, 0x13011302);
    put_number(&body, 1, 1);
    put_number(&body, 1, 0);
    put_number(&body, 2, extensions.n);
    put(&body, extensions.data, extensions.n);
    put_number(message, 1, 1);
    put_number(message, 3, body.n);
    put(message, body.data, body.n);
}

static void make_hello(struct bytes *hello, const char *name, size_t filler, size_t record)
{
    static struct bytes message;
    make_message(&message, name, filler);
    hello->n = 0;
    for (size_t at = 0; at < message.n; at += record) {
        size_t n = message.n - at < record ? message.n - at : record;
        put_number(hello, 1, 22);
        put_number(hello, 2, 0x0301);
        put_number(hello, 2, n);
        put(hello, message.data + at, n);
    }
}

/* Feeds every prefix from an exactly sized allocation, so that a sanitizer sees a read beyond it. */
static size_t bytes_until_done(const unsigned char *data, size_t n, struct sniff *ret_sniff)
{
    for (size_t length = 0; length <= n; length++) {
        unsigned char *copy = malloc(length ? length : 1);
        memcpy(copy, data, length);
        enum sniff_result result = sniff_bytes(copy, length, ret_sniff);
        free(copy);
        if (result == SNIFF_DONE)
            return length;
    }
    return 0;
}

static enum sniff_result sniff_text(const char *text, struct sniff *ret_sniff)
{
    return sniff_bytes((const unsigned char *)text, strlen(text), ret_sniff);
}

static void assert_host(const char *value, const char *expected)
{
    char text[1024];
    struct sniff sniff;
    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", value);
    ck_assert_int_eq(sniff_text(text, &sniff), SNIFF_DONE);
    ck_assert_int_eq(sniff.kind, SNIFF_HTTP);
    ck_assert_str_eq(sniff.name, expected);
}

/* ---- TLS ---- */

START_TEST(hello_byte_by_byte_is_done_exactly_at_its_end)
{
    static const size_t records[] = {16384, 100, 7, 1};
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "www.Example.COM", 0, records[_i]);
    ck_assert_uint_eq(bytes_until_done(hello.data, hello.n, &sniff), hello.n);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
    ck_assert_str_eq(sniff.name, "www.example.com");
}
END_TEST

START_TEST(hello_with_a_16_kb_extension_gives_its_name)
{
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "big.example", 16384, 16384);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n - 1, &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "big.example");
}
END_TEST

START_TEST(hello_without_sni_is_tls_without_a_name)
{
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, NULL, 10, 16384);
    ck_assert_uint_eq(bytes_until_done(hello.data, hello.n, &sniff), hello.n);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

/* Before and behind the server name, and without one. */
START_TEST(an_encrypted_hello_is_marked_and_keeps_its_outer_name)
{
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "outer.example", _i, 16384);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert(!sniff.ech);
    ech = _i % 2 ? ECH_FIRST : ECH_LAST;
    make_hello(&hello, _i < 2 ? "outer.example" : NULL, _i, 16384);
    ck_assert_uint_eq(bytes_until_done(hello.data, hello.n, &sniff), hello.n);
    ck_assert(sniff.ech);
    ck_assert_str_eq(sniff.name, _i < 2 ? "outer.example" : "");
}
END_TEST

START_TEST(hello_beyond_the_limit_gives_up_on_a_name)
{
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "far.example", 40000, 16384);
    ck_assert_uint_lt(bytes_until_done(hello.data, 100, &sniff), 20);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
    ck_assert_str_eq(sniff.name, "");
    /* Says a small size, but arrives in records so small that the headers alone fill the limit. */
    make_hello(&hello, "far.example", 7000, 1);
    ck_assert_uint_eq(bytes_until_done(hello.data, hello.n, &sniff), SNIFF_MAX);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

START_TEST(what_only_begins_like_tls_is_not)
{
    static const unsigned char not_tls[][8] = {
        {22, 3, 1, 0, 10, 2}, /* not a ClientHello */
        {22, 2, 0},           /* SSL 2 and a half */
        {22, 3, 9},           /* no such version */
        {0x80, 46, 1, 3, 1},  /* SSL 2 */
        {21, 3, 1, 0, 2, 1},  /* an alert */
    };
    struct sniff sniff;
    ck_assert_uint_gt(bytes_until_done(not_tls[_i], sizeof not_tls[_i], &sniff), 0);
    ck_assert_int_eq(sniff.kind, SNIFF_OTHER);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

/* The second of two records: one byte of its header is wrong. */
START_TEST(a_record_of_another_kind_ends_the_search_for_a_name)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } damages[] = {{0, 21}, {1, 2}, {3, 0x41}};
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "www.example.com", 0, 40);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "www.example.com");
    hello.data[45 + damages[_i].at] = damages[_i].byte;
    ck_assert_int_eq(sniff_bytes(hello.data, 45, &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

/* TLS has no empty handshake records: one that would go on for ever costs nothing. */
START_TEST(an_empty_record_ends_the_search_for_a_name)
{
    static struct bytes whole, hello;
    struct sniff sniff;
    make_hello(&whole, "www.example.com", 0, 40);
    hello = whole;
    memcpy(hello.data + 45, "\26\3\1\0\0", 5);
    memcpy(hello.data + 50, whole.data + 45, whole.n - 45);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n + 5, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

START_TEST(broken_hellos_are_done_without_a_name)
{
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, "www.example", 0, 16384);
    hello.data[3] = hello.data[4] = 0; /* an empty record */
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "");
    make_hello(&hello, "www.example", 0, 50);
    hello.data[55] = 23; /* the second record is not a handshake */
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "");
    make_hello(&hello, "www.example", 0, 16384);
    hello.data[hello.n - 11 - 2] = 0xff; /* the name is longer than its list */
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

START_TEST(sni_that_is_no_host_name_is_ignored)
{
    static const char *const bad[] = {"192.0.2.7", "2001:db8::1", "a b",  "a\r\nX: y",       "",
                                      ".",         "a..b",        ".a",   "127.1",           "1.0x7f",
                                      "0x7f.1",    "a/b",         "a:80", "\xc3\xa4.example"};
    static struct bytes hello;
    struct sniff sniff;
    make_hello(&hello, bad[_i], 0, 16384);
    ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

START_TEST(sni_of_the_longest_name_passes_and_one_more_does_not)
{
    static struct bytes hello;
    struct sniff sniff;
    char name[260];
    for (size_t i = 0; i < 255; i++)
        name[i] = i % 64 == 63 ? '.' : 'x';
    name[253] = '\0';
    make_hello(&hello, name, 0, 16384);
    sniff_bytes(hello.data, hello.n, &sniff);
    ck_assert_str_eq(sniff.name, name);
    name[253] = 'x';
    name[254] = '\0';
    make_hello(&hello, name, 0, 16384);
    sniff_bytes(hello.data, hello.n, &sniff);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

/* Whatever is damaged: no crash, a name is empty or valid, and once done it stays done. */
START_TEST(damaged_hellos_are_survived)
{
    static struct bytes hello;
    struct sniff sniff;
    srand(seed_of_run() ^ (unsigned)_i);
    for (int round = 0; round < 2000; round++) {
        make_hello(&hello, "www.example.com", (size_t)(rand() % 40), (size_t)(1 + rand() % 300));
        for (int damage = rand() % 4; damage >= 0; damage--)
            hello.data[(size_t)rand() % hello.n] = (unsigned char)rand();
        size_t done = bytes_until_done(hello.data, hello.n, &sniff);
        for (const char *c = sniff.name; *c; c++)
            ck_assert(strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", *c));
        if (done > 0 && done < hello.n)
            ck_assert_int_eq(sniff_bytes(hello.data, hello.n, &sniff), SNIFF_DONE);
    }
}
END_TEST

/* ---- HTTP ---- */

START_TEST(host_byte_by_byte_is_done_at_the_end_of_its_line)
{
    static const char text[] = "GET /a HTTP/1.1\r\nUser-Agent: x\r\nhOsT:  Www.Example.com:8080 \r\nAccept: y\r\n\r\n";
    struct sniff sniff;
    size_t line_end = (size_t)(strstr(text, "Accept") - text);
    ck_assert_uint_eq(bytes_until_done((const unsigned char *)text, sizeof text - 1, &sniff), line_end);
    ck_assert_int_eq(sniff.kind, SNIFF_HTTP);
    ck_assert_str_eq(sniff.name, "www.example.com");
}
END_TEST

START_TEST(hosts_of_all_shapes)
{
    assert_host("www.example.com", "www.example.com");
    assert_host("www.example.com.", "www.example.com");
    assert_host("www.example.com:", "www.example.com");
    assert_host("www.example.com:80", "www.example.com");
    assert_host("server7", "server7");
    assert_host("a_b.example", "a_b.example");
    assert_host("192.0.2.7", "");
    assert_host("192.0.2.7:80", "");
    assert_host("[2001:db8::1]", "");
    assert_host("[2001:db8::1]:80", "");
    assert_host("", "");
    assert_host(":80", "");
    assert_host("a b", "");
    assert_host("user@host", "");
}
END_TEST

START_TEST(header_without_host_is_done_at_its_end)
{
    struct sniff sniff;
    ck_assert_int_eq(sniff_text("GET / HTTP/1.0\r\nX-Host: a.example\r\n", &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff_text("GET / HTTP/1.0\r\nX-Host: a.example\r\n\r\n", &sniff), SNIFF_DONE);
    ck_assert_int_eq(sniff.kind, SNIFF_HTTP);
    ck_assert_str_eq(sniff.name, "");
    ck_assert_int_eq(sniff_text("GET / HTTP/1.0\nHost: bare.example\n\n", &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "bare.example");
}
END_TEST

START_TEST(host_that_never_ends_is_given_up)
{
    static unsigned char text[SNIFF_HTTP_MAX + 1000];
    static const char begin[] = "GET / HTTP/1.1\r\nHost: ";
    struct sniff sniff;
    memset(text, 'a', sizeof text);
    memcpy(text, begin, sizeof begin - 1);
    ck_assert_int_eq(sniff_bytes(text, SNIFF_HTTP_MAX - 1, &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff.kind, SNIFF_HTTP);
    ck_assert_int_eq(sniff_bytes(text, SNIFF_HTTP_MAX, &sniff), SNIFF_DONE);
    ck_assert_str_eq(sniff.name, "");
    ck_assert_int_eq(sniff_bytes(text, sizeof text, &sniff), SNIFF_DONE);
}
END_TEST

START_TEST(other_protocols_are_recognised_as_such)
{
    static const char *const texts[] = {"SSH-2.0-OpenSSH_9.2\r\n",
                                        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                        "HELO mail.example\r\n",
                                        "get / http/1.1\r\n",
                                        " GET / HTTP/1.1\r\n",
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n",
                                        "GET /\r\n",
                                        "GET / HTTP/1.x\r\n",
                                        "\r\n"};
    struct sniff sniff;
    ck_assert_int_eq(sniff_text(texts[_i], &sniff), SNIFF_DONE);
    ck_assert_int_eq(sniff.kind, SNIFF_OTHER);
    ck_assert_str_eq(sniff.name, "");
}
END_TEST

static const struct {
    const char *text;
    bool request, for_proxy;
    const char *name;
} requests[] = {
    {"GET / HTTP/1.1\r\nHost: a.example\r\n", true, false, "a.example"},
    {"GET / HTTP/1.1\r\n", true, false, ""},
    {"GET / HTTP/1.1", false, false, ""},
    {"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n", true, true, ""},
    {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n", true, true, ""},
    {"PRI * HTTP/2.0\r\n\r\n", false, false, ""},
};

START_TEST(requests_and_what_is_said_to_another_proxy_are_told_apart)
{
    struct sniff sniff;
    (void)sniff_text(requests[_i].text, &sniff);
    ck_assert_int_eq(sniff.request, requests[_i].request);
    ck_assert_int_eq(sniff.for_proxy, requests[_i].for_proxy);
    ck_assert_str_eq(sniff.name, requests[_i].name);
}
END_TEST

START_TEST(nothing_and_beginnings_want_more)
{
    struct sniff sniff;
    ck_assert_int_eq(sniff_bytes(NULL, 0, &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff.kind, SNIFF_OTHER);
    ck_assert_int_eq(sniff_text("G", &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff.kind, SNIFF_HTTP);
    ck_assert_int_eq(sniff_text("\x16", &sniff), SNIFF_MORE);
    ck_assert_int_eq(sniff.kind, SNIFF_TLS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sniff");
    TCase *tls = tcase_create("TLS"), *http = tcase_create("HTTP");
    tcase_set_timeout(tls, 60);
    tcase_add_loop_test(http, requests_and_what_is_said_to_another_proxy_are_told_apart, 0,
                        sizeof requests / sizeof requests[0]);
    tcase_add_loop_test(tls, hello_byte_by_byte_is_done_exactly_at_its_end, 0, 4);
    tcase_add_test(tls, hello_with_a_16_kb_extension_gives_its_name);
    tcase_add_test(tls, hello_without_sni_is_tls_without_a_name);
    tcase_add_loop_test(tls, an_encrypted_hello_is_marked_and_keeps_its_outer_name, 0, 4);
    tcase_add_test(tls, hello_beyond_the_limit_gives_up_on_a_name);
    tcase_add_loop_test(tls, what_only_begins_like_tls_is_not, 0, 5);
    tcase_add_loop_test(tls, a_record_of_another_kind_ends_the_search_for_a_name, 0, 3);
    tcase_add_test(tls, an_empty_record_ends_the_search_for_a_name);
    tcase_add_test(tls, broken_hellos_are_done_without_a_name);
    tcase_add_loop_test(tls, sni_that_is_no_host_name_is_ignored, 0, 14);
    tcase_add_test(tls, sni_of_the_longest_name_passes_and_one_more_does_not);
    tcase_add_loop_test(tls, damaged_hellos_are_survived, 0, 2);
    tcase_add_test(http, host_byte_by_byte_is_done_at_the_end_of_its_line);
    tcase_add_test(http, hosts_of_all_shapes);
    tcase_add_test(http, header_without_host_is_done_at_its_end);
    tcase_add_test(http, host_that_never_ends_is_given_up);
    tcase_add_loop_test(http, other_protocols_are_recognised_as_such, 0, 9);
    tcase_add_test(http, nothing_and_beginnings_want_more);
    suite_add_tcase(suite, tls);
    suite_add_tcase(suite, http);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
