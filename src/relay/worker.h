/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All sessions of a relay and what they share: route, settings, pool, limits. A change of the route reaches every
 * session from here. */
#ifndef PENSTOCK_RELAY_WORKER_H
#define PENSTOCK_RELAY_WORKER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/ipc.h"
#include "base/shares.h"
#include "base/stats.h"
#include "channel/link/warm.h"
#include "model/answers.h"
#include "model/reason.h"
#include "model/sums.h"
#include "relay/close/linger.h"
#include "relay/close/source_ports.h"
#include "relay/names.h"
#include "relay/pump/buffers.h"
#include "relay/pump/pump.h"
#include "relay/session/log_rate.h"
#include "relay/settings.h"

#define WORKER_HELD_MAX   2048 /* no user has more than he leaves to others */
#define WORKER_HELD_S     10.
#define WORKER_TRIES_MAX  3
#define WORKER_DRAINING_S 60.
#define WORKER_TELLING_S  2. /* answers wait for others */
#define WORKER_UNTOLD_S   1. /* so do lines that were not written */

struct session;
TAILQ_HEAD(session_list, session);

/* The proxy could not be reached or authenticated; at most once per generation of the route. */
typedef void worker_trouble_cb(uint64_t generation, enum reason reason, enum cause cause, const char *detail,
                               void *data);

/* Some of the proxy's answers to CONNECT. False: not now, they are kept. */
typedef bool worker_answers_cb(const struct answers *answers, void *data);

/* Whoever sets the route does it now, if there is another. */
typedef void worker_hear_cb(void *data);

struct worker {
    struct ev_loop *loop;
    struct stats *stats;
    struct buffers *buffers;
    struct pump_means pump_means; /* the three of them */
    struct lingering *lingering;
    struct warm *warm;            /* links to the proxy that rest */
    struct settings *settings;    /* NULL: none yet */
    uint64_t way;                 /* grows when route or settings lead another way: a link of an earlier one is none */
    struct route route;           /* ROUTE_CLOSED until the first one */
    struct session_list sessions; /* eldest first */
    struct sums sums;             /* of finished sessions */
    size_t next_sum;              /* where a listing goes on, behind the sessions */
    struct session *next_listed;  /* where an interrupted listing goes on */
    size_t n, max, n_held;
    struct shares *shares;      /* of all relays */
    struct shares_row *own_row; /* in them */
    unsigned held_by[SHARES_USERS];
    uint64_t shed_untold;
    ev_tstamp shed_told_at;
    uint64_t last_id;
    uint64_t troubled_generation; /* the last that was reported */
    ev_timer draining;
    uint64_t losses_told; /* of lingering_lost() */
    ev_tstamp losses_told_at;
    struct log_rate log_rate;
    ev_timer untold; /* then it is said how many lines were not written */
    int diag_fd;     /* for sockdiag_is_closed() */
    struct source_ports ports;
    worker_trouble_cb *trouble_cb;
    worker_answers_cb *answers_cb;           /* NULL, as in the beginning: nobody wants to know */
    struct answers answers;                  /* since they were told last */
    worker_hear_cb *hear_cb;                 /* before a connection is taken; NULL: the route comes by itself */
    struct names users, units, system_units; /* by uid, and by control group: see struct ipc_unit */
    ev_timer telling;
    void *data;
};

/* stats and shares must outlive it; worker_set_row() is next. NULL: out of memory. */
struct worker *worker_new(struct ev_loop *loop, struct stats *stats, struct shares *shares, size_t max,
                          size_t max_pipes, worker_trouble_cb *trouble_cb, void *data);
void worker_free(struct worker *worker); /* takes NULL; ends every session (SHUTDOWN) */

/* Only new sessions see it. */
void worker_set_settings(struct worker *worker, struct settings *settings);

/* Cuts, dials again, lets go of the held ones and drains, as the change asks for. */
void worker_set_route(struct worker *worker, const struct route *route);

/* Which relay this is; once. */
void worker_set_row(struct worker *worker, unsigned index);

bool worker_is_full(const struct worker *worker);

/* What a session asks of it. */
void worker_add(struct worker *worker, struct session *session);
void worker_remove(struct worker *worker, struct session *session);
/* The last answer to a session's CONNECT. cause CAUSE_NONE: accepted. */
void worker_note_answer(struct worker *worker, uint16_t port, int http_status, enum cause cause, const char *detail);
/* A line about a session that has ended may be written; false: it is counted instead. */
bool worker_may_log(struct worker *worker);
void worker_report_trouble(struct worker *worker, uint64_t generation, enum reason reason, enum cause cause,
                           const char *detail);

/* The gate has told a name. */
void worker_take_user(struct worker *worker, const struct ipc_user *user);
void worker_take_unit(struct worker *worker, const struct ipc_unit *unit);

/* Listing in the order of their begin: start, then next until false. Sessions may come and go in between. */
void worker_list_start(struct worker *worker);
bool worker_list_peek(struct worker *worker, struct ipc_session *ret_session);
void worker_list_advance(struct worker *worker);
/* Behind the sessions: sums of the finished ones. NULL: that was the last. */
const struct sum *worker_list_peek_sum(const struct worker *worker);
void worker_list_advance_sum(struct worker *worker);

#endif
