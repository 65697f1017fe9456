/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of each server, and what the log says of its changes. */
#include "config.h"

#include "gate/decide/servers.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/message_id.h"

static struct servers servers;
static struct conf *conf;
static struct test_report report;
static struct verdict verdict;
static char logged[4096], last_fields[2048];

void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...);

/* Lines with their level in front, and the fields of the last one. */
void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
    size_t at = strlen(logged);
    va_list args;
    at += (size_t)snprintf(logged + at, sizeof logged - at, "<%d>", level);
    va_start(args, format);
    at += (size_t)vsnprintf(logged + at, sizeof logged - at, format, args);
    va_end(args);
    snprintf(logged + at, sizeof logged - at, "\n");
    last_fields[0] = '\0';
    for (; fields->name; fields++)
        if (fields->value)
            snprintf(last_fields + strlen(last_fields), sizeof last_fields - strlen(last_fields), "%s=%s\n",
                     fields->name, fields->value);
}

static void read_conf(const char *names, const char *more)
{
    char text[512];
    FILE *stream;
    snprintf(text, sizeof text, "[Proxy]\nServers=%s\nPort=8080\nSecurePort=8081\n[SecureChannel]\nAuthURL=\n%s", names,
             more);
    conf_free(conf);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    servers_set_conf(&servers, conf);
    report = (struct test_report){.n_servers = (uint32_t)conf->n_servers};
    for (size_t i = 0; i < conf->n_servers; i++) {
        snprintf(report.servers[i].server, NAME_SIZE, "%s", conf->servers[i]);
        addr_parse("192.0.2.1", 8081, &report.servers[i].secure_address);
    }
}

static void set_up(void)
{
    logged[0] = last_fields[0] = '\0';
    memset(&servers, 0, sizeof servers);
    verdict = (struct verdict){.kind = VERDICT_SECURE};
    read_conf("gw1.example gw2.example", "");
}

static void tear_down(void)
{
    conf_free(conf);
    conf = NULL;
}

/* Since the last time; static. */
static const char *log_text(void)
{
    static char text[sizeof logged];
    memcpy(text, logged, sizeof text);
    logged[0] = '\0';
    return text;
}

static void set(int server, enum stage stage, enum test_outcome outcome, enum cause cause)
{
    report.servers[server].stages[stage] =
        (struct test_stage){.outcome = outcome, .cause = (uint8_t)cause, .us = 5, .detail = ""};
    if (outcome == TEST_FAILED)
        snprintf(report.servers[server].stages[stage].detail, DETAIL_MAX, "of %s", cause_slug(cause));
}

static void take(bool complete)
{
    report.complete = complete;
    servers_take(&servers, &report, conf, &verdict);
}

START_TEST(a_server_is_untested_then_testing)
{
    ck_assert_uint_eq(servers.n, 2);
    ck_assert_str_eq(servers.list[1].report.server, "gw2.example");
    ck_assert_int_eq(servers.list[1].state, SERVER_UNTESTED);
    set(1, STAGE_SECURE_TCP, TEST_RUNNING, CAUSE_NONE);
    take(false);
    ck_assert_int_eq(servers.list[0].state, SERVER_UNTESTED);
    ck_assert_int_eq(servers.list[1].state, SERVER_TESTING);
    ck_assert_str_eq(log_text(), "");
}
END_TEST

