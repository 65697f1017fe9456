/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams whose session is over, but which may not be closed yet without losing bytes or keeping a port. A peer that
 * takes nothing of what is left for stalled_s is given up. All together have a number: beyond it one is closed early,
 * the eldest that has everything, else the eldest. */
#ifndef PENSTOCK_RELAY_CLOSE_LINGER_H
#define PENSTOCK_RELAY_CLOSE_LINGER_H

#include <ev.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stream.h"

enum linger_how {
    /* Our end was sent: wait for the peer's FIN and drop what comes before it. Closing earlier would answer late bytes
     * with a reset, which can destroy our last ones in the peer's queue (RFC 2525 section 2.17); and whoever sends the
     * first FIN keeps TIME_WAIT, which must not be us. A peer that has everything and says nothing is reset. */
    LINGER_FOR_END,
    /* The other side failed: what was written goes out first, then the peer gets RST. */
    LINGER_THEN_RESET,
};

#define LINGER_STALLED_S 300. /* what a slow reader has not taken yet is worth minutes */

struct lingering;

/* max: at least one. NULL: out of memory. */
struct lingering *lingering_new(struct ev_loop *loop, size_t max, double stalled_s);
void lingering_free(struct lingering *lingering); /* takes NULL; closes all of them now */

/* Takes the stream over. */
void lingering_add(struct lingering *lingering, struct stream *stream, enum linger_how how);

size_t lingering_count(const struct lingering *lingering);

/* How many were closed by us with undelivered bytes so far: given up, for want of room or memory, or at the end. */
uint64_t lingering_lost(const struct lingering *lingering);

#endif
