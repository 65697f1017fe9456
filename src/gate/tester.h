/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the tests: starts one when the schedule says so, follows its reports, hands the verdict to the state, gives a
 * test up that does not end. Embedded in the gate. */
#ifndef PENSTOCK_GATE_TESTER_H
#define PENSTOCK_GATE_TESTER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "gate/children.h"
#include "gate/requests.h"
#include "gate/schedule.h"
#include "gate/state.h"

enum tester_phase {
    TESTER_IDLE,
    TESTER_UNDECIDED, /* a test is running, and its end may still be anything */
    TESTER_DECIDED,   /* what still runs changes nothing; the next test need not wait for it */
};

struct tester {
    struct ev_loop *loop;
    struct children *children; /* these three are borrowed */
    struct requests *requests;
    struct state *state;
    const struct conf *conf;
    struct schedule schedule;
    enum tester_phase phase;
    uint64_t id; /* of the last test */
    ev_timer due, bound;
    uint64_t trouble_generation; /* last logged */
    time_t tested_at;            /* when the last verdict came out; 0: none yet */
};

void tester_init(struct tester *tester, struct ev_loop *loop, struct children *children, struct requests *requests,
                 struct state *state, const struct conf *conf);
void tester_fini(struct tester *tester);
/* At a reload: the running test is abandoned, and there is none until the prober has taken the configuration. */
void tester_set_conf(struct tester *tester, const struct conf *conf);

void tester_request(struct tester *tester, enum schedule_cause cause);
/* For penstock test: starts one or joins the one that runs. False: there is no prober now. */
bool tester_test_now(struct tester *tester);
bool tester_can_test(const struct tester *tester);

void tester_on_prober_lost(struct tester *tester);
/* True: a verdict was entered. */
bool tester_on_report(struct tester *tester, const struct test_report *report);
void tester_on_trouble(struct tester *tester, const struct ipc_trouble *trouble);

#endif
