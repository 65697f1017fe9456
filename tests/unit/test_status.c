/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/json.h"

static struct status_info info;

static void set_up(void)
{
    texts_clear(&info.warnings);
    memset(&info, 0, sizeof info);
    info.verdict.kind = VERDICT_SECURE;
    snprintf(info.verdict.server, sizeof info.verdict.server, "gw2.example");
    addr_parse("192.0.2.7", 8081, &info.verdict.address);
    snprintf(info.verdict.tls.version, sizeof info.verdict.tls.version, "TLSv1.3");
    snprintf(info.verdict.tls.cipher, sizeof info.verdict.tls.cipher, "TLS_AES_128_GCM_SHA256");
    info.verdict.tls.server_expires = 1767323045; /* 2026-01-02T03:04:05Z */
    info.verdict.stages[STAGE_SECURE_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 12149};
    info.verdict.stages[STAGE_MUTUAL_AUTH] = (struct test_stage){.outcome = TEST_PASSED, .us = 30950};
    info.since = info.tested_at = info.started = 1767323045;
    info.rules = (struct status_rules){.table = "inet penstock", .installed = true, .changes = 3};
    info.stats = (struct stats){.sessions_open = 12,
                                .sessions_total = 10342,
                                .sessions_failed = 3,
                                .sessions_client_ended = 17,
                                .sessions_refused = 41,
                                .bytes_up = 1,
                                .bytes_down = 1ULL << 40};
}

/* Takes line over. */
static json_t *parse(char *line)
{
    json_t *object;
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_null(strchr(line, '\n'));
    object = json_loads(line, 0, NULL);
    ck_assert_msg(json_is_object(object), "%s", line);
    free(line);
    return object;
}

static const json_t *at(const json_t *object, const char *path)
{
    char copy[64], *rest = copy;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key; (key = strsep(&rest, "."));) {
        object = json_object_get(object, key);
        ck_assert_msg(object, "%s: no %s", path, key);
    }
    return object;
}

#define TEXT(path, expected)   ck_assert_pstr_eq(json_string_value(at(status, path)), expected)
#define IS_NULL(path)          ck_assert(json_is_null(at(status, path)))
#define NUMBER(path, expected) ck_assert_int_eq(json_integer_value(at(status, path)), expected)

START_TEST(a_connected_status_is_that_of_the_interface)
{
    char *line = status_json(&info);
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(strstr(line, "\"ms\":12.1}"));
    ck_assert_ptr_nonnull(strstr(line, "\"ms\":31.0}"));
    json_t *status = parse(line);
    TEXT("status", "Connected (Secure Channel)");
    TEXT("connection_status", "Proxy Trusted");
    TEXT("mode", "secure");
    TEXT("verdict", "secure");
    IS_NULL("reason");
    IS_NULL("cause");
    IS_NULL("detail");
    TEXT("since", "2026-01-02T03:04:05Z");
    TEXT("proxy.server", "gw2.example");
    TEXT("proxy.address", "192.0.2.7");
    NUMBER("proxy.port", 8081);
    TEXT("tls.version", "TLSv1.3");
    TEXT("tls.cipher", "TLS_AES_128_GCM_SHA256");
    TEXT("tls.server_expires", "2026-01-02T03:04:05Z");
    IS_NULL("tls.client_expires");
    TEXT("tests.tcp.result", "passed");
    TEXT("tests.mutual_auth.result", "passed");
    TEXT("tests.at", "2026-01-02T03:04:05Z");
    TEXT("rules.table", "inet penstock");
    ck_assert(json_is_true(at(status, "rules.installed")));
    NUMBER("rules.changes", 3);
    NUMBER("rules.repaired", 0);
    IS_NULL("rules.error");
    NUMBER("sessions.open", 12);
    NUMBER("sessions.total", 10342);
    NUMBER("sessions.failed", 3);
    NUMBER("sessions.client_ended", 17);
    NUMBER("sessions.refused", 41);
    IS_NULL("sessions.rejected"); /* the kernel could not be asked */
    IS_NULL("sessions.bypassed");
    NUMBER("bytes.up", 1);
    NUMBER("bytes.down", 1LL << 40);
    ck_assert_int_gt(json_integer_value(at(status, "pid")), 1);
    TEXT("version", PACKAGE_VERSION);
    ck_assert_uint_eq(json_array_size(at(status, "warnings")), 0);
    json_decref(status);
}
END_TEST

