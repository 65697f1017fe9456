/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate's children: one prober and N relays; starts them, speaks ipc.h with them, restarts one that died (with
 * back-off), kills one that no longer answers pings. */
#ifndef PENSTOCK_GATE_CHILDREN_CHILDREN_H
#define PENSTOCK_GATE_CHILDREN_CHILDREN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/ipc.h"
#include "base/stats.h"
#include "gate/children/child.h"
#include "model/conf/conf.h"

struct children;

struct children_cbs {
    void (*report)(const struct test_report *report, void *data);
    void (*prober_ready)(void *data);             /* a (re)started prober has its configuration: ask it for a test */
    void (*prober_lost)(void *data);              /* a running test will not end */
    void (*relays_ready)(bool ready, void *data); /* at least one relay listens, or none any more */
    void (*trouble)(const struct ipc_trouble *trouble, void *data);
    void (*session)(const struct ipc_session *session, void *data);
    /* Once, when every relay has answered, died or was silent for 5 s. */
    void (*sessions_end)(uint64_t request_id, void *data);
    /* A child has taken the configuration, or not (detail says why); settled: no other answer is awaited. */
    void (*conf_done)(const char *child, bool ok, const char *detail, bool settled, void *data);
    void (*conf_tried)(bool ok, const char *detail, void *data); /* once after children_try() */
};

/* Starts nothing yet; loop is the default loop. program: path that children exec (/proc/self/exe). cbs is copied.
 * NULL: out of memory. */
struct children *children_new(struct ev_loop *loop, const char *program, const struct children_cbs *cbs, void *data);
/* Before the first children_configure(); tests use shorter times. */
void children_set_timing(struct children *children, const struct child_timing *timing);
/* Starts them all, or passes a new configuration to all, starts or ends relays when their number changed. Not while one
 * is tried. -errno when the configuration could not be passed. */
int children_configure(struct children *children, const struct conf *conf);
/* Lets the prober alone read it, key files too; when conf_tried says that it did, children_configure() is next. When
 * not, the prober goes on with what it had. -EAGAIN: there is no prober now. */
int children_try(struct children *children, const struct conf *conf);
void children_set_route(struct children *children,
                        const struct route *route);                    /* remembered for those who start later */
bool children_start_test(struct children *children, uint64_t test_id); /* false: no prober now */
/* One list at a time: another one abandons the first, whose end is not reported then. */
void children_list_sessions(struct children *children, uint64_t request_id);
void children_count_relays(const struct children *children, unsigned *ret_ready, unsigned *ret_wanted);
/* What a child says is wrong with the configuration; empty: nothing. i from 0; NULL: there are no more children. */
const char *children_complaint(const struct children *children, unsigned i);
void children_read_stats(const struct children *children, struct stats *ret_sum);
/* The prober does not do what it was told: kills it. prober_lost follows from the loop. */
void children_kill_prober(struct children *children, const char *why);
/* Ends them all: asks (SIGTERM), kills after a second, reaps. */
void children_free(struct children *children);

#endif
