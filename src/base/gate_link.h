/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The child's side of ipc.h, for prober and relays: hears the gate on IPC_FD, answers its pings, reads configurations,
 * and keeps what the gate has no room for now, the latest of each kind. The process is confined as soon as it has one.
 * When the gate is gone, or says what nobody understands, the loop ends. */
#ifndef PENSTOCK_BASE_GATE_LINK_H
#define PENSTOCK_BASE_GATE_LINK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/filter.h"
#include "base/ipc.h"
#include "model/conf/conf.h"

struct gate_link;

struct gate_link_cbs {
    /* Takes conf over, whose files are in conf->files. False: it could not be used, what was in force stays, and
     * ret_done->detail says why; with true it may say what is wrong all the same. index: which relay this is. */
    bool (*configure)(struct conf *conf, uint32_t index, struct ipc_conf_done *ret_done, void *data);
    /* A route, a test or a list of sessions is asked for, a name is told, or connections are allowed. */
    void (*message)(const struct ipc_message *message, void *data);
    /* There is room again after gate_link_offer() found none. NULL for those who never offer. */
    void (*room)(void *data);
};

/* Drops every privilege, forbids what filter.h does not allow, and listens to the gate. cbs must outlive it. NULL: out
 * of memory, or the process could not be confined (the log says why). */
struct gate_link *gate_link_new(struct ev_loop *loop, enum filter_role role, const struct gate_link_cbs *cbs,
                                void *data);
/* Runs the loop until the gate is gone. The exit status. */
int gate_link_run(struct gate_link *link);
void gate_link_free(struct gate_link *link); /* takes NULL; the loop stays */

/* Hears now what the gate has said, not at the next turn of the loop: cbs are called from here. For who has just got
 * something that the gate let come, and must know what it said before. */
void gate_link_hear(struct gate_link *link);

/* A report, trouble or addresses: sent now or as soon as there is room; one of the same type that still waits is
 * replaced. */
void gate_link_send(struct gate_link *link, const struct ipc_message *message);
/* For what is many messages: sent now, behind all that waits, or false; then room() is called once there is some. */
bool gate_link_offer(struct gate_link *link, const struct ipc_message *message);

#endif
