/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One child process: starts it, passes its configuration, pings it, restarts it with a back-off when it died. What is
 * to be said to it is kept as the latest value of each kind, so a child that does not read fills no queue here; it
 * misses its pings and is killed. What it says is checked; a message that its role may not send kills it. */
#ifndef PENSTOCK_GATE_CHILDREN_CHILD_H
#define PENSTOCK_GATE_CHILDREN_CHILD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ipc.h"
#include "base/shares.h"
#include "base/stats.h"
#include "gate/children/listeners.h"
#include "gate/event.h"

enum child_role { CHILD_PROBER, CHILD_RELAY };

struct child_timing {
    uint32_t restart_first_ms, restart_max_ms; /* back-off of one that dies young or refuses its configuration */
    double young;                              /* seconds; an older one is restarted at once */
    double configure;                          /* seconds to answer a configuration */
    double ping;                               /* seconds between pings; two without an answer are too many */
};

/* What all children of one gate have in common. */
struct child_setup {
    struct ev_loop *loop; /* the default loop, which alone sees SIGCHLD */
    const char *program;
    /* Gets EVENT_CHILD_LOST and EVENT_MESSAGE. An IPC_CONF_DONE is about the current configuration; one that was not
     * taken is offered again later, with a back-off, until it is taken or child_set_conf() replaces it. */
    struct event_sink sink;
    struct child_timing timing;
    const struct listeners *listeners; /* that relays get at their start */
    struct shares *shares;             /* so are these: the row of a relay is cleared with its end */
    int shares_fd;
};

/* Not started yet. setup must outlive it. NULL: out of memory or descriptors. */
struct child *child_new(const struct child_setup *setup, enum child_role role, uint32_t index);
/* Starts it when it is not running, else passes the configuration. conf_fd stays the caller's and must stay open until
 * the next call. */
void child_configure(struct child *child, int conf_fd, uint64_t serial);
/* What its next life gets, and that alone: one that it refused is not offered again. */
void child_set_conf(struct child *child, int conf_fd, uint64_t serial);
/* Ends it (SIGTERM, SIGKILL a second later); child_configure() starts it anew. */
void child_retire(struct child *child);
/* SIGTERM without waiting; for the one who then calls child_free() on all. */
void child_terminate(struct child *child);
/* Ends it: waits until deadline (as of clock_ms), then kills. Takes NULL. */
void child_free(struct child *child, int64_t deadline);

bool child_usable(const struct child *child);      /* has taken a configuration in this life */
bool child_configuring(const struct child *child); /* its answer to the last configuration is awaited */
const char *child_name(const struct child *child); /* "prober", "relay 0" */
/* What it says is wrong with its configuration; empty: nothing, or it has not said yet. */
const char *child_complaint(const struct child *child);
enum child_role child_role(const struct child *child);
const struct stats *child_stats(const struct child *child); /* NULL for the prober */

/* Sent now or as soon as it reads; the next of the same kind replaces one that is not sent yet. Only to usable ones. */
void child_send_route(struct child *child, const struct route *route);
void child_send_test(struct child *child, uint64_t test_id);
/* To a relay: list the sessions. To the prober: it may connect to what it named up to that id. */
void child_send_request(struct child *child, uint64_t request_id);
/* A name. Gone where the child does not read: it asks again for what it did not get. */
void child_tell(struct child *child, const struct ipc_message *message);
/* For one that does not do what it was told: kills it; EVENT_CHILD_LOST comes from the loop. */
void child_kill(struct child *child, const char *why);

#endif
