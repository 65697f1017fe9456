/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate's children: one prober and N relays; starts them, speaks ipc.h with them, restarts one that died (with
 * back-off), kills one that no longer answers pings. */
#ifndef PENSTOCK_GATE_CHILDREN_H
#define PENSTOCK_GATE_CHILDREN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"
#include "common/ipc.h"
#include "common/stats.h"

struct children;

struct children_cbs {
    void (*report)(const struct test_report *report, void *data);
    void (*prober_ready)(void *data);             /* a (re)started prober has its configuration: ask it for a test */
    void (*prober_lost)(void *data);              /* a running test will not end */
    void (*relays_ready)(bool ready, void *data); /* at least one relay listens, or none any more */
    void (*trouble)(const struct ipc_trouble *trouble, void *data);
    void (*session)(const struct ipc_session *session, void *data);
    void (*sessions_end)(uint64_t request_id, void *data); /* once, when every relay has answered or died */
};

/* Starts nothing yet. program: path that children exec (/proc/self/exe). cbs is copied. */
struct children *children_new(struct ev_loop *loop, const char *program, const struct children_cbs *cbs, void *data);
/* Also the way to reload: sends the configuration to all, starts or ends relays when their number changed.
 * -errno when the configuration could not be passed. */
int children_configure(struct children *children, const struct conf *conf);
void children_set_route(struct children *children,
                        const struct route *route);                    /* remembered for those who start later */
bool children_start_test(struct children *children, uint64_t test_id); /* false: no prober now */
void children_list_sessions(struct children *children, uint64_t request_id);
void children_read_stats(const struct children *children, struct stats *ret_sum);
/* Ends them all: asks (SIGTERM), kills after a second, reaps. */
void children_free(struct children *children);

#endif
