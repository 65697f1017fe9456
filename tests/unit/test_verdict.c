/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every mix of outcomes over one to three servers against a second, independently written reading of the table. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/verdict.h"

#define SERVERS_MAX 3

/* What one server's tests have come to, or will come to. */
enum secure { SECURE_TRUSTED, SECURE_MISTRUSTED, SECURE_OWN_FAULT, SECURE_UNREACHABLE, SECURE_IN_AUTH, SECURE_IN_TCP };
enum plain { PLAIN_OPEN, PLAIN_UNREACHABLE, PLAIN_IN_TCP };

#define SECURE_FINAL 4
#define SECURE_ALL   6
#define PLAIN_FINAL  2
#define PLAIN_ALL    3

struct outcome {
    enum secure secure;
    enum plain plain;
    bool no_route;
};

struct expected {
    enum verdict_kind kind;
    int server; /* -1: none in use */
};

static const struct verdict untouched = {.kind = VERDICT_TESTING, .detail = "untouched"};

/* ---- the specification, read top to bottom ---- */

static struct expected specify(const struct outcome *servers, int n, const struct conf *conf)
{
    bool mistrusted = false, own_fault = false, all_without_route = true;
    for (int i = 0; i < n; i++)
        all_without_route = all_without_route && servers[i].no_route;

    if (conf->secure) {
        for (int i = 0; i < n; i++) {
            if (servers[i].secure == SECURE_TRUSTED)
                return (struct expected){VERDICT_SECURE, i};
            mistrusted = mistrusted || servers[i].secure == SECURE_MISTRUSTED;
            own_fault = own_fault || servers[i].secure == SECURE_OWN_FAULT;
        }
        if (mistrusted || own_fault)
            return (struct expected){mistrusted ? VERDICT_AUTH_FAILED : VERDICT_LOCAL_ERROR, -1};
        if (!conf->allow_fallback)
            return (struct expected){all_without_route ? VERDICT_NO_NETWORK : VERDICT_PORT_NOT_AVAILABLE, -1};
    }
    for (int i = 0; i < n; i++)
        if (servers[i].plain == PLAIN_OPEN)
            return (struct expected){VERDICT_PLAIN, i};
    if (all_without_route)
        return (struct expected){VERDICT_NO_NETWORK, -1};
    return (struct expected){
        conf->on_unavailable == CONF_UNAVAILABLE_DIRECT ? VERDICT_NO_PROXY_DIRECT : VERDICT_NO_PROXY, -1};
}

static bool same(struct expected a, struct expected b)
{
    return a.kind == b.kind && a.server == b.server;
}

/* Whether all ways in which the open stages can end lead to the same verdict; then *ret is it. */
static bool specify_partial(const struct outcome *servers, int n, const struct conf *conf, struct expected *ret)
{
    struct outcome done[SERVERS_MAX];
    struct expected first = {VERDICT_TESTING, -1};
    int ways[SERVERS_MAX][2], total = 1;
    for (int i = 0; i < n; i++) {
        static const int secure_ways[] = {1, 1, 1, 1, 3, 4};
        ways[i][0] = secure_ways[servers[i].secure];
        ways[i][1] = servers[i].plain == PLAIN_IN_TCP ? 2 : 1;
        total *= ways[i][0] * ways[i][1];
    }
    for (int way = 0; way < total; way++) {
        int rest = way;
        for (int i = 0; i < n; i++) {
            done[i] = servers[i];
            if (ways[i][0] > 1)
                done[i].secure = (enum secure)(rest % ways[i][0]);
            rest /= ways[i][0];
            if (ways[i][1] > 1)
                done[i].plain = (enum plain)(rest % ways[i][1]);
            rest /= ways[i][1];
        }
        struct expected expected = specify(done, n, conf);
        if (way > 0 && !same(expected, first))
            return false;
        first = expected;
    }
    *ret = first;
    return true;
}

/* ---- reports ---- */

