/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The order in which rules, route and verdict change. Below stand a kernel and relays that write down what is done to
 * them; the linker takes them instead of keeper.c and children.c. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/decide/enforce.h"

static struct {
    struct enforcement enforcement;
    char done[1024]; /* "rules secure, route plain, …" */
    const char *listen_error;
    bool refuse; /* the kernel does */
    bool closed; /* but for the table of last resort */
    struct route route;
} t;

static void note(const char *what, const char *how)
{
    size_t length = strlen(t.done);
    snprintf(t.done + length, sizeof t.done - length, "%s%s %s", length > 0 ? ", " : "", what, how);
}

bool keeper_set(struct keeper *keeper, enum verdict_kind kind)
{
    note(t.refuse ? "refused rules" : "rules", verdict_mode_text(verdict_mode(kind)));
    return !t.refuse;
}

void keeper_status(const struct keeper *keeper, struct status_rules *ret_status)
{
    *ret_status = (struct status_rules){.error = "no such thing", .last_resort = t.closed};
}

void children_set_route(struct children *children, const struct route *route)
{
    static const char *const modes[] = {[ROUTE_CLOSED] = "closed", [ROUTE_SECURE] = "secure", [ROUTE_PLAIN] = "plain"};
    ck_assert_uint_gt(route->generation, t.route.generation);
    t.route = *route;
    note("route", modes[route->mode]);
}

const char *children_listen_error(const struct children *children)
{
    return t.listen_error;
}

static struct verdict make(enum verdict_kind kind)
{
    struct verdict verdict = {.kind = kind};
    if (verdict_mode(kind) == VERDICT_MODE_SECURE || verdict_mode(kind) == VERDICT_MODE_PLAIN) {
        snprintf(verdict.server, sizeof verdict.server, "gw.example");
        ck_assert(addr_parse("192.0.2.7", 8081, &verdict.address));
    }
    return verdict;
}

static void pursue(enum verdict_kind kind)
{
    struct verdict verdict = make(kind);
    t.done[0] = '\0';
    enforce_pursue(&t.enforcement, &verdict);
}

static void retry(void)
{
    t.done[0] = '\0';
    enforce_retry(&t.enforcement);
}

#define DONE(text)       ck_assert_str_eq(t.done, text)
#define IN_FORCE(wanted) ck_assert_int_eq(t.enforcement.verdict.kind, wanted)

