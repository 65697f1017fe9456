/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One direction of plain HTTP: messages read from one stream, head by head and body by body, and written to the other.
 * No loop in here: each call goes as far as it can and says what it waits for. Embedded; an idle lane holds no buffer.
 */
#ifndef PENSTOCK_RELAY_HTTP_LANE_H
#define PENSTOCK_RELAY_HTTP_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stream.h"
#include "channel/http/body.h"
#include "channel/http/fields.h"
#include "relay/pump/buffers.h"

enum lane_status {
    LANE_DONE, /* what was asked for is there, or has gone on whole */
    LANE_TURN, /* used up its share: call again in the next round of the loop */
    LANE_SOURCE_READ,
    LANE_SOURCE_WRITE,
    LANE_SINK_READ,
    LANE_SINK_WRITE,
    LANE_ENDED,     /* the source ended before that; of a body without a length it is LANE_DONE */
    LANE_BAD,       /* the body is none */
    LANE_TOO_LARGE, /* a head without an end */
    LANE_SOURCE_FAILED,
    LANE_SINK_FAILED,
    LANE_NO_MEMORY,
};

struct lane {
    unsigned char *buffer; /* NULL: none; bytes [at, end) of it have not been dealt with */
    size_t size, at, end;
    bool pooled, bulk; /* whose buffer it is; a large one is worth it */
    size_t checked;    /* of head_find_end() */
    char *head;        /* on its way to the sink; NULL: none */
    size_t head_at, head_end;
    struct body body;
    size_t run;                      /* bytes from at on that the sink gets */
    bool ended, truncated;           /* the source has ended; without TLS saying so */
    enum stream_status fault_status; /* of LANE_*_FAILED: STREAM_RESET or STREAM_FAILED */
    uint64_t delivered;
};

void lane_init(struct lane *lane);
/* Drops what was not delivered; it is as new, but for what it has counted. */
void lane_fini(struct lane *lane, struct buffers *buffers);

/* Reads until a whole head is there. LANE_DONE: *ret_head, good until the next call. LANE_ENDED: the source ended
 * before; lane_left() tells whether it had begun one. */
enum lane_status lane_read_head(struct lane *lane, struct buffers *buffers, struct stream *source,
                                struct span *ret_head);
void lane_drop(struct lane *lane, size_t length); /* it has been dealt with */

/* Bytes that have come and were not dealt with. */
size_t lane_left(const struct lane *lane);
const char *lane_bytes(const struct lane *lane);

/* What goes to the sink next: head, a malloc()ed text, taken over; then lane->body, which the caller has begun. */
void lane_set_head(struct lane *lane, char *head, size_t length);
void lane_drop_head(struct lane *lane);
/* Moves it, at most about budget bytes. */
enum lane_status lane_move(struct lane *lane, struct buffers *buffers, struct stream *source, struct stream *sink,
                           size_t budget);

/* With nothing to move: has the source ended, or begun to say something? LANE_DONE: it has begun. */
enum lane_status lane_listen(struct lane *lane, struct buffers *buffers, struct stream *source);

#endif