static void set_stage(struct test_stage *stage, enum test_outcome outcome, const char *what, int server)
{
    stage->outcome = (uint8_t)outcome;
    stage->us = outcome == TEST_PASSED || outcome == TEST_FAILED ? 1000 : 0;
    stage->cause = outcome == TEST_FAILED ? (uint8_t)(CAUSE_TCP_REFUSED + server) : CAUSE_NONE;
    if (outcome == TEST_FAILED)
        snprintf(stage->detail, sizeof stage->detail, "%s of server %d failed", what, server);
    else
        stage->detail[0] = '\0';
}

static void fill_server(struct server_report *server, const struct outcome *outcome, int i, bool started)
{
    static const enum test_outcome tcp[] = {TEST_PASSED, TEST_PASSED, TEST_PASSED,
                                            TEST_FAILED, TEST_PASSED, TEST_RUNNING};
    static const enum test_outcome auth[] = {TEST_PASSED,   TEST_FAILED,  TEST_FAILED,
                                             TEST_NOT_DONE, TEST_RUNNING, TEST_NOT_DONE};
    static const enum test_outcome plain[] = {TEST_PASSED, TEST_FAILED, TEST_RUNNING};
    memset(server, 0, sizeof *server);
    snprintf(server->server, sizeof server->server, "gw%d.example", i);
    set_stage(&server->stages[STAGE_SECURE_TCP], tcp[outcome->secure], "secure tcp", i);
    set_stage(&server->stages[STAGE_MUTUAL_AUTH], auth[outcome->secure], "authentication", i);
    set_stage(&server->stages[STAGE_PLAIN_TCP], plain[outcome->plain], "plain tcp", i);
    if (outcome->secure == SECURE_OWN_FAULT)
        server->stages[STAGE_MUTUAL_AUTH].cause = CAUSE_FILE_MISSING;
    /* Not begun and running are the same to the verdict: nothing is known yet. */
    if (!started && server->stages[STAGE_SECURE_TCP].outcome == TEST_RUNNING)
        server->stages[STAGE_SECURE_TCP].outcome = TEST_NOT_DONE;
    if (!started && server->stages[STAGE_MUTUAL_AUTH].outcome == TEST_RUNNING)
        server->stages[STAGE_MUTUAL_AUTH].outcome = TEST_NOT_DONE;
    if (!started && server->stages[STAGE_PLAIN_TCP].outcome == TEST_RUNNING)
        server->stages[STAGE_PLAIN_TCP].outcome = TEST_NOT_DONE;
    server->no_route = outcome->no_route;
    addr_parse("192.0.2.1", (uint16_t)(8081 + 10 * i), &server->secure_address);
    addr_parse("192.0.2.1", (uint16_t)(8080 + 10 * i), &server->plain_address);
    snprintf(server->tls.version, sizeof server->tls.version, "TLSv1.%u", (unsigned)i % 10);
}

static void next_outcome(struct outcome *outcome, int *index, int secure_count, int plain_count)
{
    int i = *index;
    outcome->secure = (enum secure)(i % secure_count);
    i /= secure_count;
    outcome->plain = (enum plain)(i % plain_count);
    i /= plain_count;
    outcome->no_route = i % 2;
    *index = i / 2;
}

static struct conf *make_conf(int variant)
{
    struct conf *conf = calloc(1, sizeof *conf);
    ck_assert_ptr_nonnull(conf);
    conf->secure = variant & 1;
    conf->allow_fallback = variant & 2;
    conf->on_unavailable = variant & 4 ? CONF_UNAVAILABLE_DIRECT : CONF_UNAVAILABLE_BLOCK;
    return conf;
}

