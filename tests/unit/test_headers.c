/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Specifiers of Header=: how they are written, and what becomes of them in a request. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/headers.h"
#include "model/conf/header.h"

#define MACHINE "0123456789abcdef0123456789abcdef"

static const struct identity ann = {.user = "ann", .unit = "backup.service", .uid = 1001};

static struct conf conf_with(const char *header)
{
    struct conf conf = {.n_headers = 1, .headers = {(char *)header}, .host_name = "host1", .machine_id = MACHINE};
    return conf;
}

static void expect(const struct conf *conf, const struct identity *identity, const char *expected)
{
    char buf[8192];
    struct out out = {.buf = buf, .size = sizeof buf - 1};
    headers_put(&out, conf, identity);
    ck_assert_uint_lt(out.used, sizeof buf);
    buf[out.used] = '\0';
    ck_assert_str_eq(buf, expected);
    ck_assert_uint_eq(headers_length(conf, identity), out.used);
}

static const struct {
    const char *header, *expected;
} expansions[] = {
    {"X: plain value; \xc3\xa4 \"x\"", "X: plain value; \xc3\xa4 \"x\"\r\n"},
    {"X:%u", "X:ann\r\n"},
    {"X: %u@%H", "X: ann@host1\r\n"},
    {"X: a%Ub", "X: a1001b\r\n"},
    {"X: %n", "X: backup.service\r\n"},
    {"X: %m", "X: " MACHINE "\r\n"},
    {"X: 100%%", "X: 100%\r\n"},
    {"X: %%u %%%u%%%%", "X: %u %ann%%\r\n"},
    {"X: %u%u%u", "X: annannann\r\n"},
    {"X: u=%u, n=%n; U=\"%U\"", "X: u=ann, n=backup.service; U=\"1001\"\r\n"},
};

START_TEST(specifiers_have_values)
{
    struct conf conf = conf_with(expansions[_i].header);
    ck_assert_ptr_null(header_problem(expansions[_i].header));
    expect(&conf, &ann, expansions[_i].expected);
}
END_TEST

static const struct {
    const char *user, *expected;
} names[] = {
    {"DOMAIN\\ann", "X: DOMAIN\\ann\r\n"},
    {"ann@example.com", "X: ann@example.com\r\n"},
    {"a$b_c-d.e+f=g", "X: a$b_c-d.e+f=g\r\n"},
    {"a b", "X: a%20b\r\n"},
    {" ann\t", "X: %20ann%09\r\n"},
    {"50%", "X: 50%25\r\n"},
    {"J\xc3\xbcrgen", "X: J%C3%BCrgen\r\n"},
    {"a\r\nX: root", "X: a%0D%0AX:%20root\r\n"},
    {"ann, user=root", "X: ann%2C%20user=root\r\n"},
    {"a;b\"c", "X: a%3Bb%22c\r\n"},
    {"\x01\x7f\x80\xff", "X: %01%7F%80%FF\r\n"},
    {"%u", "X: %25u\r\n"},
};

START_TEST(what_a_field_cannot_carry_is_percent_encoded)
{
    struct conf conf = conf_with("X: %u");
    const struct identity identity = {.user = names[_i].user, .uid = 1};
    expect(&conf, &identity, names[_i].expected);
}
END_TEST

START_TEST(what_is_not_known_leaves_its_field_out)
{
    struct conf conf = {.n_headers = 6,
                        .headers = {(char *)"U: %u", (char *)"I: %U", (char *)"N: x%nx%u", (char *)"H: %H",
                                    (char *)"M: %m", (char *)"P: %%"},
                        .host_name = "host1",
                        .machine_id = MACHINE};
    struct identity identity = ann;
    expect(&conf, &ann, "U: ann\r\nI: 1001\r\nN: xbackup.servicexann\r\nH: host1\r\nM: " MACHINE "\r\nP: %\r\n");
    identity.unit = NULL;
    expect(&conf, &identity, "U: ann\r\nI: 1001\r\nH: host1\r\nM: " MACHINE "\r\nP: %\r\n");
    identity.user = NULL;
    expect(&conf, &identity, "I: 1001\r\nH: host1\r\nM: " MACHINE "\r\nP: %\r\n");
    identity.uid = 0;
    expect(&conf, &identity, "I: 0\r\nH: host1\r\nM: " MACHINE "\r\nP: %\r\n");
    identity.uid = CONF_UID_UNKNOWN;
    conf.host_name[0] = '\0';
    expect(&conf, &identity, "M: " MACHINE "\r\nP: %\r\n");
    conf.machine_id[0] = '\0';
    expect(&conf, NULL, "P: %\r\n");
}
END_TEST

