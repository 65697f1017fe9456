/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/punycode.h"

#include <check.h>
#include <stdlib.h>

/* The last ones are samples of RFC 3492 section 7.1. */
static const char *const names[][2] = {
    {"bücher.example", "xn--bcher-kva.example"},
    {"www.bücher.EXAMPLE.", "www.xn--bcher-kva.example"},
    {"example.com", "example.com"},
    {"straße.example", "xn--strae-oqa.example"},
    {"ü.ä", "xn--tda.xn--4ca"},
    {"παράδειγμα.gr", "xn--hxajbheg2az3al.gr"},
    {"пример.example", "xn--e1afmkfd.example"},
    {"例え.jp", "xn--r8jz45g.jp"},
    {"他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"},
    {"3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"},
    {"почемужеонинеговорятпорусски", "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l"},
};

START_TEST(names_have_their_a_labels)
{
    char name[HOSTNAME_SIZE];
    ck_assert_msg(punycode_name(names[_i][0], name), "%s", names[_i][0]);
    ck_assert_str_eq(name, names[_i][1]);
}
END_TEST

/* Another form than a name's, no UTF-8, or no name. */
static const char *const others[] = {"BÜCHER.example",
                                     "bu\xcc\x88"
                                     "cher.example",
                                     "b\xfc"
                                     "cher.example",
                                     "b\xc3",
                                     "\xc0\xaf",
                                     "\xed\xa0\x80.x",
                                     "\xf4\x90\x80\x80",
                                     "ПРИМЕР.example",
                                     "",
                                     "ü..example",
                                     "ü example",
                                     "ü/24",
                                     "\xe2\x80\x8b.example",
                                     "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü.example"};

START_TEST(what_is_no_name_has_none)
{
    char name[HOSTNAME_SIZE] = "untouched";
    ck_assert(!punycode_name(others[_i], name));
    ck_assert_str_eq(name, "untouched");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("punycode");
    TCase *tcase = tcase_create("punycode");
    tcase_add_loop_test(tcase, names_have_their_a_labels, 0, sizeof names / sizeof names[0]);
    tcase_add_loop_test(tcase, what_is_no_name_has_none, 0, sizeof others / sizeof others[0]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