static void check_verdict(const struct verdict *verdict, struct expected expected, const struct test_report *report,
                          const struct conf *conf)
{
    ck_assert_int_eq(verdict->kind, expected.kind);
    if (expected.server >= 0) {
        const struct server_report *server = &report->servers[expected.server];
        bool secure = expected.kind == VERDICT_SECURE;

        ck_assert_str_eq(verdict->server, server->server);
        ck_assert(addr_equal(&verdict->address, secure ? &server->secure_address : &server->plain_address));
        ck_assert_str_eq(verdict->detail, "");
        ck_assert_int_eq(verdict->cause, CAUSE_NONE);
        ck_assert_int_eq(verdict->fallback_cause, !secure && conf->secure ? server->stages[STAGE_SECURE_TCP].cause : 0);
        ck_assert_int_eq(verdict->stages[secure ? STAGE_SECURE_TCP : STAGE_PLAIN_TCP].outcome, TEST_PASSED);
        ck_assert_str_eq(verdict->tls.version, secure ? server->tls.version : "");
        ck_assert_str_eq(verdict->fallback_detail,
                         !secure && conf->secure ? server->stages[STAGE_SECURE_TCP].detail : "");
        return;
    }
    ck_assert_int_eq(addr_port(&verdict->address), 0);
    ck_assert_str_ne(verdict->server, "");
    ck_assert_str_ne(verdict->detail, "");
    ck_assert_int_ne(verdict->cause, CAUSE_NONE);
}

/* The invariant above all others: one TCP success on the secure port, and nothing leads to the plain port. */
static void check_no_plain_after_secure_tcp(const struct verdict *verdict, const struct test_report *report,
                                            const struct conf *conf)
{
    if (verdict->kind != VERDICT_PLAIN && verdict->kind != VERDICT_NO_PROXY_DIRECT)
        return;
    for (uint32_t i = 0; conf->secure && i < report->n_servers; i++)
        ck_assert_int_ne(report->servers[i].stages[STAGE_SECURE_TCP].outcome, TEST_PASSED);
}

static void check_all(int n, bool complete, bool started)
{
    int secure_count = complete ? SECURE_FINAL : SECURE_ALL, plain_count = complete ? PLAIN_FINAL : PLAIN_ALL;
    struct test_report *report = calloc(1, sizeof *report);
    int per_server = secure_count * plain_count * 2, total = 1, decided = 0;
    ck_assert_ptr_nonnull(report);
    for (int i = 0; i < n; i++)
        total *= per_server;
    report->complete = complete;
    report->n_servers = (uint32_t)n;

    for (int variant = 0; variant < 8; variant++) {
        struct conf *conf = make_conf(variant);

        for (int mix = 0; mix < total; mix++) {
            struct outcome outcomes[SERVERS_MAX];
            struct expected expected;
            struct verdict verdict = untouched;
            int index = mix;

            for (int i = 0; i < n; i++) {
                next_outcome(&outcomes[i], &index, secure_count, plain_count);
                fill_server(&report->servers[i], &outcomes[i], i, started);
            }
            bool must = specify_partial(outcomes, n, conf, &expected);
            bool does = verdict_decide(report, conf, &verdict);

            ck_assert_msg(must == does, "variant %d mix %d: decided %d, must %d", variant, mix, does, must);
            if (!does) {
                ck_assert_mem_eq(&verdict, &untouched, sizeof verdict);
                continue;
            }
            decided++;
            check_verdict(&verdict, expected, report, conf);
            check_no_plain_after_secure_tcp(&verdict, report, conf);
        }
        free(conf);
    }
    ck_assert(complete ? decided == 8 * total : decided > 0 && decided < 8 * total);
    free(report);
}

START_TEST(a_complete_report_decides_as_the_table_says)
{
    check_all(_i, true, true);
}
END_TEST

START_TEST(an_unfinished_report_decides_only_when_every_end_agrees)
{
    check_all(_i, false, true);
}
END_TEST

START_TEST(a_stage_not_begun_counts_like_a_running_one)
{
    check_all(_i, false, false);
}
END_TEST

static struct verdict decide(struct test_report *report, const struct conf *conf)
{
    struct verdict verdict = untouched;
    report->complete = true;
    ck_assert(verdict_decide(report, conf, &verdict));
    return verdict;
}