/* Also a mistrusted one, while another is in use. */
START_TEST(every_server_is_told_with_its_state)
{
    static struct server_status servers[2];
    json_t *status, *list;
    memset(servers, 0, sizeof servers);
    servers[0] = (struct server_status){.state = SERVER_MISTRUSTED, .since = 1767323045, .tested_at = 1767323046};
    snprintf(servers[0].report.server, NAME_SIZE, "gw1.example");
    addr_parse("192.0.2.6", 8081, &servers[0].report.secure_address);
    servers[0].report.stages[STAGE_SECURE_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 700};
    servers[0].report.stages[STAGE_MUTUAL_AUTH] =
        (struct test_stage){.outcome = TEST_FAILED, .us = 900, .cause = CAUSE_CERTIFICATE_NAME, .detail = "is for x"};
    snprintf(servers[1].report.server, NAME_SIZE, "gw2.example");
    servers[1].state = SERVER_TRUSTED;
    info.servers = servers;
    info.n_servers = 2;
    info.next_test_at = 1767323045;
    status = parse(status_json(&info));
    TEXT("tests.next_at", "2026-01-02T03:04:05Z");
    list = json_incref(json_object_get(status, "servers"));
    json_decref(status);
    ck_assert_uint_eq(json_array_size(list), 2);
    status = json_array_get(list, 0);
    TEXT("server", "gw1.example");
    TEXT("state", "mistrusted");
    TEXT("since", "2026-01-02T03:04:05Z");
    TEXT("cause", "certificate-name");
    TEXT("detail", "is for x");
    TEXT("address", "192.0.2.6");
    NUMBER("port", 8081);
    ck_assert(json_is_false(at(status, "in_use")));
    TEXT("tests.tcp.result", "passed");
    ck_assert_double_eq(json_real_value(at(status, "tests.tcp.ms")), 0.7);
    TEXT("tests.mutual_auth.result", "failed");
    TEXT("tests.mutual_auth.cause", "certificate-name");
    TEXT("tests.at", "2026-01-02T03:04:06Z");
    status = json_array_get(list, 1);
    TEXT("state", "trusted");
    IS_NULL("cause");
    IS_NULL("address");
    ck_assert(json_is_true(at(status, "in_use")));
    IS_NULL("tests.at");
    json_decref(list);
}
END_TEST

START_TEST(what_the_rules_counted_is_told)
{
    json_t *status;
    info.traffic = (struct status_traffic){.known = true, .bypassed = 118, .rejected = 7};
    status = parse(status_json(&info));
    NUMBER("sessions.rejected", 7);
    NUMBER("sessions.bypassed", 118);
    json_decref(status);
}
END_TEST

START_TEST(a_blocked_status_names_reason_and_detail)
{
    json_t *status;
    info.verdict = (struct verdict){.kind = VERDICT_AUTH_FAILED,
                                    .server = "gw2.example",
                                    .cause = CAUSE_CERTIFICATE_NAME,
                                    .detail = "certificate of 192.0.2.7 is for \"gw.example\""};
    info.verdict.stages[STAGE_SECURE_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 100};
    info.verdict.stages[STAGE_MUTUAL_AUTH].outcome = TEST_FAILED;
    texts_add(&info.warnings, "only %d of %d", 1, 2);
    status = parse(status_json(&info));
    TEXT("status", "Blocked - Mutual Auth Failed");
    TEXT("mode", "blocked");
    TEXT("reason", "Mutual Auth Failed");
    TEXT("verdict", "auth-failed");
    TEXT("cause", "certificate-name");
    TEXT("detail", "certificate of 192.0.2.7 is for \"gw.example\"");
    TEXT("proxy.server", "gw2.example");
    IS_NULL("proxy.address");
    IS_NULL("proxy.port");
    IS_NULL("tls");
    TEXT("tests.mutual_auth.result", "failed");
    ck_assert_str_eq(json_string_value(json_array_get(at(status, "warnings"), 0)), "only 1 of 2");
    json_decref(status);
}
END_TEST

/* tests.tcp is the secure port's; with the secure channel off, the plain port's. */
START_TEST(the_plain_port_stands_beside_the_secure_one)
{
    json_t *status;
    info.verdict.stages[STAGE_SECURE_TCP].outcome = TEST_FAILED;
    info.verdict.stages[STAGE_MUTUAL_AUTH].outcome = TEST_NOT_DONE;
    info.verdict.stages[STAGE_PLAIN_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 2000};
    status = parse(status_json(&info));
    TEXT("tests.tcp.result", "failed");
    IS_NULL("tests.tcp.cause");
    TEXT("tests.plain_tcp.result", "passed");
    json_decref(status);

    info.verdict.stages[STAGE_SECURE_TCP].outcome = TEST_NOT_DONE;
    status = parse(status_json(&info));
    TEXT("tests.tcp.result", "passed");
    ck_assert_ptr_null(json_object_get(at(status, "tests"), "plain_tcp"));
    json_decref(status);
}
END_TEST

