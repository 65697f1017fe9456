/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams whose session is over, but which may not be closed yet without losing bytes or keeping a port. Each has a
 * time limit, all together a number; beyond these they are closed at once. */
#ifndef PENSTOCK_RELAY_LINGER_H
#define PENSTOCK_RELAY_LINGER_H

#include <ev.h>
#include <stddef.h>

#include "common/stream.h"
#include "relay/settings.h"

enum linger_how {
    /* Our end was sent: wait for the peer's FIN and drop what comes before it. Closing earlier would answer late bytes
     * with a reset, which can destroy our last ones in the peer's queue (RFC 2525 section 2.17); and whoever sends the
     * first FIN keeps TIME_WAIT, which must not be us. */
    LINGER_FOR_END,
    /* The other side failed: what was written goes out first, then the peer gets RST. */
    LINGER_THEN_RESET,
};

struct lingering;

struct lingering *lingering_new(struct ev_loop *loop, size_t max); /* NULL: out of memory */
void lingering_free(struct lingering *lingering);                  /* takes NULL; closes all of them now */

/* Takes the stream over. settings: what must outlive it; NULL: nothing. */
void lingering_add(struct lingering *lingering, struct stream *stream, struct settings *settings, enum linger_how how);

size_t lingering_count(const struct lingering *lingering);

#endif
