/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of verdicts read a second time, by somebody who had not seen the first reading (verdict.c), and compared
 * with it over every outcome of up to three servers and every setting. Only the words of the table stand here:
 *
 *   secure TCP passed, authentication passed                        secure
 *   secure TCP passed, authentication failed                        auth-failed
 *   the same, by a fault of this host                               local-error
 *   secure TCP failed, fallback not allowed                         port-not-available
 *   secure TCP failed, fallback allowed, plain TCP passed / failed  plain / no-proxy
 *   secure channel off: plain TCP passed / failed                   plain / no-proxy
 *   no-proxy, OnUnavailable=direct                                  no-proxy-direct
 *   no usable route                                                 no-network
 *   not done yet                                                    testing
 *
 * Several servers: any that passes both tests, in order; else, if any passed TCP and failed authentication,
 * auth-failed; else the fallback rows, over all servers in order.
 *
 * The rows are written for tests that have ended. What has not is tried both ways: a report decides when every way in
 * which it can go on leads to the same verdict of the same server. One that is complete and does not decide is a test
 * that was not done. */
#include "config.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/verdict.h"

#define SERVERS_MAX 3

static struct conf conf; /* the one of a turn */

/* ---- the table, for tests that have ended ---- */

/* How a server's tests ended. no_route counts only where all of them failed: what passed had a route. */
enum secure_end { SECURE_BOTH_PASSED, SECURE_AUTH_FAILED, SECURE_OWN_FAULT, SECURE_TCP_FAILED, SECURE_ENDS };
struct end {
    enum secure_end secure;
    bool plain_passed;
    bool no_route;
};
#define ENDS (SECURE_ENDS * 2 * 2)

static struct end end_of(unsigned number)
{
    return (struct end){.secure = number / 4, .plain_passed = (number / 2 % 2) != 0, .no_route = number % 2 != 0};
}

/* Kind, and for connections the server in use. */
struct answer {
    enum verdict_kind kind;
    unsigned server;
};

static struct answer no_proxy(const struct end ends[], unsigned n, enum verdict_kind kind)
{
    bool no_route = true;
    for (unsigned i = 0; i < n; i++)
        no_route = no_route && ends[i].no_route;
    if (no_route)
        return (struct answer){.kind = VERDICT_NO_NETWORK};
    if (kind == VERDICT_NO_PROXY && conf.on_unavailable == CONF_UNAVAILABLE_DIRECT)
        return (struct answer){.kind = VERDICT_NO_PROXY_DIRECT};
    return (struct answer){.kind = kind};
}

static struct answer plain_rows(const struct end ends[], unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (ends[i].plain_passed)
            return (struct answer){.kind = VERDICT_PLAIN, .server = i};
    return no_proxy(ends, n, VERDICT_NO_PROXY);
}

static struct answer table(const struct end ends[], unsigned n)
{
    if (!conf.secure)
        return plain_rows(ends, n);
    for (unsigned i = 0; i < n; i++)
        if (ends[i].secure == SECURE_BOTH_PASSED)
            return (struct answer){.kind = VERDICT_SECURE, .server = i};
    for (unsigned i = 0; i < n; i++)
        if (ends[i].secure == SECURE_AUTH_FAILED)
            return (struct answer){.kind = VERDICT_AUTH_FAILED};
    for (unsigned i = 0; i < n; i++)
        if (ends[i].secure == SECURE_OWN_FAULT)
            return (struct answer){.kind = VERDICT_LOCAL_ERROR};
    if (!conf.allow_fallback)
        return no_proxy(ends, n, VERDICT_PORT_NOT_AVAILABLE);
    return plain_rows(ends, n);
}

/* ---- where a report can go from here ---- */

/* A server's part of a report. The authentication is never begun before the TCP test has passed. */
struct seen {
    enum test_outcome tcp, auth, plain;
    bool own_fault; /* of the authentication that failed */
    bool no_route;
};
#define SEEN_SECURE 8
#define SEEN        (SEEN_SECURE * 4 * 2)

static struct seen seen_of(unsigned number)
{
    static const enum test_outcome secure[SEEN_SECURE][2] = {
        {TEST_NOT_DONE, TEST_NOT_DONE}, {TEST_RUNNING, TEST_NOT_DONE}, {TEST_FAILED, TEST_NOT_DONE},
        {TEST_PASSED, TEST_NOT_DONE},   {TEST_PASSED, TEST_RUNNING},   {TEST_PASSED, TEST_PASSED},
        {TEST_PASSED, TEST_FAILED},     {TEST_PASSED, TEST_FAILED},
    };
    const enum test_outcome *pair = secure[number / 8];
    return (struct seen){.tcp = pair[0],
                         .auth = pair[1],
                         .plain = number / 2 % 4,
                         .own_fault = number / 8 == SEEN_SECURE - 1,
                         .no_route = number % 2 != 0};
}