START_TEST(the_status_before_the_first_test_has_nothing_to_tell)
{
    json_t *status;
    info.verdict = (struct verdict){.kind = VERDICT_TESTING};
    info.tested_at = 0;
    info.rules = (struct status_rules){.table = "inet penstock", .error = "kernel refused chain x"};
    status = parse(status_json(&info));
    TEXT("status", "Blocked - Testing");
    TEXT("reason", "Testing");
    IS_NULL("proxy");
    IS_NULL("tls");
    TEXT("tests.tcp.result", "not done");
    IS_NULL("tests.tcp.ms");
    IS_NULL("tests.at");
    ck_assert(json_is_false(at(status, "rules.installed")));
    TEXT("rules.error", "kernel refused chain x");
    json_decref(status);
}
END_TEST

START_TEST(the_state_has_no_traffic_and_its_key_no_times)
{
    static const struct status_end end = {.at = 1767323045, .why = "stopped", .web_traffic = "refused"};
    static struct server_status server = {.state = SERVER_TRUSTED};
    char *key, *same;
    json_t *status;
    info.servers = &server;
    info.n_servers = 1;
    status = parse(status_state_json(&info, NULL));
    TEXT("status", "Connected (Secure Channel)");
    TEXT("tests.tcp.result", "passed");
    IS_NULL("ended");
    ck_assert_ptr_null(json_object_get(status, "sessions"));
    ck_assert_ptr_null(json_object_get(status, "bytes"));
    json_decref(status);
    status = parse(status_state_json(&info, &end));
    TEXT("ended.why", "stopped");
    TEXT("ended.at", "2026-01-02T03:04:05Z");
    TEXT("ended.web_traffic", "refused");
    ck_assert(json_is_false(at(status, "ended.failed")));
    json_decref(status);
    status = parse(status_end_json(&end));
    TEXT("ended.why", "stopped");
    json_decref(status);

    key = status_state_key(&info);
    info.stats.bytes_up++;
    info.tested_at++;
    info.next_test_at++;
    server.tested_at++;
    info.verdict.stages[STAGE_SECURE_TCP].us++;
    same = status_state_key(&info);
    ck_assert_str_eq(key, same);
    free(same);
    server.state = SERVER_MISTRUSTED;
    same = status_state_key(&info);
    ck_assert_str_ne(key, same);
    free(same);
    free(key);
}
END_TEST

START_TEST(text_of_a_child_may_hold_any_bytes)
{
    struct ipc_session session = {.name = "a\xff\x01\"\xc3\xa4", .state = "open"};
    json_t *status;
    snprintf(info.verdict.server, sizeof info.verdict.server, "gw\xc3\xa4");
    snprintf(info.verdict.detail, sizeof info.verdict.detail, "line\nend\xc3");
    status = parse(status_json(&info));
    TEXT("proxy.server", "gw\xc3\xa4");
    TEXT("detail", "line\nend?");
    json_decref(status);
    status = parse(status_session_json(&session));
    TEXT("name", "a?\x01\"??");
    json_decref(status);
}
END_TEST

START_TEST(counters_of_a_relay_that_lies_stay_numbers)
{
    json_t *status;
    info.stats.bytes_up = UINT64_MAX;
    status = parse(status_json(&info));
    NUMBER("bytes.up", INT64_MAX);
    json_decref(status);
}
END_TEST

