/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the keeper does when others change the rules or the kernel refuses. The table below does as it is told; the
 * linker takes it instead of table.c. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gate/rules/keeper.h"
#include "gate/rules/modules.h"

#define DEADLINE 20. /* seconds; only reached by a failure */

/* The keeper's clock, ahead of the loop's. */
static ev_tstamp later;

ev_tstamp __real_ev_now(struct ev_loop *loop);
ev_tstamp __wrap_ev_now(struct ev_loop *loop);

ev_tstamp __wrap_ev_now(struct ev_loop *loop)
{
    return __real_ev_now(loop) + later;
}

static struct {
    struct ev_loop *loop;
    struct keeper *keeper;
    struct conf *conf;
    ev_timer deadline;
    int apply_result, verify_result, close_result;
    const char *missing; /* modules; NULL: none */
    bool unknown;        /* others changed rules while the table was applied */
    int applied, verified, closed, asked, removed, freed;
    enum verdict_mode mode;
    char status[64], why[DETAIL_MAX];
    size_t n_proxies;
    int lost, retries;
    ev_tstamp retried;
} t;

int table_apply(struct table *table, const struct ruleset_spec *spec, char ret_error[static TABLE_ERROR_MAX])
{
    ck_assert_ptr_eq(spec->conf, t.conf);
    ck_assert_uint_eq(spec->own_uid, 77);
    t.applied++;
    t.mode = spec->mode;
    t.n_proxies = spec->n_proxies;
    snprintf(t.status, sizeof t.status, "%s", spec->status);
    if (t.apply_result < 0)
        snprintf(ret_error, TABLE_ERROR_MAX, "the kernel refuses (%d)", t.apply_result);
    return t.apply_result;
}

int table_verify(struct table *table, char ret_error[static TABLE_ERROR_MAX])
{
    t.verified++;
    if (t.verify_result < 0)
        snprintf(ret_error, TABLE_ERROR_MAX, "the kernel cannot be read");
    return t.verify_result;
}

int table_close(struct table *table, const struct conf *conf, const char *why, char ret_error[static TABLE_ERROR_MAX])
{
    ck_assert_ptr_eq(conf, t.conf);
    t.closed++;
    snprintf(t.why, sizeof t.why, "%s", why);
    if (t.close_result < 0)
        snprintf(ret_error, TABLE_ERROR_MAX, "nor that");
    else
        t.verify_result = 1;
    return t.close_result;
}

int modules_missing(char ret_text[static MODULES_TEXT_MAX])
{
    t.asked++;
    if (t.missing)
        snprintf(ret_text, MODULES_TEXT_MAX, "%s", t.missing);
    return t.missing ? 1 : 0;
}

int table_remove(struct table *table, char ret_error[static TABLE_ERROR_MAX])
{
    t.removed++;
    return 0;
}

bool table_known(const struct table *table)
{
    return !t.unknown;
}

struct counters table_count(struct table *table)
{
    return (struct counters){0};
}

bool table_owned(const struct table *table)
{
    return false;
}

uint32_t table_portid(const struct table *table)
{
    return 0;
}

void table_free(struct table *table)
{
    t.freed++;
}

static void note(const struct event *event, void *data)
{
    ck_assert_ptr_eq(data, &t);
    ck_assert(event->type == EVENT_RULES_LOST || event->type == EVENT_RULES_RETRY);
    t.lost += event->type == EVENT_RULES_LOST;
    t.retries += event->type == EVENT_RULES_RETRY;
    if (event->type == EVENT_RULES_RETRY)
        t.retried = ev_now(t.loop);
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

static void set_up(void)
{
    static char text[] = "[Proxy]\nServers=192.0.2.1\nPort=8080\n[SecureChannel]\nEnabled=no\n[Test]\nInterval=3s\n";
    const struct event_sink sink = {.event_cb = note, .data = &t};
    FILE *stream = fmemopen(text, sizeof text - 1, "r");
    log_init("test", LOG_LEVEL_ERROR);
    memset(&t, 0, sizeof t);
    t.verify_result = 1;
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &t.conf), 0);
    fclose(stream);
    t.loop = ev_loop_new(0);
    t.keeper = keeper_new(t.loop, NULL, 77, &sink);
    keeper_set_conf(t.keeper, t.conf);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
}

static void tear_down(void)
{
    keeper_free(t.keeper);
    ck_assert_int_eq(t.freed, 1);
    ev_loop_destroy(t.loop);
    conf_free(t.conf);
}

