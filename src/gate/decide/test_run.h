/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the tests: starts one when the schedule says so, follows its reports, hands the verdict to the state, gives a
 * test up that does not end. Embedded in the gate. */
#ifndef PENSTOCK_GATE_DECIDE_TEST_RUN_H
#define PENSTOCK_GATE_DECIDE_TEST_RUN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "gate/children/children.h"
#include "gate/control/verbs.h"
#include "gate/decide/enforce.h"
#include "gate/decide/schedule.h"

enum test_run_phase {
    TEST_RUN_IDLE,
    TEST_RUN_UNDECIDED, /* a test is running, and its end may still be anything */
    TEST_RUN_DECIDED,   /* what still runs changes nothing; the next test need not wait for it */
};

struct test_run {
    struct ev_loop *loop;
    struct children *children; /* these three are borrowed */
    struct verbs *verbs;
    struct enforcement *enforcement;
    const struct conf *conf;
    struct schedule schedule;
    enum test_run_phase phase;
    uint64_t id; /* of the last test */
    ev_timer due, bound;
    uint64_t trouble_generation; /* last logged */
    time_t tested_at;            /* when the last verdict came out; 0: none yet */
};

void test_run_init(struct test_run *test_run, struct ev_loop *loop, struct children *children, struct verbs *verbs,
                   struct enforcement *enforcement, const struct conf *conf);
void test_run_fini(struct test_run *test_run);
/* At a reload: the running test is abandoned, and there is none until the prober has taken the configuration. */
void test_run_set_conf(struct test_run *test_run, const struct conf *conf);

void test_run_request(struct test_run *test_run, enum schedule_cause cause);
/* For penstock test: starts one or joins the one that runs. False: there is no prober now. */
bool test_run_test_now(struct test_run *test_run);
bool test_run_can_test(const struct test_run *test_run);

void test_run_on_prober_lost(struct test_run *test_run);
/* True: a verdict was entered. */
bool test_run_on_report(struct test_run *test_run, const struct test_report *report);
void test_run_on_trouble(struct test_run *test_run, const struct ipc_trouble *trouble);

#endif
