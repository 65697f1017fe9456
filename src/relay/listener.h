/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One address on which redirected connections arrive; each becomes a session. When there is no room for more, they wait
 * in the backlog and the log says so once. */
#ifndef PENSTOCK_RELAY_LISTENER_H
#define PENSTOCK_RELAY_LISTENER_H

#include <ev.h>

#include "model/addr.h"
#include "relay/worker.h"

struct listener;

/* Several processes may listen on the same address; the kernel spreads connections over them, from 6.2 on preferring
 * the one whose cpu is the client's: nothing is as cheap as bytes that stay in one cache. cpu -1: none. 0 or -errno. */
int listener_new(struct ev_loop *loop, const struct addr *address, int cpu, struct worker *worker,
                 struct listener **ret_listener);
/* Connections wait in the backlog until it is released. */
void listener_hold(struct listener *listener);
void listener_release(struct listener *listener);
void listener_free(struct listener *listener); /* takes NULL; sessions go on */

/* The address with the port that the kernel chose when none was asked for. */
const struct addr *listener_address(const struct listener *listener);

#endif