START_TEST(a_stage_is_told_when_it_has_ended)
{
    struct server_report server = {.server = "gw.example"};
    json_t *status;
    addr_parse("2001:db8::1", 8081, &server.secure_address);
    addr_parse("192.0.2.7", 8080, &server.plain_address);
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        ck_assert_ptr_null(status_stage_json(&server, (enum stage)stage));
    server.stages[STAGE_SECURE_TCP].outcome = TEST_RUNNING;
    ck_assert_ptr_null(status_stage_json(&server, STAGE_SECURE_TCP));

    server.stages[STAGE_SECURE_TCP] = (struct test_stage){.outcome = TEST_PASSED, .us = 1500};
    status = parse(status_stage_json(&server, STAGE_SECURE_TCP));
    TEXT("stage", "tcp");
    TEXT("server", "gw.example");
    TEXT("address", "[2001:db8::1]:8081");
    TEXT("result", "passed");
    ck_assert_double_eq(json_real_value(at(status, "ms")), 1.5);
    IS_NULL("cause");
    IS_NULL("detail");
    json_decref(status);

    server.stages[STAGE_PLAIN_TCP] = (struct test_stage){
        .outcome = TEST_FAILED, .cause = CAUSE_TCP_REFUSED, .us = 10, .detail = "connection refused"};
    status = parse(status_stage_json(&server, STAGE_PLAIN_TCP));
    TEXT("stage", "plain_tcp");
    TEXT("address", "192.0.2.7:8080");
    TEXT("result", "failed");
    TEXT("cause", "tcp-refused");
    TEXT("detail", "connection refused");
    json_decref(status);
}
END_TEST

START_TEST(a_session_is_told_whole)
{
    struct ipc_session session = {.name = "www.example",
                                  .ech = true,
                                  .target = TARGET_LATE_NAME,
                                  .mode = ROUTE_SECURE,
                                  .bytes_up = 5,
                                  .bytes_down = 6,
                                  .age_ms = 789,
                                  .state = "open"};
    json_t *status;
    addr_parse("127.0.0.1", 4242, &session.client);
    addr_parse("198.51.100.7", 443, &session.destination);
    addr_parse("192.0.2.7", 8081, &session.proxy);
    status = parse(status_session_json(&session));
    TEXT("client", "127.0.0.1:4242");
    TEXT("destination", "198.51.100.7:443");
    TEXT("name", "www.example");
    TEXT("target", "late-name");
    ck_assert(json_is_true(json_object_get(status, "ech")));
    TEXT("route", "secure");
    TEXT("proxy", "192.0.2.7:8081");
    NUMBER("bytes.up", 5);
    NUMBER("bytes.down", 6);
    NUMBER("age_ms", 789);
    TEXT("state", "open");
    json_decref(status);

    memset(&session, 0, sizeof session);
    status = parse(status_session_json(&session));
    IS_NULL("name");
    IS_NULL("target");
    IS_NULL("route");
    IS_NULL("proxy");
    json_decref(status);
}
END_TEST

START_TEST(small_answers)
{
    struct texts texts = {.n = 0};
    json_t *status;
    char *line;
    line = status_reload_json(true, &texts);
    ck_assert_str_eq(line, "{\"ok\":true}");
    free(line);
    for (int i = 0; i < TEXTS_MAX + 5; i++)
        texts_add(&texts, "FILE:%d: wrong", i);
    status = parse(status_reload_json(false, &texts));
    ck_assert(json_is_false(at(status, "ok")));
    ck_assert_uint_eq(json_array_size(at(status, "errors")), TEXTS_MAX + 1);
    ck_assert_str_eq(json_string_value(json_array_get(at(status, "errors"), TEXTS_MAX)), "and 5 more");
    json_decref(status);
    status = parse(status_reload_json(true, &texts));
    ck_assert_uint_eq(json_array_size(at(status, "warnings")), TEXTS_MAX + 1);
    json_decref(status);
    texts_clear(&texts);
    line = status_error_json("no \"way\"");
    ck_assert_str_eq(line, "{\"error\":\"no \\\"way\\\"\"}");
    free(line);
    status = parse(status_config_json("[Proxy]\nServers=a\n"));
    TEXT("config", "[Proxy]\nServers=a\n");
    json_decref(status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *tests = tcase_create("status");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_test(tests, a_connected_status_is_that_of_the_interface);
    tcase_add_test(tests, every_server_is_told_with_its_state);
    tcase_add_test(tests, what_the_rules_counted_is_told);
    tcase_add_test(tests, a_blocked_status_names_reason_and_detail);
    tcase_add_test(tests, the_plain_port_stands_beside_the_secure_one);
    tcase_add_test(tests, the_status_before_the_first_test_has_nothing_to_tell);
    tcase_add_test(tests, the_state_has_no_traffic_and_its_key_no_times);
    tcase_add_test(tests, text_of_a_child_may_hold_any_bytes);
    tcase_add_test(tests, counters_of_a_relay_that_lies_stay_numbers);
    tcase_add_test(tests, a_stage_is_told_when_it_has_ended);
    tcase_add_test(tests, a_session_is_told_whole);
    tcase_add_test(tests, small_answers);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
