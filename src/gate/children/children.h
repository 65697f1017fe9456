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

/* Starts nothing yet; loop is the default loop. program: path that children exec (spawn_open_worker()), kept. sink gets
 * EVENT_MESSAGE and EVENT_CHILD_LOST. NULL: out of memory. */
struct children *children_new(struct ev_loop *loop, const char *program, const struct event_sink *sink);
/* Before the first children_configure(); tests use shorter times. */
void children_set_timing(struct children *children, const struct child_timing *timing);
/* Starts them all, or passes a new configuration to all, starts or ends relays when their number changed. conf is the
 * one that is tried, if one is: what was read of its files then is passed, and the try is over. -errno when the
 * configuration could not be passed. */
int children_configure(struct children *children, const struct conf *conf);
bool children_settled(const struct children *children); /* no answer to a configuration is awaited */
/* Lets the prober alone read it, key files too: its IPC_CONF_DONE has that serial, or it is lost. children_configure()
 * is next if it is good, else children_end_try(): the prober goes on with what it had. -EAGAIN:
 * there is no prober now; else -errno. */
int children_try(struct children *children, const struct conf *conf, uint64_t *ret_serial);
void children_end_try(struct children *children);
void children_set_route(struct children *children,
                        const struct route *route);                    /* remembered for those who start later */
bool children_start_test(struct children *children, uint64_t test_id); /* false: no prober now */
void children_allow(struct children *children, uint64_t id);           /* to the prober: IPC_ALLOWED */
void children_tell_user(struct children *children, const struct ipc_user *user); /* to the relays: IPC_USER */
/* One list at a time: another one abandons the first. The end comes once, when every relay has answered, died or was
 * silent for 5 s. */
void children_list_sessions(struct children *children, uint64_t request_id);
/* Why no relay can be started: the port is taken, by a sentence; empty: it is not. */
const char *children_listen_error(const struct children *children);
/* Redirected connections have somewhere to arrive. */
bool children_listen(const struct children *children);
/* So many wait to be accepted that the kernel drops the next. */
bool children_listen_full(const struct children *children);
void children_count_relays(const struct children *children, unsigned *ret_ready, unsigned *ret_wanted);
/* What a child says is wrong with the configuration; empty: nothing. i from 0; NULL: there are no more children. */
const char *children_complaint(const struct children *children, unsigned i);
void children_read_stats(const struct children *children, struct stats *ret_sum);
/* How many sessions each user has. */
const struct shares *children_shares(const struct children *children);
/* The prober does not do what it was told: kills it. EVENT_CHILD_LOST comes from the loop. */
void children_kill_prober(struct children *children, const char *why);
/* Ends them all: asks (SIGTERM), kills after a second, reaps. */
void children_free(struct children *children);

#endif
