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
#include "gate/decide/enforce.h"
#include "gate/decide/schedule.h"

enum test_run_phase {
    TEST_RUN_IDLE,
    TEST_RUN_UNDECIDED, /* a test is running, and its end may still be anything */
    TEST_RUN_DECIDED,   /* what still runs changes nothing; the next test need not wait for it */
};

struct test_run {
    struct ev_loop *loop;
    struct children *children; /* these two are borrowed */
    struct enforcement *enforcement;
    const struct conf *conf;
    struct schedule schedule;
    enum test_run_phase phase;
    uint64_t id;        /* of the last test */
    uint64_t failed_id; /* of the last test without a result */
    const char *why;    /* it has none */
    ev_timer due, bound;
    uint64_t trouble_generation; /* last logged */
    time_t tested_at;            /* when the last verdict came out; 0: none yet */
};

void test_run_init(struct test_run *test_run, struct ev_loop *loop, struct children *children,
                   struct enforcement *enforcement, const struct conf *conf);
void test_run_fini(struct test_run *test_run);
/* At a reload: the running test is abandoned, and there is none until the prober has taken the configuration. */
void test_run_set_conf(struct test_run *test_run, const struct conf *conf);

void test_run_request(struct test_run *test_run, enum schedule_cause cause);
/* For penstock test: starts one or joins the one that runs. Its id; 0: there is no prober now. */
uint64_t test_run_test_now(struct test_run *test_run);
/* True: the test of that id runs no more; ret_why is NULL, or says why it has no result. */
bool test_run_is_over(const struct test_run *test_run, uint64_t id, const char **ret_why);
bool test_run_can_test(const struct test_run *test_run);

/* 0: none is due, or one runs. */
time_t test_run_next_at(const struct test_run *test_run);

void test_run_on_prober_lost(struct test_run *test_run);
/* False: it is not of the test that runs. */
bool test_run_on_report(struct test_run *test_run, const struct test_report *report);
void test_run_on_trouble(struct test_run *test_run, const struct ipc_trouble *trouble);

#endif
