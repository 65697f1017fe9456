/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/tester.h"

#include "common/log.h"
#include "common/reason.h"
#include "gate/verdict.h"

static void arm(struct tester *tester)
{
    double due = schedule_due(&tester->schedule);
    double now = ev_now(tester->loop);

    ev_timer_stop(tester->loop, &tester->due);
    if (due == SCHEDULE_NEVER)
        return;
    ev_timer_set(&tester->due, due > now ? due - now : 0., 0.);
    ev_timer_start(tester->loop, &tester->due);
}

void tester_request(struct tester *tester, enum schedule_cause cause)
{
    schedule_request(&tester->schedule, cause, ev_now(tester->loop));
    arm(tester);
}

static void hold(struct tester *tester)
{
    schedule_hold(&tester->schedule);
    arm(tester);
}

/* why NULL: there is a result. */
static void end(struct tester *tester, const char *why)
{
    if (tester->phase == TESTER_IDLE)
        return;
    tester->phase = TESTER_IDLE;
    ev_timer_stop(tester->loop, &tester->bound);
    requests_on_test_end(tester->requests, why);
}

/* The most that the stages of a test may take one after the other, and some more. */
static double longest(const struct conf *conf)
{
    return (3. * conf->connect_timeout_ms + 4. * conf->handshake_timeout_ms) / 1000. + 5.;
}

static bool begin(struct tester *tester)
{
    end(tester, NULL); /* a decided one that goes on is abandoned by the prober */
    if (!children_start_test(tester->children, tester->id + 1)) {
        hold(tester);
        return false;
    }
    tester->id++;
    tester->phase = TESTER_UNDECIDED;
    schedule_started(&tester->schedule);
    arm(tester);
    ev_timer_set(&tester->bound, longest(tester->conf), 0.);
    ev_timer_start(tester->loop, &tester->bound);
    return true;
}

static void on_due(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    (void)revents;
    begin(watcher->data);
}

static void on_bound(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct tester *tester = watcher->data;

    (void)revents;
    children_kill_prober(tester->children, "its test does not end"); /* tester_on_prober_lost() follows */
}

bool tester_test_now(struct tester *tester)
{
    if (tester->phase == TESTER_UNDECIDED)
        return true; /* its stages so far are told as well */
    if (!tester_can_test(tester))
        return false;
    schedule_request(&tester->schedule, SCHEDULE_MANUAL, ev_now(tester->loop));
    return begin(tester);
}

bool tester_can_test(const struct tester *tester)
{
    return tester->schedule.state != SCHEDULE_HELD;
}

static bool is_connected(enum verdict_kind kind)
{
    enum verdict_mode mode = verdict_mode(kind);

    return mode == VERDICT_MODE_SECURE || mode == VERDICT_MODE_PLAIN;
}

static void take_verdict(struct tester *tester, const struct verdict *verdict)
{
    enum verdict_kind kind = tester->state->verdict.kind;
    struct addr address = tester->state->verdict.address;
    bool changed;

    tester->phase = TESTER_DECIDED;
    tester->tested_at = time(NULL);
    state_pursue(tester->state, verdict);
    changed = tester->state->verdict.kind != kind || !addr_equal(&tester->state->verdict.address, &address);
    schedule_ended(&tester->schedule, is_connected(verdict->kind), changed, ev_now(tester->loop));
    arm(tester);
}

bool tester_on_report(struct tester *tester, const struct test_report *report)
{
    struct verdict verdict;
    bool decided;

    if (tester->phase == TESTER_IDLE || report->test_id != tester->id)
        return false;
    requests_on_report(tester->requests, report);
    decided = tester->phase == TESTER_UNDECIDED && verdict_decide(report, tester->conf, &verdict);
    if (decided)
        take_verdict(tester, &verdict);
    if (report->complete)
        end(tester, NULL);
    return decided;
}

void tester_on_prober_lost(struct tester *tester)
{
    end(tester, "the prober ended during the test; it is started again");
    hold(tester);
}

void tester_on_trouble(struct tester *tester, const struct ipc_trouble *trouble)
{
    /* About a route that is no more, or that was closed since. */
    if (trouble->generation != tester->state->generation || !is_connected(tester->state->verdict.kind))
        return;
    if (tester->trouble_generation != trouble->generation)
        log_info("a relay could not use the proxy, testing again: %s",
                 trouble->detail[0] != '\0' ? trouble->detail : reason_text((enum reason)trouble->reason));
    tester->trouble_generation = trouble->generation;
    schedule_trouble(&tester->schedule, ev_now(tester->loop));
    arm(tester);
}

void tester_set_conf(struct tester *tester, const struct conf *conf)
{
    /* A test of the old servers says nothing any more. */
    end(tester, "the configuration was reloaded during the test");
    tester->conf = conf;
    schedule_configure(&tester->schedule, conf->interval_ms, conf->retry_max_ms);
    hold(tester);
}

void tester_init(struct tester *tester, struct ev_loop *loop, struct children *children, struct requests *requests,
                 struct state *state, const struct conf *conf)
{
    *tester = (struct tester){
        .loop = loop, .children = children, .requests = requests, .state = state, .conf = conf, .phase = TESTER_IDLE};
    schedule_init(&tester->schedule, conf->interval_ms, conf->retry_max_ms);
    ev_timer_init(&tester->due, on_due, 0., 0.);
    ev_timer_init(&tester->bound, on_bound, 0., 0.);
    tester->due.data = tester->bound.data = tester;
}

void tester_fini(struct tester *tester)
{
    ev_timer_stop(tester->loop, &tester->due);
    ev_timer_stop(tester->loop, &tester->bound);
}
