/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One client connection from accept to its log line. It lives in its struct worker and frees itself at its end. */
#ifndef PENSTOCK_RELAY_SESSION_SESSION_H
#define PENSTOCK_RELAY_SESSION_SESSION_H

#include "base/ipc.h"
#include "model/addr.h"
#include "model/reason.h"
#include "relay/worker.h"

#define SESSION_SILENCE_S     .3    /* a client that sends nothing: its peer may speak first, the address must do */
#define SESSION_LATE_S        5.    /* where the address does not do: for the first byte */
#define SESSION_SNIFF_S       10.   /* for the rest of what a client began to say */
#define SESSION_IDLE_S        7440. /* RFC 5382 REQ-5: two hours and four minutes */
#define SESSION_YOUNG_S       30.   /* after that it is worth asking whether the proxy is still there */
#define SESSION_HALF_CLOSED_S 3600. /* a client that has asked and waits for its answer */

struct session;

/* Takes the descriptor over. destination: the original one, family AF_UNSPEC when the kernel knows none; own: the
 * address that accepted. The session may have ended already when this returns. */
void session_begin(struct worker *worker, int fd, const struct addr *client, const struct addr *destination,
                   const struct addr *own);

/* The only end: counts, logs one line, answers the client if there was no tunnel, closes, frees. detail: NULL or a
 * sentence, copied. */
void session_close(struct session *session, enum reason reason, const char *detail);

/* sessions->route is another one since previous. */
void session_route_changed(struct session *session, const struct route *previous);
/* The gate has told the name of a user or a unit. */
void session_names_told(struct session *session);
void session_drain(struct session *session); /* ends it if it is a plain one */

void session_describe(const struct session *session, struct ipc_session *ret_description);

#endif