static struct status_rules status(void)
{
    struct status_rules rules;
    keeper_status(t.keeper, &rules);
    return rules;
}

START_TEST(the_table_is_written_once_for_each_verdict)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(t.mode, VERDICT_MODE_SECURE);
    ck_assert_str_eq(t.status, "Connected (Secure Channel)");
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(t.applied, 1);
    ck_assert(keeper_set(t.keeper, VERDICT_AUTH_FAILED));
    ck_assert_int_eq(t.applied, 2);
    ck_assert_int_eq(t.mode, VERDICT_MODE_BLOCKED);
    keeper_set_conf(t.keeper, t.conf);
    ck_assert(keeper_set(t.keeper, VERDICT_AUTH_FAILED));
    ck_assert_int_eq(t.applied, 3);
    ck_assert(status().installed);
    ck_assert_uint_eq(status().changes, 3);
    ck_assert_uint_eq(status().repaired, 0);
}
END_TEST

static bool name(const char *text)
{
    struct addr addr;
    ck_assert(addr_parse(text, 0, &addr));
    return keeper_set_proxies(t.keeper, &addr, 1);
}

START_TEST(the_proxies_are_in_the_table_before_they_are_dialled)
{
    ck_assert(name("192.0.2.2")); /* without rules there is nothing to change */
    ck_assert_int_eq(t.applied, 0);
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_uint_eq(t.n_proxies, 2); /* with the one in the configuration */
    ck_assert(name("192.0.2.1"));
    ck_assert_int_eq(t.applied, 1);
    ck_assert(name("192.0.2.3"));
    ck_assert_int_eq(t.applied, 2);
    ck_assert_uint_eq(t.n_proxies, 3);
    ck_assert_str_eq(t.status, "Connected (Secure Channel)");
    ck_assert_uint_eq(status().changes, 1); /* of the verdict */
    t.apply_result = -EPERM;
    ck_assert(!name("192.0.2.4"));
    ck_assert(!status().installed);
    UNTIL(t.retries == 1);
}
END_TEST

START_TEST(a_refusal_shows_and_is_tried_again_with_pauses)
{
    ev_tstamp first;
    t.apply_result = -ENOENT;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(!status().installed);
    ck_assert_str_eq(status().error, "the kernel refuses (-2)");
    ck_assert_int_eq(status().cause, CAUSE_RULES_REFUSED);
    ck_assert_int_eq(t.retries, 0); /* never inside the call */
    ev_now_update(t.loop);
    first = ev_now(t.loop);
    UNTIL(t.retries == 1);
    ck_assert_double_ge(t.retried - first, 0.7);
    first = t.retried;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    UNTIL(t.retries == 2);
    ck_assert_double_ge(t.retried - first, 1.4); /* doubled, at least three quarters of it */
    t.apply_result = 0;
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(status().installed);
    ck_assert_str_eq(status().error, "");
    ck_assert_uint_eq(status().changes, 1);
    ck_assert_int_eq(t.lost, 0);
    ck_assert_int_eq(ev_run(t.loop, EVRUN_NOWAIT), 2); /* deadline and comparison: no retry any more */
    t.apply_result = -ENOENT;
    ck_assert(!keeper_set(t.keeper, VERDICT_PLAIN));
    ev_now_update(t.loop);
    first = ev_now(t.loop);
    UNTIL(t.retries == 3);
    ck_assert_double_lt(t.retried - first, 1.2); /* pauses begin anew behind a success */
}
END_TEST

START_TEST(what_is_refused_leaves_a_table_of_last_resort)
{
    t.apply_result = -EINVAL;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(!status().installed);
    ck_assert(status().last_resort);
    ck_assert_int_eq(status().cause, CAUSE_RULES_REFUSED);
    ck_assert_str_eq(t.why, "the kernel refuses (-22)");
    ck_assert_int_eq(t.asked, 0); /* no module is missing for that */
    UNTIL(t.retries == 1);
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(t.closed, 1); /* it stands */
    t.verify_result = 0;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(t.closed, 2);
    t.close_result = -EINVAL;
    t.verify_result = 0;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(!status().last_resort);
    t.apply_result = t.close_result = 0;
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(status().installed);
    ck_assert(!status().last_resort);
}
END_TEST

