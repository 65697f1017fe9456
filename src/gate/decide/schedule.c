/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/schedule.h"

#include <assert.h>

#define RETRY_FIRST_MS    1000
#define NETWORK_PAUSE     1.   /* between tests for a network that changes all the time */
#define TROUBLE_DELAY     0.05 /* the rules shall follow within 100 ms, also behind a report that was unfounded */
#define TROUBLE_DELAY_MAX 5.
#define TROUBLE_FORGOTTEN 30. /* seconds of quiet after which the next trouble is news again */

void schedule_configure(struct schedule *schedule, uint32_t interval_ms, uint32_t retry_max_ms)
{
    schedule->interval = interval_ms / 1000.;
    backoff_init(&schedule->retry, retry_max_ms < RETRY_FIRST_MS ? retry_max_ms : RETRY_FIRST_MS, retry_max_ms);
}

void schedule_init(struct schedule *schedule, uint32_t interval_ms, uint32_t retry_max_ms)
{
    *schedule = (struct schedule){.state = SCHEDULE_HELD};
    schedule_configure(schedule, interval_ms, retry_max_ms);
}

/* Makes a test due at that time, unless one is due earlier. */
static void advance(struct schedule *schedule, double due, enum schedule_by by)
{
    if (due >= schedule->due)
        return;
    schedule->due = due;
    schedule->by = by;
}

static double later(double a, double b)
{
    return a > b ? a : b;
}

void schedule_request(struct schedule *schedule, enum schedule_cause cause, double now)
{
    bool network = cause == SCHEDULE_NETWORK;
    /* What made the last tests fail may be over: no long pauses behind the next one. */
    backoff_reset(&schedule->retry);
    switch (schedule->state) {
    case SCHEDULE_HELD:
        if (cause != SCHEDULE_START)
            return; /* the start will come, and test */
        schedule->state = SCHEDULE_WAITING;
        schedule->due = now;
        schedule->by = SCHEDULE_BY_REQUEST;
        return;
    case SCHEDULE_RUNNING:
        /* A person gets the test that runs. The others want one that began after them. */
        if (cause != SCHEDULE_MANUAL)
            schedule->again = true;
        return;
    case SCHEDULE_WAITING:
        advance(schedule, network ? later(now, schedule->network_from) : now,
                network ? SCHEDULE_BY_NETWORK : SCHEDULE_BY_REQUEST);
        return;
    }
}

void schedule_trouble(struct schedule *schedule, double now)
{
    /* The test that runs will answer it. */
    if (schedule->state != SCHEDULE_WAITING)
        return;
    if (now - schedule->trouble_from > TROUBLE_FORGOTTEN)
        schedule->trouble_delay = 0.;
    advance(schedule, later(now, schedule->trouble_from), SCHEDULE_BY_TROUBLE);
}

void schedule_started(struct schedule *schedule)
{
    assert(schedule->state == SCHEDULE_WAITING);
    schedule->state = SCHEDULE_RUNNING;
    schedule->again = false;
}

/* The first pause is short, because a proxy that just restarted is worth it; then they double. */
static void pace_trouble(struct schedule *schedule, bool changed, double now)
{
    double delay = schedule->trouble_delay * 2.;
    if (changed) {
        schedule->trouble_delay = 0.;
        schedule->trouble_from = now;
        return;
    }
    if (schedule->by != SCHEDULE_BY_TROUBLE)
        return;
    delay = delay < TROUBLE_DELAY ? TROUBLE_DELAY : delay;
    schedule->trouble_delay = delay > TROUBLE_DELAY_MAX ? TROUBLE_DELAY_MAX : delay;
    schedule->trouble_from = now + schedule->trouble_delay;
}

void schedule_ended(struct schedule *schedule, bool connected, bool changed, double now)
{
    assert(schedule->state == SCHEDULE_RUNNING);
    schedule->state = SCHEDULE_WAITING;
    pace_trouble(schedule, changed, now);
    if (schedule->by == SCHEDULE_BY_NETWORK)
        schedule->network_from = now + NETWORK_PAUSE;
    if (connected)
        backoff_reset(&schedule->retry);
    schedule->due = now + (connected ? schedule->interval : backoff_next(&schedule->retry) / 1000.);
    schedule->by = SCHEDULE_BY_TIME;
    if (schedule->again)
        advance(schedule, later(now, schedule->network_from), SCHEDULE_BY_NETWORK);
}

void schedule_hold(struct schedule *schedule)
{
    schedule->state = SCHEDULE_HELD;
    schedule->again = false;
}

double schedule_due(const struct schedule *schedule)
{
    return schedule->state == SCHEDULE_WAITING ? schedule->due : SCHEDULE_NEVER;
}
