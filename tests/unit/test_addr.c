/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "model/addr.h"

static struct addr parsed(const char *text, uint16_t port)
{
    struct addr addr;
    ck_assert_msg(addr_parse(text, port, &addr), "%s", text);
    return addr;
}

static const struct {
    const char *in, *host, *whole;
} good[] = {
    {"192.0.2.7", "192.0.2.7", "192.0.2.7:8081"},
    {"0.0.0.0", "0.0.0.0", "0.0.0.0:8081"},
    {"255.255.255.255", "255.255.255.255", "255.255.255.255:8081"},
    {"2001:db8::1", "2001:db8::1", "[2001:db8::1]:8081"},
    {"[2001:db8::1]", "2001:db8::1", "[2001:db8::1]:8081"},
    {"::", "::", "[::]:8081"},
    {"fe80::1%4294967295", "fe80::1%4294967295", "[fe80::1%4294967295]:8081"},
    {"[fe80::1%2]", "fe80::1%2", "[fe80::1%2]:8081"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:8081"},
};

START_TEST(an_address_reads_and_prints)
{
    struct addr addr = parsed(good[_i].in, 8081), again;
    char buf[ADDR_TEXT_MAX];
    ck_assert_str_eq(addr_host_text(&addr, buf), good[_i].host);
    ck_assert(addr_parse(buf, 8081, &again));
    ck_assert(addr_equal(&addr, &again));
    ck_assert_str_eq(addr_text(&addr, buf), good[_i].whole);
    ck_assert_uint_eq(addr_port(&addr), 8081);
}
END_TEST

static const char *const bad[] = {
    "",           "gw.example",
    "1.2.3",      "1.2.3.4.5",
    "1.2.3.256",  "1.2.3.4 ",
    " 1.2.3.4",   "[1.2.3.4]",
    "01.2.3.4.5", "[::1",
    "::1]",       "[]",
    "[",          ":",
    "fe80::1%",   "fe80::1%eth0",
    "fe80::1%-1", "fe80::1%4294967296",
    "1.2.3.4%1",  "::1%1%2",
    "1.2.3.4:80", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%42949672950000000000000000000000]",
};

START_TEST(what_is_no_address_is_refused)
{
    struct addr addr = parsed("192.0.2.1", 1), before = addr;
    ck_assert_msg(!addr_parse(bad[_i], 80, &addr), "%s", bad[_i]);
    ck_assert_mem_eq(&addr, &before, sizeof addr);
}
END_TEST

START_TEST(a_v4_mapped_address_becomes_v4)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    struct addr addr, expected = parsed("192.0.2.7", 443);
    ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6.sin6_addr), 1);
    ck_assert(addr_from_sockaddr((struct sockaddr *)&in6, sizeof in6, &addr));
    ck_assert(addr_equal(&addr, &expected));
    ck_assert_int_eq(addr.sa.sa_family, AF_INET);
}
END_TEST

START_TEST(the_kernels_addresses_are_taken_over)
{
    struct addr v4 = parsed("192.0.2.7", 1), v6 = parsed("fe80::1%3", 2), addr;
    struct sockaddr other = {.sa_family = AF_UNIX};
    ck_assert(addr_from_sockaddr(&v4.sa, addr_length(&v4), &addr));
    ck_assert(addr_equal(&addr, &v4));
    v6.in6.sin6_flowinfo = htonl(7);
    ck_assert(addr_from_sockaddr(&v6.sa, addr_length(&v6), &addr));
    ck_assert(addr_equal(&addr, &v6));
    ck_assert_uint_eq(addr.in6.sin6_flowinfo, 0);
    ck_assert(!addr_from_sockaddr(&v6.sa, addr_length(&v6) - 1, &addr));
    ck_assert(!addr_from_sockaddr(&v4.sa, addr_length(&v4) - 1, &addr));
    ck_assert(!addr_from_sockaddr(&v4.sa, 0, &addr));
    ck_assert(!addr_from_sockaddr(&other, sizeof other, &addr));
    ck_assert(addr_equal(&addr, &v6));
}
END_TEST

