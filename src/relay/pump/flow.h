/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One direction of a session: bytes from one stream to the other, then the end. No loop in here: flow_run() goes as far
 * as it can and leaves behind what it waits for. Embedded in the pump. */
#ifndef PENSTOCK_RELAY_PUMP_FLOW_H
#define PENSTOCK_RELAY_PUMP_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stream.h"
#include "relay/pump/buffers.h"

enum flow_state {
    FLOW_OPEN,   /* the source still gives */
    FLOW_ENDED,  /* the source ended in order: deliver the rest, then pass the end on */
    FLOW_BROKEN, /* the source failed: deliver the rest, the end will be an error */
    FLOW_DONE,   /* nothing will move any more */
};

enum flow_wait {
    FLOW_WAIT_NOTHING, /* done */
    FLOW_WAIT_LEAVE,   /* the source has ended, everything is delivered: may the end be passed on? */
    FLOW_WAIT_TURN,    /* used up its share: run again in the next round of the loop */
    FLOW_WAIT_SOURCE_READ,
    FLOW_WAIT_SOURCE_WRITE,
    FLOW_WAIT_SINK_READ,
    FLOW_WAIT_SINK_WRITE,
};

enum flow_fault {
    FLOW_FAULT_NONE,
    FLOW_FAULT_SOURCE, /* reading failed */
    FLOW_FAULT_SINK,   /* writing failed */
    FLOW_FAULT_MEMORY,
};

struct flow {
    enum flow_state state;
    enum flow_wait wait;
    enum flow_fault fault;
    enum stream_status fault_status; /* STREAM_RESET or STREAM_FAILED */
    bool doomed;                     /* the session failed elsewhere: the source's end is no end in order */
    bool truncated;                  /* the source's end was not announced: STREAM_TRUNCATED */
    bool ask_at_end;                 /* stop once before the end is passed on, with FLOW_WAIT_LEAVE */
    bool last;                       /* the opposite direction is done: closing the sink passes the end on */
    bool coalescing;                 /* SO_RCVLOWAT is set: also run after FLOW_COALESCE_S, not only when readable */
    bool bulk;                       /* the source gives much at a time: splice if possible */
    unsigned char *buffer;           /* NULL: none; bytes [at, end) wait in it */
    size_t size, at, end;
    struct buffers_pipe pipe; /* holds piped bytes, at least one */
    size_t piped;
    size_t round;    /* taken since the source had nothing last */
    uint64_t streak; /* taken in one long transfer */
    uint64_t delivered;
};

#define FLOW_COALESCE_S 0.002

void flow_init(struct flow *flow);
void flow_fini(struct flow *flow, struct buffers *buffers); /* drops what was not delivered */

/* Moves at most about budget bytes. Both streams must live; on return flow->wait or flow->fault says what is next. */
void flow_run(struct flow *flow, struct buffers *buffers, struct stream *source, struct stream *sink, size_t budget);

/* The sink is dead: what waits for it is dropped, nothing more is read. */
void flow_abandon(struct flow *flow, struct buffers *buffers);

/* The source is dead, but may still hold bytes that arrived before: they are delivered, and no end in order follows. */
void flow_doom(struct flow *flow);

#endif
