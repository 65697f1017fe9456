/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may begin a session: no user has more than SessionsPerUser= over all relays, and where there is room for no more,
 * the newest session of the user with the most makes it, or is not begun. So a user who opens as many as he can takes
 * them from himself alone, and nobody else waits behind him. Functions of a worker. */
#ifndef PENSTOCK_RELAY_ADMISSION_H
#define PENSTOCK_RELAY_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "relay/worker.h"

/* This relay is full, and another has room, or has more of the user with the most sessions: that one is to accept. */
bool admission_is_for_others(const struct worker *worker);
/* A session of that user may begin: it has a share then, to be left with admission_leave(). Another may have ended for
 * it. False: it may not, which has been counted and told. */
bool admission_take(struct worker *worker, uint32_t uid, unsigned *ret_share);
void admission_leave(struct worker *worker, unsigned share);
/* One more of that share may wait for the next route. */
bool admission_may_hold(const struct worker *worker, unsigned share);

#endif