START_TEST(equality_looks_at_what_it_says)
{
    struct addr a = parsed("192.0.2.7", 80), b = parsed("192.0.2.7", 81), c = parsed("::ffff:192.0.2.7", 80);
    struct addr d = parsed("fe80::1%1", 80), e = parsed("fe80::1%2", 80), unset = {0}, unset2 = {0};
    ck_assert(addr_equal_host(&a, &b));
    ck_assert(!addr_equal(&a, &b));
    addr_set_port(&b, 80);
    ck_assert(addr_equal(&a, &b));
    ck_assert(!addr_equal_host(&a, &c));
    ck_assert(!addr_equal_host(&d, &e));
    ck_assert(!addr_equal_host(&a, &unset));
    ck_assert(addr_equal(&unset, &unset2));
    addr_set_port(&d, 65535);
    ck_assert_uint_eq(addr_port(&d), 65535);
}
END_TEST

START_TEST(an_unset_address_is_a_dash)
{
    struct addr unset = {0};
    char buf[ADDR_TEXT_MAX];
    ck_assert_str_eq(addr_text(&unset, buf), "-");
    ck_assert_str_eq(addr_host_text(&unset, buf), "-");
    ck_assert_uint_eq(addr_port(&unset), 0);
    ck_assert_uint_eq(addr_length(&unset), 0);
}
END_TEST

static const struct {
    const char *prefix, *inside, *outside;
} prefixes[] = {
    {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
    {"192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
    {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
    {"172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
    {"192.0.2.7/32", "192.0.2.7", "192.0.2.6"},
    {"0.0.0.0/0", "255.255.255.255", "::1"},
    {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"},
    {"fc00::/7", "fdff::1", "fe00::1"},
    {"fe80::/10", "febf::1", "fec0::1"},
    {"::1/128", "::1", "::2"},
    {"::/0", "ffff::", "0.0.0.0"},
};

START_TEST(a_prefix_contains_what_it_says)
{
    struct addr inside = parsed(prefixes[_i].inside, 443), outside = parsed(prefixes[_i].outside, 443), unset = {0};
    struct prefix prefix;
    char buf[ADDR_TEXT_MAX];
    ck_assert(prefix_parse(prefixes[_i].prefix, &prefix));
    ck_assert(prefix_contains(&prefix, &inside));
    ck_assert(!prefix_contains(&prefix, &outside));
    ck_assert(!prefix_contains(&prefix, &unset));
    ck_assert_str_eq(prefix_text(&prefix, buf), prefixes[_i].prefix);
}
END_TEST

START_TEST(a_lone_address_is_a_whole_prefix)
{
    struct prefix prefix;
    ck_assert(prefix_parse("192.0.2.7", &prefix));
    ck_assert_uint_eq(prefix.length, 32);
    ck_assert(prefix_parse("2001:db8::1", &prefix));
    ck_assert_uint_eq(prefix.length, 128);
    ck_assert_uint_eq(addr_port(&prefix.base), 0);
}
END_TEST

static const char *const bad_prefixes[] = {
    "",
    "/",
    "192.0.2.0/",
    "192.0.2.0/33",
    "192.0.2.1/24",
    "2001:db8::/129",
    "2001:db8::1/64",
    "10.0.0.0/ 8",
    "10.0.0.0/+8",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "10.0.0.0/8x",
    "fe80::1%1/128",
    "10/8",
    "example/8",
    "192.0.2.129/25",
    "10.0.0.0/4294967304",
};

START_TEST(what_is_no_prefix_is_refused)
{
    struct prefix prefix;
    ck_assert_msg(!prefix_parse(bad_prefixes[_i], &prefix), "%s", bad_prefixes[_i]);
}
END_TEST

#define LENGTH(array) ((int)(sizeof array / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("addr");
    TCase *addresses = tcase_create("addresses"), *networks = tcase_create("networks");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(addresses, an_address_reads_and_prints, 0, LENGTH(good));
    tcase_add_loop_test(addresses, what_is_no_address_is_refused, 0, LENGTH(bad));
    tcase_add_test(addresses, a_v4_mapped_address_becomes_v4);
    tcase_add_test(addresses, the_kernels_addresses_are_taken_over);
    tcase_add_test(addresses, equality_looks_at_what_it_says);
    tcase_add_test(addresses, an_unset_address_is_a_dash);
    tcase_add_loop_test(networks, a_prefix_contains_what_it_says, 0, LENGTH(prefixes));
    tcase_add_test(networks, a_lone_address_is_a_whole_prefix);
    tcase_add_loop_test(networks, what_is_no_prefix_is_refused, 0, LENGTH(bad_prefixes));
    suite_add_tcase(suite, addresses);
    suite_add_tcase(suite, networks);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
