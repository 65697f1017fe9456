/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/test_run.h"

#include <assert.h>

#include "base/log.h"
#include "base/timer.h"
#include "model/reason.h"
#include "model/verdict.h"

static void arm(struct test_run *test_run)
{
    double due = schedule_due(&test_run->schedule);
    double now = ev_now(test_run->loop);
    ev_timer_stop(test_run->loop, &test_run->due);
    if (due == SCHEDULE_NEVER)
        return;
    timer_arm(test_run->loop, &test_run->due, due - now);
}

void test_run_request(struct test_run *test_run, enum schedule_cause cause)
{
    schedule_request(&test_run->schedule, cause, ev_now(test_run->loop));
    arm(test_run);
}

static void hold(struct test_run *test_run)
{
    schedule_hold(&test_run->schedule);
    arm(test_run);
}

/* why NULL: there is a result. */
static void end(struct test_run *test_run, const char *why)
{
    if (test_run->phase == TEST_RUN_IDLE)
        return;
    test_run->phase = TEST_RUN_IDLE;
    ev_timer_stop(test_run->loop, &test_run->bound);
    if (!why)
        return;
    test_run->failed_id = test_run->id;
    test_run->why = why;
}

/* The most that the stages of a test may take one after the other, and some more. */
static double longest(const struct conf *conf)
{
    return (3. * conf->connect_timeout_ms + 4. * conf->handshake_timeout_ms) / 1000. + 5.;
}

static bool begin(struct test_run *test_run)
{
    assert(test_run->phase != TEST_RUN_UNDECIDED);
    end(test_run, NULL); /* a decided one that goes on is abandoned by the prober */
    if (!children_start_test(test_run->children, test_run->id + 1)) {
        hold(test_run);
        return false;
    }
    test_run->id++;
    test_run->phase = TEST_RUN_UNDECIDED;
    schedule_started(&test_run->schedule);
    arm(test_run);
    timer_arm(test_run->loop, &test_run->bound, longest(test_run->conf));
    return true;
}

static void due_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    begin(watcher->data);
}

static void bound_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct test_run *test_run = watcher->data;
    children_kill_prober(test_run->children, "its test does not end"); /* test_run_on_prober_lost() follows */
}

uint64_t test_run_test_now(struct test_run *test_run)
{
    if (test_run->phase == TEST_RUN_UNDECIDED)
        return test_run->id; /* its stages so far are told as well */
    if (!test_run_can_test(test_run))
        return 0;
    schedule_request(&test_run->schedule, SCHEDULE_MANUAL, ev_now(test_run->loop));
    return begin(test_run) ? test_run->id : 0;
}

bool test_run_is_over(const struct test_run *test_run, uint64_t id, const char **ret_why)
{
    assert(id > 0 && id <= test_run->id);
    if (id == test_run->id && test_run->phase != TEST_RUN_IDLE)
        return false;
    *ret_why = id == test_run->failed_id ? test_run->why : NULL;
    return true;
}

bool test_run_can_test(const struct test_run *test_run)
{
    return test_run->schedule.state != SCHEDULE_HELD;
}

time_t test_run_next_at(const struct test_run *test_run)
{
    double due = schedule_due(&test_run->schedule), left;
    if (due == SCHEDULE_NEVER)
        return 0;
    left = due - ev_now(test_run->loop);
    return time(NULL) + (left > 0. ? (time_t)(left + 0.5) : 0);
}

static void take_verdict(struct test_run *test_run, const struct verdict *verdict)
{
    enum verdict_kind kind = test_run->enforcement->verdict.kind;
    struct addr address = test_run->enforcement->verdict.address;
    bool changed;
    assert(test_run->phase == TEST_RUN_UNDECIDED);
    test_run->phase = TEST_RUN_DECIDED;
    test_run->tested_at = time(NULL);
    enforce_pursue(test_run->enforcement, verdict);
    changed =
        test_run->enforcement->verdict.kind != kind || !addr_equal(&test_run->enforcement->verdict.address, &address);
    schedule_ended(&test_run->schedule, verdict_redirects(verdict->kind), changed, ev_now(test_run->loop));
    arm(test_run);
}

bool test_run_on_report(struct test_run *test_run, const struct test_report *report)
{
    struct verdict verdict;
    if (test_run->phase == TEST_RUN_IDLE || report->test_id != test_run->id)
        return false;
    if (test_run->phase == TEST_RUN_UNDECIDED && verdict_decide(report, test_run->conf, &verdict))
        take_verdict(test_run, &verdict);
    if (report->complete)
        end(test_run, NULL);
    return true;
}

void test_run_on_prober_lost(struct test_run *test_run)
{
    end(test_run, "the prober ended during the test; it is started again");
    hold(test_run);
}

void test_run_on_trouble(struct test_run *test_run, const struct ipc_trouble *trouble)
{
    /* About a route that is no more, or that was closed since. */
    if (trouble->generation != test_run->enforcement->generation ||
        !verdict_redirects(test_run->enforcement->verdict.kind))
        return;
    if (test_run->trouble_generation != trouble->generation)
        log_info("a relay could not use the proxy, testing again: %s",
                 trouble->detail[0] != '\0' ? trouble->detail : reason_text((enum reason)trouble->reason));
    test_run->trouble_generation = trouble->generation;
    schedule_trouble(&test_run->schedule, ev_now(test_run->loop));
    arm(test_run);
}

void test_run_set_conf(struct test_run *test_run, const struct conf *conf)
{
    /* A test of the old servers says nothing any more. */
    end(test_run, "the configuration was reloaded during the test");
    test_run->conf = conf;
    schedule_configure(&test_run->schedule, conf->interval_ms, conf->retry_max_ms);
    hold(test_run);
}

void test_run_init(struct test_run *test_run, struct ev_loop *loop, struct children *children,
                   struct enforcement *enforcement, const struct conf *conf)
{
    *test_run = (struct test_run){
        .loop = loop, .children = children, .enforcement = enforcement, .conf = conf, .phase = TEST_RUN_IDLE};
    schedule_init(&test_run->schedule, conf->interval_ms, conf->retry_max_ms);
    ev_timer_init(&test_run->due, due_cb, 0., 0.);
    ev_timer_init(&test_run->bound, bound_cb, 0., 0.);
    test_run->due.data = test_run->bound.data = test_run;
}

void test_run_fini(struct test_run *test_run)
{
    ev_timer_stop(test_run->loop, &test_run->due);
    ev_timer_stop(test_run->loop, &test_run->bound);
}
