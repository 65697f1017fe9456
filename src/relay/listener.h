/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One address on which redirected connections arrive; each becomes a session. All relays accept from it: one that is
 * full leaves them to others for a moment, and takes them all the same when none does (admission.h). */
#ifndef PENSTOCK_RELAY_LISTENER_H
#define PENSTOCK_RELAY_LISTENER_H

#include <ev.h>

#include "model/addr.h"
#include "relay/worker.h"

struct listener;

/* fd: a listening socket, which stays open at its end; other processes accept from it, too. 0 or -errno. */
int listener_new(struct ev_loop *loop, int fd, struct worker *worker, struct listener **ret_listener);
/* Connections wait in the backlog until it is released. */
void listener_hold(struct listener *listener);
void listener_release(struct listener *listener);
void listener_free(struct listener *listener); /* takes NULL; sessions go on */

#endif