START_TEST(what_the_kernel_lacks_is_named)
{
    t.apply_result = _i == 0 ? -ENOENT : -EOPNOTSUPP;
    t.missing = "the running kernel lacks nft_redir";
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(status().cause, CAUSE_KERNEL_MODULES);
    ck_assert_str_eq(status().error, "the running kernel lacks nft_redir");
    ck_assert_str_eq(t.why, "the running kernel lacks nft_redir");
    ck_assert(status().last_resort);
    t.missing = NULL; /* it is something else */
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_int_eq(status().cause, CAUSE_RULES_REFUSED);
}
END_TEST

START_TEST(the_last_resort_is_put_back_when_others_remove_it)
{
    t.apply_result = -ENOENT;
    ck_assert(!keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(keeper_check(t.keeper, "nft (pid 7)")); /* it stands */
    ck_assert_int_eq(t.closed, 1);
    t.verify_result = 0;
    ck_assert(!keeper_check(t.keeper, "nft (pid 7)")); /* the usual one was tried, too */
    ck_assert_int_eq(t.applied, 2);
    ck_assert_int_eq(t.closed, 2);
    ck_assert(status().last_resort);
    for (int i = 0; i < 5; i++) {
        t.verify_result = 0;
        ck_assert(!keeper_check(t.keeper, "nft (pid 7)"));
    }
    ck_assert(!status().last_resort); /* in a fight it would not stand either */
    ck_assert(keeper_check(t.keeper, "nft (pid 7)"));
}
END_TEST

START_TEST(a_change_by_others_is_repaired_at_once)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(keeper_check(t.keeper, "nft (pid 7)")); /* it was there, and is ours */
    ck_assert_int_eq(t.applied, 1);
    t.verify_result = 0;
    ck_assert(keeper_check(t.keeper, "nft (pid 7)"));
    ck_assert_int_eq(t.applied, 2);
    ck_assert_int_eq(t.mode, VERDICT_MODE_SECURE);
    ck_assert(status().installed);
    ck_assert_uint_eq(status().repaired, 1);
    ck_assert_uint_eq(status().changes, 1);
}
END_TEST

START_TEST(what_is_not_installed_is_not_compared)
{
    ck_assert(keeper_check(t.keeper, "nft (pid 7)"));
    ck_assert_int_eq(t.verified, 0);
    ck_assert_int_eq(t.applied, 0);
}
END_TEST

START_TEST(a_repair_that_fails_is_a_loss_with_a_retry)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    t.verify_result = 0;
    t.apply_result = -EPERM;
    ck_assert(!keeper_check(t.keeper, "nft (pid 7)"));
    ck_assert(!status().installed);
    ck_assert_str_eq(status().error, "the kernel refuses (-1)");
    ck_assert_int_eq(status().cause, CAUSE_RULES_NOT_PERMITTED);
    UNTIL(t.retries == 1);
    t.apply_result = 0;
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_uint_eq(status().repaired, 1);
}
END_TEST

START_TEST(a_table_that_cannot_be_read_is_lost)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    t.verify_result = -EBADMSG;
    ck_assert(!keeper_check(t.keeper, NULL));
    ck_assert_str_eq(status().error, "the kernel cannot be read");
    ck_assert_int_eq(t.applied, 1);
}
END_TEST

START_TEST(in_a_fight_with_another_program_it_backs_off)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    t.verify_result = 0;
    for (int i = 0; i < 5; i++)
        ck_assert(keeper_check(t.keeper, "rival (pid 8)"));
    ck_assert_int_eq(t.applied, 6);
    ck_assert(!keeper_check(t.keeper, "rival (pid 8)"));
    ck_assert_int_eq(t.applied, 6); /* not at once any more */
    ck_assert(!status().installed);
    ck_assert(!status().last_resort);
    ck_assert_ptr_nonnull(strstr(status().error, "rival (pid 8); two managers fight"));
    UNTIL(t.retries == 1);
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert_uint_eq(status().repaired, 6);
    ck_assert_uint_eq(status().changes, 2);
    /* Ten seconds are not over, nor is the fight: the next pause is longer. */
    ev_tstamp first = t.retried;
    ck_assert(!keeper_check(t.keeper, "rival (pid 8)"));
    UNTIL(t.retries == 2);
    ck_assert_double_ge(t.retried - first, 1.4);
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    /* A minute of peace ends it: repairs are made at once, and pauses begin anew. */
    later = 61.;
    ck_assert(keeper_check(t.keeper, "rival (pid 8)"));
    t.apply_result = -EPERM;
    ck_assert(!keeper_check(t.keeper, "rival (pid 8)"));
    ev_now_update(t.loop);
    first = ev_now(t.loop);
    UNTIL(t.retries == 3);
    ck_assert_double_lt(t.retried - first, 1.2);
}
END_TEST