START_TEST(over_the_plain_route_nobody_is_told_who_it_was)
{
    struct conf conf = conf_with("X: %u");
    ck_assert_ptr_eq(headers_identity(&conf, &ann, true), &ann);
    ck_assert_ptr_null(headers_identity(&conf, &ann, false));
    conf.identity_on_plain = true;
    ck_assert_ptr_eq(headers_identity(&conf, &ann, false), &ann);
    ck_assert_ptr_null(headers_identity(&conf, NULL, true));
}
END_TEST

/* The most that a configuration may have. */
START_TEST(the_longest_values_have_a_length)
{
    char user[CONF_USER_NAME_SIZE], header[2 * CONF_SPECIFIERS_MAX + 4] = "X: ";
    struct conf conf = conf_with(header);
    const struct identity identity = {.user = user, .uid = 1};
    memset(user, '%', sizeof user - 1);
    user[sizeof user - 1] = '\0';
    for (int i = 0; i < CONF_SPECIFIERS_MAX; i++)
        strcat(header, "%u");
    ck_assert_uint_eq(header_count(header), CONF_SPECIFIERS_MAX);
    ck_assert_uint_eq(headers_length(&conf, &identity), 3 + 3 * (sizeof user - 1) * CONF_SPECIFIERS_MAX + 2);
}
END_TEST

static const char *const same[] = {"X-User", "x-user", "X_USER", "x.user", "X!User", "x~uSER", "X%USER", "x'user"};
static const char *const other[] = {"X-Use", "X-User-", "XUser", "-X-User", "X-Users", ""};

START_TEST(a_name_is_the_same_whatever_its_case_and_marks)
{
    struct conf conf = conf_with("X-User: %u");
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        ck_assert_msg(headers_have(&conf, same[i], strlen(same[i])), "%s", same[i]);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        ck_assert_msg(!headers_have(&conf, other[i], strlen(other[i])), "%s", other[i]);
}
END_TEST

START_TEST(letters_are_found)
{
    const char *at = "X: %%%u";
    ck_assert_int_eq(header_next(&at), '%');
    ck_assert_str_eq(at, "%%%u");
    at += 2;
    ck_assert_int_eq(header_next(&at), 'u');
    at += 2;
    ck_assert_int_eq(header_next(&at), '\0');
    ck_assert_str_eq(at, "");
    ck_assert(header_has("X: %u", HEADER_WHO));
    ck_assert(header_has("X: %H%n", HEADER_WHO));
    ck_assert(!header_has("X: %%u %H %m u U n", HEADER_WHO));
    ck_assert_uint_eq(header_count("X: %%u %H %m %u"), 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("headers");
    TCase *tcase = tcase_create("headers");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(tcase, specifiers_have_values, 0, sizeof expansions / sizeof expansions[0]);
    tcase_add_loop_test(tcase, what_a_field_cannot_carry_is_percent_encoded, 0, sizeof names / sizeof names[0]);
    tcase_add_test(tcase, what_is_not_known_leaves_its_field_out);
    tcase_add_test(tcase, over_the_plain_route_nobody_is_told_who_it_was);
    tcase_add_test(tcase, the_longest_values_have_a_length);
    tcase_add_test(tcase, a_name_is_the_same_whatever_its_case_and_marks);
    tcase_add_test(tcase, letters_are_found);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