static bool may_pass(enum test_outcome outcome)
{
    return outcome != TEST_FAILED;
}

static bool may_fail(enum test_outcome outcome)
{
    return outcome != TEST_PASSED;
}

/* The plain port is tested only where it may be used. */
static bool plain_counts(void)
{
    return !conf.secure || conf.allow_fallback;
}

static bool has_failed(const struct seen *seen)
{
    return (plain_counts() && seen->plain == TEST_FAILED) ||
           (conf.secure && (seen->tcp == TEST_FAILED || seen->auth == TEST_FAILED));
}

static bool has_more(const struct seen *seen)
{
    bool secure_more = seen->tcp != TEST_FAILED && seen->auth != TEST_PASSED && seen->auth != TEST_FAILED;
    return (conf.secure && secure_more) || (plain_counts() && seen->plain != TEST_PASSED && seen->plain != TEST_FAILED);
}

/* "Every failure so far was of this host's own network": one that was not stays one; while there is none, the next
 * decides. */
static bool may_end_with_route(const struct seen *seen, const struct end *end)
{
    if (!has_failed(seen))
        return true;
    return end->no_route ? seen->no_route : !seen->no_route || has_more(seen);
}

static bool may_end(const struct seen *seen, const struct end *end)
{
    if (!(end->plain_passed ? may_pass(seen->plain) : may_fail(seen->plain)) || !may_end_with_route(seen, end))
        return false;
    switch (end->secure) {
    case SECURE_BOTH_PASSED:
        return may_pass(seen->tcp) && may_pass(seen->auth);
    case SECURE_AUTH_FAILED:
        return may_pass(seen->tcp) && may_fail(seen->auth) && !seen->own_fault;
    case SECURE_OWN_FAULT:
        return may_pass(seen->tcp) && may_fail(seen->auth) && (seen->own_fault || seen->auth != TEST_FAILED);
    case SECURE_TCP_FAILED:
        return may_fail(seen->tcp);
    case SECURE_ENDS:
        break;
    }
    abort();
}

/* ---- all of them ---- */

static struct test_report report;
static uint16_t ends_of[SEEN];               /* a bit for each end that it can come to */
static uint32_t answers[ENDS * ENDS * ENDS]; /* of the table, as answer_bit() */
static unsigned long cases, disagreements;

static uint32_t answer_bit(struct answer answer)
{
    return (uint32_t)1 << (answer.kind * SERVERS_MAX + answer.server);
}

static void prepare(unsigned n)
{
    _Static_assert(VERDICT_COUNT * SERVERS_MAX <= 32, "a bit for each answer");
    for (unsigned s = 0; s < SEEN; s++) {
        struct seen seen = seen_of(s);
        ends_of[s] = 0;
        for (unsigned e = 0; e < ENDS; e++) {
            struct end end = end_of(e);
            if (may_end(&seen, &end))
                ends_of[s] |= (uint16_t)(1u << e);
        }
        ck_assert_uint_ne(ends_of[s], 0);
    }
    for (unsigned e = 0; e < ENDS * ENDS * ENDS; e++) {
        struct end ends[SERVERS_MAX] = {end_of(e % ENDS), end_of(e / ENDS % ENDS), end_of(e / ENDS / ENDS)};
        answers[e] = answer_bit(table(ends, n));
    }
}

/* Every answer to which the servers' reports (numbers of seen_of()) can lead. Those beyond n are number 0. */
static uint32_t possible(const unsigned seen[SERVERS_MAX], unsigned n)
{
    unsigned masks[SERVERS_MAX] = {1, 1, 1};
    uint32_t found = 0;
    for (unsigned i = 0; i < n; i++)
        masks[i] = ends_of[seen[i]];
    for (unsigned c = masks[2]; c; c &= c - 1)
        for (unsigned b = masks[1]; b; b &= b - 1)
            for (unsigned a = masks[0]; a; a &= a - 1)
                found |= answers[(unsigned)__builtin_ctz(a) + (unsigned)__builtin_ctz(b) * ENDS +
                                 (unsigned)__builtin_ctz(c) * ENDS * ENDS];
    return found;
}

static void set_server(unsigned i, unsigned number)
{
    struct seen seen = seen_of(number);
    struct server_report *server = &report.servers[i];
    server->stages[STAGE_SECURE_TCP].outcome = (uint8_t)seen.tcp;
    server->stages[STAGE_MUTUAL_AUTH].outcome = (uint8_t)seen.auth;
    server->stages[STAGE_MUTUAL_AUTH].cause = seen.own_fault ? CAUSE_KEY_MISMATCH : CAUSE_NONE;
    server->stages[STAGE_PLAIN_TCP].outcome = (uint8_t)seen.plain;
    server->no_route = seen.no_route;
}