START_TEST(an_abandoned_stage_of_a_complete_report_decides_nothing)
{
    struct conf *conf = make_conf(1 | 2);
    struct test_report report = {.n_servers = 1};
    struct outcome in_auth = {SECURE_IN_AUTH, PLAIN_OPEN, false}, in_tcp = {SECURE_IN_TCP, PLAIN_IN_TCP, false};
    struct verdict verdict;
    fill_server(&report.servers[0], &in_auth, 0, true);
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_TESTING);
    ck_assert_int_eq(verdict.cause, CAUSE_TEST_UNFINISHED);
    ck_assert_str_eq(verdict.detail, "gw0.example: test of mutual authentication did not end");

    /* Neither to the plain port, which answers, nor past the proxy. */
    conf->on_unavailable = CONF_UNAVAILABLE_DIRECT;
    fill_server(&report.servers[0], &in_tcp, 0, true);
    report.servers[0].stages[STAGE_PLAIN_TCP].outcome = TEST_PASSED;
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_TESTING);
    ck_assert_str_eq(verdict.detail, "gw0.example: test of TCP to the secure port did not end");

    conf->secure = false;
    report.servers[0].stages[STAGE_PLAIN_TCP].outcome = TEST_NOT_DONE;
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_TESTING);
    ck_assert_str_eq(verdict.detail, "gw0.example: test of TCP to the plain port did not end");
    free(conf);
}
END_TEST

START_TEST(a_report_without_servers_never_connects)
{
    struct test_report report = {.complete = true};
    for (int variant = 0; variant < 8; variant++) {
        struct conf *conf = make_conf(variant);
        struct verdict verdict = decide(&report, conf);

        ck_assert_int_ne(verdict.kind, VERDICT_SECURE);
        ck_assert_int_ne(verdict.kind, VERDICT_PLAIN);
        ck_assert_str_ne(verdict.detail, "");
        free(conf);
    }
}
END_TEST

START_TEST(the_detail_is_of_the_server_that_decides)
{
    struct conf *conf = make_conf(1 | 2);
    struct test_report report = {.n_servers = 3};
    struct outcome lost = {SECURE_UNREACHABLE, PLAIN_UNREACHABLE, true};
    struct outcome dead = {SECURE_UNREACHABLE, PLAIN_UNREACHABLE, false};
    struct outcome bad = {SECURE_MISTRUSTED, PLAIN_OPEN, false};
    fill_server(&report.servers[0], &lost, 0, true);
    fill_server(&report.servers[1], &dead, 1, true);
    fill_server(&report.servers[2], &bad, 2, true);
    struct verdict verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_AUTH_FAILED);
    ck_assert_str_eq(verdict.server, "gw2.example");
    ck_assert_int_eq(verdict.cause, CAUSE_TCP_REFUSED + 2);
    ck_assert_str_eq(verdict.detail, "authentication of server 2 failed");

    /* A refused port tells more than a missing route. */
    fill_server(&report.servers[2], &lost, 2, true);
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_NO_PROXY);
    ck_assert_int_eq(verdict.cause, CAUSE_TCP_REFUSED + 1);
    ck_assert_str_eq(verdict.detail, "plain tcp of server 1 failed");

    conf->allow_fallback = false;
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_PORT_NOT_AVAILABLE);
    ck_assert_str_eq(verdict.server, "gw1.example");
    ck_assert_str_eq(verdict.detail, "secure tcp of server 1 failed");

    fill_server(&report.servers[1], &lost, 1, true);
    verdict = decide(&report, conf);
    ck_assert_int_eq(verdict.kind, VERDICT_NO_NETWORK);
    ck_assert_str_eq(verdict.detail, "secure tcp of server 0 failed");
    free(conf);
}
END_TEST

