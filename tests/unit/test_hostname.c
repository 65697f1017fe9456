/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "model/hostname.h"

#define LENGTH(array) ((int)(sizeof array / sizeof((array)[0])))

static const struct {
    const char *text;
    const char *name; /* NULL: it is none */
} names[] = {
    {"a", "a"},
    {"www.example.com", "www.example.com"},
    {"WWW.Example.COM", "www.example.com"},
    {"server7", "server7"},
    {"7up.example", "7up.example"},
    {"192.0.2.example", "192.0.2.example"},
    {"1.2.3.4.5a", "1.2.3.4.5a"},
    {"0x.0xg", "0x.0xg"},
    {"x.0", NULL},
    {"xn--mnchen-3ya.example", "xn--mnchen-3ya.example"},
    {"XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"},
    /* as seen in the wild */
    {"_dmarc.a_b.example", "_dmarc.a_b.example"},
    {"r3---sn-4g5e6.example", "r3---sn-4g5e6.example"},
    {"name-.blog.example", "name-.blog.example"},
    {"a.-b.example", "a.-b.example"},
    /* a final dot */
    {"www.example.com.", "www.example.com"},
    {"a.", "a"},
    {"a..", NULL},
    {".", NULL},
    {"..", NULL},
    /* empty labels and odd beginnings */
    {"", NULL},
    {".a", NULL},
    {"a..b", NULL},
    {"-", NULL},
    {"-a", NULL},
    {"--proxy.example", NULL},
    /* other characters */
    {" a", NULL},
    {"a ", NULL},
    {"a b", NULL},
    {"a\tb", NULL},
    {"a\r\nX: y", NULL},
    {"a\x7f", NULL},
    {"a/b", NULL},
    {"a:80", NULL},
    {"user@host", NULL},
    {"*.example", NULL},
    {"a%62", NULL},
    {"a,b", NULL},
    {"\xc3\xa4.example", NULL},
    {"a\xe3\x80\x82"
     "b",
     NULL},
    {"a[b", NULL},
    {"a`b", NULL},
    {"a{b", NULL},
    /* addresses, to whomever */
    {"192.0.2.7", NULL},
    {"192.0.2.7.", NULL},
    {"192.0.2.256", NULL},
    {"127.1", NULL},
    {"1", NULL},
    {"0", NULL},
    {"1.2.3.4.5", NULL},
    {"a.1", NULL},
    {"0x7f.1", NULL},
    {"1.0x7f", NULL},
    {"1.0X7F", NULL},
    {"0x", NULL},
    {"2001:db8::1", NULL},
    {"[2001:db8::1]", NULL},
    {"::1", NULL},
};

START_TEST(what_a_name_is)
{
    char name[HOSTNAME_SIZE] = "untouched";
    bool is = hostname_parse(names[_i].text, strlen(names[_i].text), name);
    ck_assert_msg(is == !!names[_i].name, "\"%s\"", names[_i].text);
    ck_assert_str_eq(name, names[_i].name ? names[_i].name : "untouched");
}
END_TEST

START_TEST(only_so_many_bytes_are_looked_at)
{
    char name[HOSTNAME_SIZE];
    ck_assert(hostname_parse("host:80", 4, name));
    ck_assert_str_eq(name, "host");
    ck_assert(!hostname_parse("a\0b", 3, name));
    ck_assert(!hostname_parse("a", 0, name));
}
END_TEST

/* Labels of 63 bytes. */
static void fill(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text[i] = i % 64 == 63 ? '.' : 'x';
}

START_TEST(names_and_labels_have_a_longest)
{
    char text[300], name[HOSTNAME_SIZE];
    fill(text, sizeof text);
    ck_assert(hostname_parse(text, 253, name));
    ck_assert_uint_eq(strlen(name), 253);
    ck_assert(!hostname_parse(text, 254, name));
    text[253] = '.';
    ck_assert(hostname_parse(text, 254, name));
    ck_assert_uint_eq(strlen(name), 253);
    memset(text, 'y', sizeof text);
    ck_assert(hostname_parse(text, 63, name));
    ck_assert(!hostname_parse(text, 64, name));
    text[1] = '.';
    ck_assert(hostname_parse(text, 2 + 63, name));
    ck_assert(!hostname_parse(text, 2 + 64, name));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostname");
    TCase *tests = tcase_create("names");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(tests, what_a_name_is, 0, LENGTH(names));
    tcase_add_test(tests, only_so_many_bytes_are_looked_at);
    tcase_add_test(tests, names_and_labels_have_a_longest);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