/* What the log says, by way of standard error. */
static const char *logged(void (*what)(void))
{
    static char text[4096];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    ck_assert(file && before >= 0);
    ck_assert_int_ge(dup2(fileno(file), STDERR_FILENO), 0);
    log_init("test", LOG_LEVEL_INFO);
    what();
    log_init("test", LOG_LEVEL_ERROR);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void set_up(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    memset(&t, 0, sizeof t);
    t.listen_error = "";
    enforce_init(&t.enforcement, NULL, NULL);
    enforce_relays_ready(&t.enforcement, true);
    DONE("");
}

static const enum verdict_kind blocked[] = {VERDICT_TESTING,     VERDICT_NO_NETWORK,         VERDICT_LOCAL_ERROR,
                                            VERDICT_AUTH_FAILED, VERDICT_PORT_NOT_AVAILABLE, VERDICT_NO_PROXY};

START_TEST(on_the_way_down_the_rules_go_first)
{
    pursue(VERDICT_SECURE);
    pursue(blocked[_i]);
    DONE("rules blocked, route closed");
    IN_FORCE(blocked[_i]);
    ck_assert_str_eq(t.route.status, verdict_status(blocked[_i]));
    ck_assert_str_eq(t.route.server, "");
    ck_assert_uint_eq(addr_port(&t.route.address), 0);
}
END_TEST

START_TEST(direct_is_a_way_down_too)
{
    pursue(VERDICT_PLAIN);
    pursue(VERDICT_NO_PROXY_DIRECT);
    DONE("rules direct, route closed");
    IN_FORCE(VERDICT_NO_PROXY_DIRECT);
}
END_TEST

START_TEST(on_the_way_up_the_route_goes_first)
{
    pursue(VERDICT_TESTING);
    pursue(VERDICT_SECURE);
    DONE("route secure, rules secure");
    IN_FORCE(VERDICT_SECURE);
    ck_assert_str_eq(t.route.server, "gw.example");
    ck_assert_uint_eq(addr_port(&t.route.address), 8081);
    ck_assert_str_eq(t.route.status, "Connected (Secure Channel)");
    pursue(VERDICT_PLAIN);
    DONE("route plain, rules plain");
    IN_FORCE(VERDICT_PLAIN);
}
END_TEST

START_TEST(the_first_verdict_is_entered_though_it_is_the_default)
{
    ck_assert_int_eq(t.enforcement.since, 0);
    pursue(VERDICT_TESTING);
    DONE("rules blocked, route closed");
    ck_assert(t.enforcement.entered);
    ck_assert_int_gt(t.enforcement.since, 0);
}
END_TEST

START_TEST(since_is_when_the_kind_of_verdict_changed)
{
    pursue(VERDICT_SECURE);
    t.enforcement.since = 5;
    pursue(VERDICT_SECURE);
    ck_assert_int_eq(t.enforcement.since, 5);
    pursue(VERDICT_PLAIN);
    ck_assert_int_gt(t.enforcement.since, 5);
}
END_TEST

START_TEST(without_a_relay_nothing_is_redirected_until_one_listens)
{
    enforce_init(&t.enforcement, NULL, NULL); /* the first one is on its way */
    pursue(VERDICT_SECURE);
    DONE("rules blocked, route closed");
    IN_FORCE(VERDICT_TESTING);
    ck_assert_str_eq(t.enforcement.verdict.detail, "no relay is listening");
    t.done[0] = '\0';
    enforce_relays_ready(&t.enforcement, true);
    DONE("route secure, rules secure");
    IN_FORCE(VERDICT_SECURE);
    t.done[0] = '\0';
    enforce_relays_ready(&t.enforcement, true); /* no news */
    DONE("");
}
END_TEST

START_TEST(relays_that_are_gone_close_the_gate_until_one_is_back)
{
    pursue(VERDICT_SECURE);
    t.done[0] = '\0';
    enforce_relays_ready(&t.enforcement, false);
    DONE("rules blocked, route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
    ck_assert_int_eq(t.enforcement.verdict.cause, CAUSE_NO_RELAY);
    t.listen_error = "the port is taken";
    pursue(VERDICT_PLAIN);
    DONE("rules blocked, route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
    ck_assert_str_eq(t.enforcement.verdict.detail, "the port is taken");
    t.done[0] = '\0';
    enforce_relays_ready(&t.enforcement, true);
    DONE("route plain, rules plain");
    IN_FORCE(VERDICT_PLAIN);
}
END_TEST

START_TEST(a_port_that_is_taken_at_the_start_is_this_hosts_fault)
{
    enforce_init(&t.enforcement, NULL, NULL);
    t.listen_error = "the port is taken";
    pursue(VERDICT_SECURE);
    DONE("rules blocked, route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
    ck_assert_str_eq(t.enforcement.verdict.detail, "the port is taken");
    t.refuse = true;
    pursue(VERDICT_SECURE);
    DONE("refused rules blocked, route closed");
    IN_FORCE(VERDICT_NOT_ENFORCED);
}
END_TEST

START_TEST(a_redirect_that_does_not_arrive_closes_the_gate)
{
    pursue(VERDICT_SECURE);
    t.done[0] = '\0';
    enforce_redirect_tried(&t.enforcement, "table ip other drops it");
    DONE("rules blocked, route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
    ck_assert_int_eq(t.enforcement.verdict.cause, CAUSE_REDIRECT_LOST);
    ck_assert_str_eq(t.enforcement.verdict.detail, "table ip other drops it");
    pursue(VERDICT_PLAIN);
    DONE("rules blocked, route closed");
    pursue(VERDICT_NO_PROXY); /* nothing would be redirected */
    IN_FORCE(VERDICT_NO_PROXY);
    t.done[0] = '\0';
    enforce_redirect_tried(&t.enforcement, "table ip other still drops it");
    DONE("");
    pursue(VERDICT_PLAIN);
    IN_FORCE(VERDICT_LOCAL_ERROR);
    t.done[0] = '\0';
    enforce_redirect_tried(&t.enforcement, "");
    DONE("route plain, rules plain");
    IN_FORCE(VERDICT_PLAIN);
    t.done[0] = '\0';
    enforce_redirect_tried(&t.enforcement, ""); /* no news */
    DONE("");
}
END_TEST

START_TEST(relays_that_are_gone_change_nothing_where_nothing_is_redirected)
{
    pursue(VERDICT_NO_PROXY);
    t.done[0] = '\0';
    enforce_relays_ready(&t.enforcement, false);
    DONE("");
    enforce_relays_ready(&t.enforcement, true);
    DONE(""); /* what is wanted is in force */
    IN_FORCE(VERDICT_NO_PROXY);
}
END_TEST

START_TEST(when_the_kernel_refuses_the_way_up_the_relays_are_closed)
{
    t.refuse = t.closed = true;
    pursue(VERDICT_SECURE);
    DONE("route secure, refused rules secure, route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
    ck_assert_str_eq(t.enforcement.verdict.detail,
                     "rules for \"Connected (Secure Channel)\" are not installed: no such thing");
    t.closed = false;
    retry();
    DONE("route secure, refused rules secure, route closed");
    IN_FORCE(VERDICT_NOT_ENFORCED);
    t.refuse = false;
    retry();
    DONE("route secure, rules secure");
    IN_FORCE(VERDICT_SECURE);
    ck_assert_str_eq(t.enforcement.verdict.detail, "");
}
END_TEST

START_TEST(no_blocked_verdict_is_claimed_without_its_rules)
{
    pursue(VERDICT_SECURE);
    t.refuse = true;
    t.closed = _i == 0;
    pursue(VERDICT_AUTH_FAILED);
    DONE("refused rules blocked, route closed");
    IN_FORCE(_i == 0 ? VERDICT_LOCAL_ERROR : VERDICT_NOT_ENFORCED);
    t.refuse = false;
    retry();
    IN_FORCE(VERDICT_AUTH_FAILED);
}
END_TEST

START_TEST(direct_is_not_claimed_without_its_rules)
{
    pursue(VERDICT_SECURE);
    t.refuse = true;
    pursue(VERDICT_NO_PROXY_DIRECT);
    DONE("refused rules direct, route closed");
    IN_FORCE(VERDICT_NOT_ENFORCED);
    t.refuse = false;
    retry();
    IN_FORCE(VERDICT_NO_PROXY_DIRECT);
}
END_TEST

START_TEST(lost_rules_close_the_relays)
{
    pursue(VERDICT_SECURE);
    t.done[0] = '\0';
    enforce_rules_lost(&t.enforcement);
    DONE("route closed");
    IN_FORCE(VERDICT_NOT_ENFORCED);
    ck_assert_ptr_nonnull(strstr(t.enforcement.verdict.detail, "no such thing"));
    retry();
    DONE("route secure, rules secure");
    IN_FORCE(VERDICT_SECURE);
}
END_TEST

START_TEST(lost_rules_end_a_blocked_verdict_too)
{
    pursue(VERDICT_NO_NETWORK);
    t.closed = true;
    t.done[0] = '\0';
    enforce_rules_lost(&t.enforcement);
    DONE("route closed");
    IN_FORCE(VERDICT_LOCAL_ERROR);
}
END_TEST

static void change_a_few_times(void)
{
    struct verdict verdict = make(VERDICT_SECURE);
    pursue(VERDICT_TESTING);
    enforce_pursue(&t.enforcement, &verdict);
    enforce_pursue(&t.enforcement, &verdict); /* no news */
    snprintf(verdict.server, sizeof verdict.server, "gw2.example");
    enforce_pursue(&t.enforcement, &verdict);
    ck_assert(addr_parse("192.0.2.8", 8081, &verdict.address));
    enforce_pursue(&t.enforcement, &verdict);
    verdict.kind = VERDICT_PLAIN;
    snprintf(verdict.fallback_detail, sizeof verdict.fallback_detail, "connection refused");
    enforce_pursue(&t.enforcement, &verdict);
    verdict = make(VERDICT_NO_PROXY);
    snprintf(verdict.detail, sizeof verdict.detail, "no answer");
    enforce_pursue(&t.enforcement, &verdict);
    snprintf(verdict.detail, sizeof verdict.detail, "no name");
    enforce_pursue(&t.enforcement, &verdict);
}

START_TEST(each_change_is_one_line)
{
    static const char *const lines[] = {
        "verdict: none -> Blocked - Testing\n",
        "verdict: Blocked - Testing -> Connected (Secure Channel): gw.example at 192.0.2.7:8081\n",
        "verdict: still Connected (Secure Channel), now gw2.example at 192.0.2.7:8081\n",
        "verdict: still Connected (Secure Channel), now gw2.example at 192.0.2.8:8081\n",
        "verdict: Connected (Secure Channel) -> Connected (Non-secure): gw2.example at 192.0.2.8:8081, because of the "
        "secure "
        "channel: connection refused\n",
        "verdict: Connected (Non-secure) -> Blocked - No proxy available: no answer\n",
        "verdict: still Blocked - No proxy available: no name\n"};
    const char *text = logged(change_a_few_times);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        text = strstr(text, "verdict: ");
        ck_assert_ptr_nonnull(text);
        ck_assert_msg(strncmp(text, lines[i], strlen(lines[i])) == 0, "%s", text);
        text += strlen(lines[i]);
    }
    ck_assert_ptr_null(strstr(text, "verdict: "));
}
END_TEST

static void lose_control(void)
{
    pursue(VERDICT_TESTING);
    pursue(VERDICT_SECURE);
    pursue(VERDICT_PLAIN);
    pursue(VERDICT_NO_PROXY_DIRECT);
    pursue(VERDICT_AUTH_FAILED);
    enforce_rules_lost(&t.enforcement);
}

/* As the journal's priorities: what stands before a line tells. */
START_TEST(the_worse_a_verdict_is_the_louder_it_is_told)
{
    static const char *const lines[] = {"[test]: verdict: none -> Blocked - Testing",
                                        "[test]: verdict: Blocked - Testing -> Connected (Secure Channel)",
                                        "warning: verdict: Connected (Secure Channel) -> Connected (Non-secure)",
                                        "warning: verdict: Connected (Non-secure) -> Direct - No proxy available",
                                        "error: verdict: Direct - No proxy available -> Blocked - Mutual Auth Failed",
                                        "alert: verdict: Blocked - Mutual Auth Failed -> Not enforced - Local error"};
    const char *text = logged(lose_control);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strstr(text, lines[i]), "%s: %s", lines[i], text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("enforce");
    TCase *tests = tcase_create("enforce");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_add_loop_test(tests, on_the_way_down_the_rules_go_first, 0, sizeof blocked / sizeof blocked[0]);
    tcase_add_test(tests, direct_is_a_way_down_too);
    tcase_add_test(tests, on_the_way_up_the_route_goes_first);
    tcase_add_test(tests, the_first_verdict_is_entered_though_it_is_the_default);
    tcase_add_test(tests, since_is_when_the_kind_of_verdict_changed);
    tcase_add_test(tests, without_a_relay_nothing_is_redirected_until_one_listens);
    tcase_add_test(tests, relays_that_are_gone_close_the_gate_until_one_is_back);
    tcase_add_test(tests, a_port_that_is_taken_at_the_start_is_this_hosts_fault);
    tcase_add_test(tests, a_redirect_that_does_not_arrive_closes_the_gate);
    tcase_add_test(tests, relays_that_are_gone_change_nothing_where_nothing_is_redirected);
    tcase_add_test(tests, when_the_kernel_refuses_the_way_up_the_relays_are_closed);
    tcase_add_loop_test(tests, no_blocked_verdict_is_claimed_without_its_rules, 0, 2);
    tcase_add_test(tests, direct_is_not_claimed_without_its_rules);
    tcase_add_test(tests, lost_rules_close_the_relays);
    tcase_add_test(tests, lost_rules_end_a_blocked_verdict_too);
    tcase_add_test(tests, each_change_is_one_line);
    tcase_add_test(tests, the_worse_a_verdict_is_the_louder_it_is_told);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
