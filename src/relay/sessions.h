/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All sessions of a relay and what they share: route, settings, pool, limits. A change of the route reaches every
 * session from here. */
#ifndef PENSTOCK_RELAY_SESSIONS_H
#define PENSTOCK_RELAY_SESSIONS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/ipc.h"
#include "common/reason.h"
#include "common/stats.h"
#include "relay/linger.h"
#include "relay/pool.h"
#include "relay/ports.h"
#include "relay/settings.h"

#define SESSIONS_HELD_MAX   1024
#define SESSIONS_HELD_S     10.
#define SESSIONS_TRIES_MAX  3
#define SESSIONS_DRAINING_S 60.

struct session;

/* The proxy could not be reached or authenticated; at most once per generation of the route. False: could not be told
 * now, another session may try. */
typedef bool sessions_trouble_cb(uint64_t generation, enum reason reason, const char *detail, void *data);

struct sessions {
    struct ev_loop *loop;
    struct stats *stats;
    struct pool *pool;
    struct lingering *lingering;
    struct settings *settings; /* NULL: none yet */
    struct route route;        /* ROUTE_CLOSED until the first one */
    struct session *first, *last;
    struct session *next_listed; /* where an interrupted listing goes on */
    size_t n, max, n_held;
    uint64_t last_id;
    uint64_t troubled_generation; /* the last that was reported */
    ev_timer draining;
    uint64_t losses_told; /* of lingering_lost() */
    ev_tstamp losses_told_at;
    int diag_fd; /* for sockdiag_is_closed() */
    struct ports ports;
    sessions_trouble_cb *trouble_cb;
    void *data;
};

/* stats must outlive it. NULL: out of memory. */
struct sessions *sessions_new(struct ev_loop *loop, struct stats *stats, size_t max, size_t max_pipes,
                              sessions_trouble_cb *trouble_cb, void *data);
void sessions_free(struct sessions *sessions); /* takes NULL; ends every session (SHUTDOWN) */

/* Only new sessions see it. */
void sessions_set_settings(struct sessions *sessions, struct settings *settings);

/* Cuts, dials again, lets go of the held ones and drains, as the change asks for. */
void sessions_set_route(struct sessions *sessions, const struct route *route);

bool sessions_are_full(const struct sessions *sessions);

/* What a session asks of it. */
void sessions_add(struct sessions *sessions, struct session *session);
void sessions_remove(struct sessions *sessions, struct session *session);
void sessions_report_trouble(struct sessions *sessions, uint64_t generation, enum reason reason, const char *detail);

/* Listing in the order of their begin: start, then next until false. Sessions may come and go in between. */
void sessions_list_start(struct sessions *sessions);
bool sessions_list_peek(struct sessions *sessions, struct ipc_session *ret_session);
void sessions_list_advance(struct sessions *sessions);

#endif