START_TEST(a_mistrusted_server_is_a_warning_also_while_another_works)
{
    struct texts warnings = {.n = 0};
    set(0, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(0, STAGE_MUTUAL_AUTH, TEST_FAILED, CAUSE_CERTIFICATE_NAME);
    set(1, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(1, STAGE_MUTUAL_AUTH, TEST_PASSED, CAUSE_NONE);
    take(true);
    ck_assert_int_eq(servers.list[0].state, SERVER_MISTRUSTED);
    ck_assert_int_eq(servers.list[1].state, SERVER_TRUSTED);
    ck_assert_int_gt(servers.list[0].tested_at, 0);
    ck_assert_str_eq(log_text(),
                     "<4>server gw1.example at 192.0.2.1:8081: untested -> mistrusted: of certificate-name\n"
                     "<5>server gw2.example at 192.0.2.1:8081: untested -> trusted\n");
    ck_assert_str_eq(last_fields, "MESSAGE_ID=" MESSAGE_ID_SERVER "\nPENSTOCK_STATUS=Connected (Secure Channel)\n"
                                  "PENSTOCK_REASON=\nPENSTOCK_SERVER=gw2.example\nPENSTOCK_SERVER_STATE=trusted\n"
                                  "PENSTOCK_ADDRESS=192.0.2.1:8081\n");
    servers_warnings(&servers, &verdict, &warnings);
    ck_assert_uint_eq(warnings.n, 1);
    ck_assert_str_eq(warnings.lines[0], "gw1.example is mistrusted: of certificate-name");
    texts_clear(&warnings);
    verdict.kind = VERDICT_AUTH_FAILED; /* it says so itself */
    servers_warnings(&servers, &verdict, &warnings);
    ck_assert_uint_eq(warnings.n, 0);
}
END_TEST

START_TEST(the_same_again_is_no_news_and_another_cause_is)
{
    set(0, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_TCP_REFUSED);
    take(true);
    ck_assert_str_ne(log_text(), "");
    take(true);
    ck_assert_str_eq(log_text(), "");
    set(0, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_TCP_TIMEOUT);
    take(true);
    ck_assert_str_eq(log_text(), "<5>server gw1.example at 192.0.2.1:8081: still unreachable: of tcp-timeout\n");
    ck_assert_ptr_nonnull(strstr(last_fields, "PENSTOCK_CAUSE=tcp-timeout\n"));
}
END_TEST

START_TEST(a_new_test_leaves_the_state_until_it_has_an_answer)
{
    time_t since;
    set(0, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(0, STAGE_MUTUAL_AUTH, TEST_PASSED, CAUSE_NONE);
    take(true);
    since = servers.list[0].since = servers.list[0].since - 100;
    set(0, STAGE_SECURE_TCP, TEST_RUNNING, CAUSE_NONE);
    set(0, STAGE_MUTUAL_AUTH, TEST_NOT_DONE, CAUSE_NONE);
    take(false);
    ck_assert_int_eq(servers.list[0].state, SERVER_TRUSTED);
    ck_assert_int_eq(servers.list[0].report.stages[STAGE_MUTUAL_AUTH].outcome, TEST_PASSED);
    set(0, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(0, STAGE_MUTUAL_AUTH, TEST_PASSED, CAUSE_NONE);
    take(true);
    ck_assert_int_eq(servers.list[0].since, since);
    set(0, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_TCP_REFUSED);
    set(0, STAGE_MUTUAL_AUTH, TEST_NOT_DONE, CAUSE_NONE);
    take(true);
    ck_assert_int_gt(servers.list[0].since, since);
}
END_TEST

/* Else it would be unreachable for a moment in every test of a fallback that lasts. */
START_TEST(with_fallback_a_server_is_unreachable_only_when_its_plain_port_is_too)
{
    read_conf("gw1.example gw2.example", "AllowFallback=yes\n");
    set(0, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_TCP_REFUSED);
    set(1, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_TCP_REFUSED);
    set(0, STAGE_PLAIN_TCP, TEST_PASSED, CAUSE_NONE);
    take(false);
    ck_assert_int_eq(servers.list[0].state, SERVER_PLAIN);
    ck_assert_int_eq(servers.list[1].state, SERVER_UNTESTED);
    take(true);
    ck_assert_int_eq(servers.list[1].state, SERVER_UNREACHABLE);
    set(0, STAGE_PLAIN_TCP, TEST_NOT_DONE, CAUSE_NONE);
    take(false);
    ck_assert_int_eq(servers.list[0].state, SERVER_PLAIN);
    set(1, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE); /* forbids the plain ports */
    take(false);
    ck_assert_int_eq(servers.list[0].state, SERVER_UNREACHABLE);
}
END_TEST

START_TEST(a_name_without_an_address_is_unresolved)
{
    report.servers[0].secure_address = (struct addr){0};
    set(0, STAGE_SECURE_TCP, TEST_FAILED, CAUSE_NAME_NOT_FOUND);
    take(true);
    ck_assert_int_eq(servers.list[0].state, SERVER_UNRESOLVED);
    ck_assert_str_eq(log_text(), "<5>server gw1.example: untested -> unresolved: of name-not-found\n");
}
END_TEST

START_TEST(a_fault_of_this_host_is_no_mistrust)
{
    set(0, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(0, STAGE_MUTUAL_AUTH, TEST_FAILED, CAUSE_FILE_PERMISSION);
    take(true);
    ck_assert_int_eq(servers.list[0].state, SERVER_UNTESTED);
    ck_assert_str_eq(log_text(), "<6>server gw1.example at 192.0.2.1:8081: still untested: of file-permission\n");
}
END_TEST

START_TEST(a_reload_keeps_what_is_known_of_a_server_that_stays)
{
    set(1, STAGE_SECURE_TCP, TEST_PASSED, CAUSE_NONE);
    set(1, STAGE_MUTUAL_AUTH, TEST_PASSED, CAUSE_NONE);
    take(true);
    read_conf("gw2.example gw3.example", "");
    ck_assert_int_eq(servers.list[0].state, SERVER_TRUSTED);
    ck_assert_int_eq(servers.list[1].state, SERVER_UNTESTED);
    ck_assert_str_eq(servers.list[1].report.server, "gw3.example");
}
END_TEST

START_TEST(a_state_has_a_slug_of_its_own)
{
    enum server_state state = (enum server_state)_i;
    ck_assert_int_eq(server_state_named(server_state_slug(state)), state);
    ck_assert_str_ne(server_state_text(state), "");
    ck_assert_int_eq(server_state_named(NULL), SERVER_STATE_COUNT);
    ck_assert_int_eq(server_state_named("Trusted"), SERVER_STATE_COUNT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("servers");
    TCase *tests = tcase_create("servers");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_server_is_untested_then_testing);
    tcase_add_test(tests, a_mistrusted_server_is_a_warning_also_while_another_works);
    tcase_add_test(tests, the_same_again_is_no_news_and_another_cause_is);
    tcase_add_test(tests, a_new_test_leaves_the_state_until_it_has_an_answer);
    tcase_add_test(tests, with_fallback_a_server_is_unreachable_only_when_its_plain_port_is_too);
    tcase_add_test(tests, a_name_without_an_address_is_unresolved);
    tcase_add_test(tests, a_fault_of_this_host_is_no_mistrust);
    tcase_add_test(tests, a_reload_keeps_what_is_known_of_a_server_that_stays);
    tcase_add_loop_test(tests, a_state_has_a_slug_of_its_own, 0, SERVER_STATE_COUNT);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
