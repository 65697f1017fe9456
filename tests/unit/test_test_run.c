/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How tests follow each other and what becomes of their reports. Prober and verdict's door are written down here; the
 * linker takes them instead of children.c and enforce.c. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gate/decide/test_run.h"

#define DEADLINE 20. /* seconds; only reached by a failure */

static struct {
    struct ev_loop *loop;
    struct conf *conf;
    struct enforcement enforcement;
    struct test_run test_run;
    ev_timer deadline;
    bool no_prober;
    uint64_t asked; /* the id of the test that the prober was asked for last */
    int tests, kills, verdicts;
    struct test_report report;
} t;

bool children_start_test(struct children *children, uint64_t test_id)
{
    if (t.no_prober)
        return false;
    ck_assert_uint_eq(test_id, t.asked + 1);
    t.asked = test_id;
    t.tests++;
    return true;
}

void children_kill_prober(struct children *children, const char *why)
{
    t.kills++;
}

void enforce_pursue(struct enforcement *enforcement, const struct verdict *wanted)
{
    t.verdicts++;
    enforcement->verdict = *wanted;
    enforcement->generation++;
}

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ev_run(t.loop, EVRUN_ONCE);                                                                                \
    } while (0)

static struct conf *read_conf(const char *more)
{
    char text[512];
    struct conf *conf = NULL;
    FILE *stream;
    snprintf(text, sizeof text,
             "[Proxy]\nServers=192.0.2.1 192.0.2.2\nPort=8080\nSecurePort=8081\n[SecureChannel]\nAuthURL=\n[Test]\n"
             "Interval=1h\nConnectTimeout=100ms\nHandshakeTimeout=100ms\n%s",
             more);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

static void set_up(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    memset(&t, 0, sizeof t);
    t.conf = read_conf("");
    t.loop = ev_loop_new(0);
    test_run_init(&t.test_run, t.loop, NULL, &t.enforcement, t.conf);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
    t.report.n_servers = 2;
}

static void tear_down(void)
{
    test_run_fini(&t.test_run);
    ev_loop_destroy(t.loop);
    conf_free(t.conf);
}

/* A prober is there, and runs its first test. */
static void start(void)
{
    ev_tstamp begun = ev_time();
    test_run_request(&t.test_run, SCHEDULE_START);
    ck_assert_int_eq(t.tests, 0); /* from the loop */
    UNTIL(t.tests == 1);
    ck_assert_double_lt(ev_time() - begun, 0.5);
}

static bool report(uint64_t id, bool complete)
{
    t.report.test_id = id;
    t.report.complete = complete;
    return test_run_on_report(&t.test_run, &t.report);
}

/* The first server answers on the secure port and is trusted. */
static void make_good(void)
{
    struct server_report *server = &t.report.servers[0];
    server->stages[STAGE_SECURE_TCP].outcome = server->stages[STAGE_MUTUAL_AUTH].outcome = TEST_PASSED;
    snprintf(server->server, sizeof server->server, "192.0.2.1");
    ck_assert(addr_parse("192.0.2.1", 8081, &server->secure_address));
}

static const char *over(uint64_t id)
{
    const char *why = NULL;
    return !test_run_is_over(&t.test_run, id, &why) ? "no" : why ? why : "yes";
}

START_TEST(nothing_is_tested_without_a_prober)
{
    ck_assert(!test_run_can_test(&t.test_run));
    ck_assert_uint_eq(test_run_test_now(&t.test_run), 0);
    test_run_request(&t.test_run, SCHEDULE_NETWORK);
    test_run_request(&t.test_run, SCHEDULE_RESUMED);
    ck_assert_int_eq(ev_run(t.loop, EVRUN_NOWAIT), 1);
    ck_assert_int_eq(t.tests, 0);
    start();
    ck_assert(test_run_can_test(&t.test_run));
}
END_TEST

START_TEST(the_verdict_is_entered_once_as_soon_as_it_is_certain)
{
    start();
    t.report.servers[0].stages[STAGE_SECURE_TCP].outcome = TEST_RUNNING;
    ck_assert(report(1, false));
    ck_assert_int_eq(t.verdicts, 0);
    ck_assert_int_eq(t.test_run.tested_at, 0);
    make_good();
    ck_assert(report(1, false));
    ck_assert_int_eq(t.verdicts, 1);
    ck_assert_int_eq(t.enforcement.verdict.kind, VERDICT_SECURE);
    ck_assert_int_gt(t.test_run.tested_at, 0);
    ck_assert_str_eq(over(1), "no"); /* what still runs is told, too */
    t.report.servers[1].stages[STAGE_SECURE_TCP].outcome = TEST_FAILED;
    ck_assert(report(1, true));
    ck_assert_int_eq(t.verdicts, 1);
    ck_assert_str_eq(over(1), "yes");
    ck_assert(!ev_is_active(&t.test_run.bound));
}
END_TEST

START_TEST(reports_of_another_test_are_dropped)
{
    start();
    make_good();
    ck_assert(!report(2, true));
    ck_assert(!report(0, true));
    ck_assert_int_eq(t.verdicts, 0);
    ck_assert(report(1, true));
    ck_assert(!report(1, true)); /* it is over */
    ck_assert_int_eq(t.verdicts, 1);
}
END_TEST

START_TEST(who_asks_joins_the_test_that_is_undecided_and_gets_a_new_one_behind_a_decided)
{
    start();
    ck_assert_uint_eq(test_run_test_now(&t.test_run), 1);
    make_good();
    ck_assert(report(1, false));
    ck_assert_uint_eq(test_run_test_now(&t.test_run), 2);
    ck_assert_int_eq(t.test_run.schedule.by, SCHEDULE_BY_REQUEST);
    ck_assert_int_eq(t.tests, 2);
    ck_assert_str_eq(over(1), "yes");
    ck_assert_str_eq(over(2), "no");
    ck_assert(!report(1, true)); /* abandoned */
    ck_assert(report(2, true));
    ck_assert_str_eq(over(2), "yes");
}
END_TEST

START_TEST(a_test_without_its_prober_is_over_and_says_why)
{
    start();
    test_run_on_prober_lost(&t.test_run);
    ck_assert_str_eq(over(1), "the prober ended during the test; it is started again");
    ck_assert(!test_run_can_test(&t.test_run));
    make_good();
    ck_assert(!report(1, true));
    ck_assert_int_eq(t.verdicts, 0);
    test_run_request(&t.test_run, SCHEDULE_START);
    UNTIL(t.tests == 2);
    ck_assert_str_eq(over(2), "no");
    ck_assert(report(2, true));
    ck_assert_str_eq(over(2), "yes");
    ck_assert_str_eq(over(1), "the prober ended during the test; it is started again");
}
END_TEST

START_TEST(a_reload_abandons_the_test)
{
    struct conf *conf = read_conf("");
    start();
    test_run_set_conf(&t.test_run, conf);
    ck_assert_str_eq(over(1), "the configuration was reloaded during the test");
    ck_assert(!test_run_can_test(&t.test_run)); /* until the prober has taken it */
    test_run_request(&t.test_run, SCHEDULE_START);
    UNTIL(t.tests == 2);
    conf_free(t.conf);
    t.conf = conf;
}
END_TEST

START_TEST(a_prober_that_is_gone_unseen_is_waited_for)
{
    start();
    make_good();
    ck_assert(report(1, true));
    t.no_prober = true;
    ck_assert_uint_eq(test_run_test_now(&t.test_run), 0);
    ck_assert(!test_run_can_test(&t.test_run));
}
END_TEST

START_TEST(a_test_that_never_ends_costs_the_prober_its_life)
{
    ev_tstamp begun;
    start();
    ev_now_update(t.loop);
    begun = ev_now(t.loop);
    UNTIL(t.kills == 1);
    /* 3 connects, 4 handshakes of 100 ms each and five seconds. */
    ck_assert_double_ge(ev_now(t.loop) - begun, 5.6);
    ck_assert_double_lt(ev_now(t.loop) - begun, 8.);
    ck_assert_str_eq(over(1), "no"); /* until the prober is lost */
}
END_TEST

START_TEST(a_decided_test_that_never_ends_is_ended_too)
{
    start();
    make_good();
    ck_assert(report(1, false));
    UNTIL(t.kills == 1);
}
END_TEST

START_TEST(trouble_on_the_route_in_force_starts_a_test)
{
    struct ipc_trouble trouble = {.detail = "of the test"};
    start();
    make_good();
    ck_assert(report(1, true));
    trouble.generation = t.enforcement.generation - 1; /* of a route that is no more */
    test_run_on_trouble(&t.test_run, &trouble);
    ev_run(t.loop, EVRUN_NOWAIT);
    ck_assert_int_eq(t.tests, 1);
    trouble.generation = t.enforcement.generation;
    test_run_on_trouble(&t.test_run, &trouble);
    UNTIL(t.tests == 2);
    /* A test that changes nothing makes the next trouble wait, one that changes the address alone does not. */
    ck_assert(report(2, true));
    ck_assert_double_gt(t.test_run.schedule.trouble_delay, 0.);
    trouble.generation = t.enforcement.generation;
    test_run_on_trouble(&t.test_run, &trouble);
    UNTIL(t.tests == 3);
    ck_assert(addr_parse("192.0.2.9", 8081, &t.report.servers[0].secure_address));
    ck_assert(report(3, true));
    ck_assert_double_le(t.test_run.schedule.trouble_delay, 0.);
}
END_TEST

START_TEST(trouble_while_nothing_is_connected_is_no_news)
{
    struct ipc_trouble trouble = {.detail = "of the test"};
    start();
    t.report.servers[0].stages[STAGE_SECURE_TCP].outcome = t.report.servers[1].stages[STAGE_SECURE_TCP].outcome =
        TEST_FAILED;
    ck_assert(report(1, true));
    ck_assert_int_eq(t.enforcement.verdict.kind, VERDICT_PORT_NOT_AVAILABLE);
    trouble.generation = t.enforcement.generation;
    double due = schedule_due(&t.test_run.schedule);
    test_run_on_trouble(&t.test_run, &trouble);
    ck_assert(schedule_due(&t.test_run.schedule) >= due && schedule_due(&t.test_run.schedule) <= due);
}
END_TEST

START_TEST(while_blocked_the_next_test_comes_soon)
{
    start();
    t.report.servers[0].stages[STAGE_SECURE_TCP].outcome = t.report.servers[1].stages[STAGE_SECURE_TCP].outcome =
        TEST_FAILED;
    ck_assert(report(1, true));
    UNTIL(t.tests == 2); /* though the interval is an hour */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("test_run");
    TCase *tests = tcase_create("test_run");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, nothing_is_tested_without_a_prober);
    tcase_add_test(tests, the_verdict_is_entered_once_as_soon_as_it_is_certain);
    tcase_add_test(tests, reports_of_another_test_are_dropped);
    tcase_add_test(tests, who_asks_joins_the_test_that_is_undecided_and_gets_a_new_one_behind_a_decided);
    tcase_add_test(tests, a_test_without_its_prober_is_over_and_says_why);
    tcase_add_test(tests, a_reload_abandons_the_test);
    tcase_add_test(tests, a_prober_that_is_gone_unseen_is_waited_for);
    tcase_add_test(tests, a_test_that_never_ends_costs_the_prober_its_life);
    tcase_add_test(tests, a_decided_test_that_never_ends_is_ended_too);
    tcase_add_test(tests, trouble_on_the_route_in_force_starts_a_test);
    tcase_add_test(tests, trouble_while_nothing_is_connected_is_no_news);
    tcase_add_test(tests, while_blocked_the_next_test_comes_soon);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