static void tell(const unsigned seen[SERVERS_MAX], const char *expected, const char *found)
{
    static const char letter[] = {'-', 'r', 'P', 'F'};
    if (disagreements++ >= 40)
        return;
    printf("secure=%d fallback=%d direct=%d complete=%d:", conf.secure, conf.allow_fallback, conf.on_unavailable,
           report.complete);
    for (unsigned i = 0; i < report.n_servers; i++) {
        struct seen s = seen_of(seen[i]);
        printf(" %c%c%s%c%s", letter[s.tcp], letter[s.auth], s.own_fault ? "(own)" : "", letter[s.plain],
               s.no_route ? "!" : "");
    }
    printf(": table %s, verdict_decide %s\n", expected, found);
}

/* A connection names the server in use, its address and its tests. */
static bool connection_is_of(const struct verdict *verdict, unsigned i)
{
    const struct server_report *server = &report.servers[i];
    const struct addr *address = verdict->kind == VERDICT_SECURE ? &server->secure_address : &server->plain_address;
    return strcmp(verdict->server, server->server) == 0 && addr_equal(&verdict->address, address) &&
           verdict->stages[STAGE_SECURE_TCP].us == server->stages[STAGE_SECURE_TCP].us;
}

static bool answer_is(const struct verdict *verdict, struct answer answer)
{
    if (verdict->kind != answer.kind)
        return false;
    if (answer.kind == VERDICT_SECURE || answer.kind == VERDICT_PLAIN)
        return connection_is_of(verdict, answer.server);
    return addr_port(&verdict->address) == 0;
}

static void compare(const unsigned seen[SERVERS_MAX])
{
    static struct verdict verdict;
    uint32_t found = possible(seen, report.n_servers);
    bool decides = (found & (found - 1)) == 0, decided;
    struct answer answer = {.kind = VERDICT_TESTING};
    if (decides)
        answer = (struct answer){.kind = (unsigned)__builtin_ctz(found) / SERVERS_MAX,
                                 .server = (unsigned)__builtin_ctz(found) % SERVERS_MAX};
    cases++;
    verdict.kind = VERDICT_COUNT;
    decided = verdict_decide(&report, &conf, &verdict);
    if (decided != (decides || report.complete))
        tell(seen, decides ? verdict_slug(answer.kind) : "waits", decided ? verdict_slug(verdict.kind) : "waits");
    else if (!decided)
        ck_assert_int_eq(verdict.kind, VERDICT_COUNT); /* untouched */
    else if (!answer_is(&verdict, answer))
        tell(seen, verdict_slug(answer.kind),
             verdict.kind == answer.kind ? "the same of another server" : verdict_slug(verdict.kind));
}

static void compare_all(unsigned n)
{
    unsigned seen[SERVERS_MAX] = {0, 0, 0}, limits[SERVERS_MAX];
    for (unsigned i = 0; i < SERVERS_MAX; i++)
        limits[i] = i < n ? SEEN : 1;
    for (seen[0] = 0; seen[0] < limits[0]; seen[0]++) {
        set_server(0, seen[0]);
        for (seen[1] = 0; seen[1] < limits[1]; seen[1]++) {
            set_server(1, seen[1]);
            for (seen[2] = 0; seen[2] < limits[2]; seen[2]++) {
                set_server(2, seen[2]);
                for (int complete = 0; complete < 2; complete++) {
                    report.complete = complete != 0;
                    compare(seen);
                }
            }
        }
    }
}

static void name_servers(unsigned n)
{
    static char names[SERVERS_MAX][NAME_SIZE] = {"gw1.example", "gw2.example", "gw3.example"};
    memset(&conf, 0, sizeof conf);
    memset(&report, 0, sizeof report);
    conf.n_servers = report.n_servers = n;
    conf.secure_port = 8081;
    conf.port = 8080;
    for (unsigned i = 0; i < n; i++) {
        struct server_report *server = &report.servers[i];
        char text[32];
        conf.servers[i] = names[i];
        memcpy(server->server, names[i], sizeof names[i]);
        snprintf(text, sizeof text, "192.0.2.%u", i + 1);
        ck_assert(addr_parse(text, conf.secure_port, &server->secure_address));
        ck_assert(addr_parse(text, conf.port, &server->plain_address));
        server->stages[STAGE_SECURE_TCP].us = i + 1;
    }
}

START_TEST(both_readings_agree)
{
    for (unsigned n = 1; n <= SERVERS_MAX; n++) {
        name_servers(n);
        for (unsigned flags = 0; flags < 8; flags++) {
            conf.secure = flags & 1;
            conf.allow_fallback = flags & 2;
            conf.on_unavailable = flags & 4 ? CONF_UNAVAILABLE_DIRECT : CONF_UNAVAILABLE_BLOCK;
            prepare(n);
            compare_all(n);
        }
    }
    printf("%lu cases, %lu disagreements\n", cases, disagreements);
    fflush(stdout);
    ck_assert_uint_gt(cases, 4000000);
    ck_assert_uint_eq(disagreements, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict_table");
    TCase *tests = tcase_create("verdict_table");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, both_readings_agree);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
