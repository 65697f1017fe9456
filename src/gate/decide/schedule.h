/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to test. Pure: it is told what happened and when (seconds of any clock that does not jump), and says when the
 * next test is due. Embedded. */
#ifndef PENSTOCK_GATE_DECIDE_SCHEDULE_H
#define PENSTOCK_GATE_DECIDE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"

#define SCHEDULE_NEVER (-1.)

enum schedule_cause {
    SCHEDULE_START,   /* the prober is there, with a new configuration or a new life */
    SCHEDULE_NETWORK, /* addresses, links or routes changed */
    SCHEDULE_RESUMED,
    SCHEDULE_MANUAL,
};

enum schedule_state {
    SCHEDULE_WAITING, /* for due */
    SCHEDULE_RUNNING, /* nothing is due; a cause that comes now starts another test afterwards */
    SCHEDULE_HELD,    /* no prober: until SCHEDULE_START */
};

enum schedule_by { SCHEDULE_BY_TIME, SCHEDULE_BY_REQUEST, SCHEDULE_BY_NETWORK, SCHEDULE_BY_TROUBLE };

struct schedule {
    enum schedule_state state;
    enum schedule_by by; /* why the running or the next test */
    double interval;
    double due;
    struct backoff retry; /* while not connected */
    bool again;           /* when this test has ended */
    double network_from;  /* no test for the network before */
    double trouble_from;  /* no test for trouble before */
    double trouble_delay; /* after a trouble's test that changed nothing */
};

void schedule_init(struct schedule *schedule, uint32_t interval_ms, uint32_t retry_max_ms); /* HELD */
/* New times, from the next test on. */
void schedule_configure(struct schedule *schedule, uint32_t interval_ms, uint32_t retry_max_ms);
/* A reason to test now. */
void schedule_request(struct schedule *schedule, enum schedule_cause cause, double now);
/* A relay could not use the proxy although the verdict says so: test now, but no hot loop when tests do not agree. */
void schedule_trouble(struct schedule *schedule, double now);
void schedule_started(struct schedule *schedule);
/* connected: the verdict; changed: it is another one than before this test. */
void schedule_ended(struct schedule *schedule, bool connected, bool changed, double now);
void schedule_hold(struct schedule *schedule);
/* SCHEDULE_NEVER: not by time. May lie in the past: at once. */
double schedule_due(const struct schedule *schedule);

#endif