static const struct {
    enum verdict_kind kind;
    const char *status, *connection_status, *reason, *mode;
} rows[] = {
    {VERDICT_TESTING, "Blocked - Testing", "Testing", "Testing", "blocked"},
    {VERDICT_SECURE, "Connected (Secure Channel)", "Proxy Trusted", NULL, "secure"},
    {VERDICT_PLAIN, "Connected (Non-secure)", "Proxy Connected", NULL, "plain"},
    {VERDICT_PORT_NOT_AVAILABLE, "Blocked - Secure channel port not available", "Proxy Unreachable",
     "Secure channel port not available", "blocked"},
    {VERDICT_AUTH_FAILED, "Blocked - Mutual Auth Failed", "Proxy Mistrust", "Mutual Auth Failed", "blocked"},
    {VERDICT_NO_PROXY, "Blocked - No proxy available", "Proxy Unreachable", "No proxy available", "blocked"},
    {VERDICT_NO_PROXY_DIRECT, "Direct - No proxy available", "Proxy Unreachable", "No proxy available", "direct"},
    {VERDICT_NO_NETWORK, "Blocked - No network", "No Connectivity", "No network", "blocked"},
    {VERDICT_LOCAL_ERROR, "Blocked - Local error", "Not Tested", "Local error", "blocked"},
    {VERDICT_NOT_ENFORCED, "Not enforced - Local error", "Not Tested", "Local error", "open"},
};

START_TEST(only_files_and_means_of_this_host_are_its_own_fault)
{
    static const char *const own[] = {"no-resources", "file-missing",  "file-permission",
                                      "file-invalid", "key-encrypted", "key-mismatch"};
    for (int cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++) {
        bool listed = false;
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            listed = listed || strcmp(own[i], cause_slug((enum cause)cause)) == 0;
        ck_assert_msg(cause_is_of_this_host((enum cause)cause) == listed, "%s", cause_slug((enum cause)cause));
    }
    ck_assert(!cause_is_of_this_host(CAUSE_NONE));
}
END_TEST

START_TEST(each_mode_has_its_exit_status)
{
    ck_assert_int_eq(verdict_exit(VERDICT_NO_PROXY_DIRECT), 6);
    ck_assert_int_eq(verdict_exit(VERDICT_LOCAL_ERROR), 4);
    ck_assert_int_eq(verdict_exit(VERDICT_NOT_ENFORCED), 7);
}
END_TEST

START_TEST(texts_are_those_of_the_interface)
{
    enum verdict_kind kind = rows[_i].kind;
    ck_assert_str_eq(verdict_status(kind), rows[_i].status);
    ck_assert_str_eq(verdict_connection_status(kind), rows[_i].connection_status);
    ck_assert_pstr_eq(verdict_reason(kind), rows[_i].reason);
    ck_assert_str_eq(verdict_mode_text(verdict_mode(kind)), rows[_i].mode);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict");
    TCase *table = tcase_create("table"), *details = tcase_create("details");
    SRunner *runner;
    int failed;
    tcase_set_timeout(table, 300);
    tcase_add_loop_test(table, a_complete_report_decides_as_the_table_says, 1, SERVERS_MAX + 1);
    tcase_add_loop_test(table, an_unfinished_report_decides_only_when_every_end_agrees, 1, SERVERS_MAX + 1);
    tcase_add_loop_test(table, a_stage_not_begun_counts_like_a_running_one, 1, SERVERS_MAX);
    tcase_add_test(details, an_abandoned_stage_of_a_complete_report_decides_nothing);
    tcase_add_test(details, a_report_without_servers_never_connects);
    tcase_add_test(details, the_detail_is_of_the_server_that_decides);
    tcase_add_test(details, only_files_and_means_of_this_host_are_its_own_fault);
    tcase_add_test(details, each_mode_has_its_exit_status);
    tcase_add_loop_test(details, texts_are_those_of_the_interface, 0, sizeof rows / sizeof rows[0]);
    suite_add_tcase(suite, table);
    suite_add_tcase(suite, details);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