START_TEST(lost_events_are_made_up_by_comparing_now_and_then)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ev_tstamp begun = ev_time();
    UNTIL(t.verified == 1); /* after the interval of the tests */
    ck_assert_double_gt(ev_time() - begun, 2.5);
    ck_assert_int_eq(t.applied, 1);
    t.verify_result = 0;
    UNTIL(t.applied == 2);
    ck_assert_uint_eq(status().repaired, 1);
    ck_assert_int_eq(t.lost, 0);
    t.apply_result = -EPERM;
    UNTIL(t.lost == 1);
    ck_assert(!status().installed);
}
END_TEST

START_TEST(what_nobody_is_known_to_have_touched_is_written_again_soon)
{
    ev_tstamp begun = ev_time();
    t.unknown = true;
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    UNTIL(t.applied == 2);
    ck_assert_double_lt(ev_time() - begun, 2.5); /* not after the interval of three seconds */
    ck_assert_int_eq(t.verified, 0);
    t.unknown = false;
    t.verify_result = -EAGAIN; /* others change theirs just now, and nobody was seen at ours */
    ck_assert(keeper_check(t.keeper, NULL));
    ck_assert_int_eq(t.applied, 2);
    begun = ev_time();
    UNTIL(t.verified > 1);
    ck_assert_double_lt(ev_time() - begun, 2.5);
    ck_assert_int_eq(t.applied, 2);
    ck_assert(keeper_check(t.keeper, "nft (pid 7)")); /* somebody was: better once too often */
    ck_assert_int_eq(t.applied, 3);
}
END_TEST

START_TEST(at_the_end_the_last_resort_stays_where_the_kernel_refuses)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    t.apply_result = -ENOENT;
    ck_assert(keeper_stop(t.keeper, true));
    ck_assert_str_eq(t.why, "penstock is stopped");
    t.close_result = -ENOENT;
    ck_assert(!keeper_stop(t.keeper, true));
}
END_TEST

START_TEST(at_the_end_blocking_rules_stay_or_none)
{
    ck_assert(keeper_set(t.keeper, VERDICT_SECURE));
    ck_assert(keeper_stop(t.keeper, _i == 1));
    ck_assert_int_eq(t.removed, _i == 0);
    ck_assert_int_eq(t.applied, _i == 1 ? 2 : 1);
    if (_i == 1) {
        ck_assert_int_eq(t.mode, VERDICT_MODE_BLOCKED);
        ck_assert_str_eq(t.status, "Blocked - penstock is stopped");
    }
    ck_assert(!status().installed);
    ck_assert_int_eq(ev_run(t.loop, EVRUN_NOWAIT), 1); /* the deadline alone is left */
    ck_assert_int_eq(t.retries, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keeper");
    TCase *tests = tcase_create("keeper");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, the_table_is_written_once_for_each_verdict);
    tcase_add_test(tests, the_proxies_are_in_the_table_before_they_are_dialled);
    tcase_add_test(tests, a_refusal_shows_and_is_tried_again_with_pauses);
    tcase_add_test(tests, what_is_refused_leaves_a_table_of_last_resort);
    tcase_add_loop_test(tests, what_the_kernel_lacks_is_named, 0, 2);
    tcase_add_test(tests, the_last_resort_is_put_back_when_others_remove_it);
    tcase_add_test(tests, a_change_by_others_is_repaired_at_once);
    tcase_add_test(tests, what_is_not_installed_is_not_compared);
    tcase_add_test(tests, a_repair_that_fails_is_a_loss_with_a_retry);
    tcase_add_test(tests, a_table_that_cannot_be_read_is_lost);
    tcase_add_test(tests, in_a_fight_with_another_program_it_backs_off);
    tcase_add_test(tests, lost_events_are_made_up_by_comparing_now_and_then);
    tcase_add_test(tests, what_nobody_is_known_to_have_touched_is_written_again_soon);
    tcase_add_test(tests, at_the_end_the_last_resort_stays_where_the_kernel_refuses);
    tcase_add_loop_test(tests, at_the_end_blocking_rules_stay_or_none, 0, 2);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
