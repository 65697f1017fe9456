/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Moves bytes between a client and a proxy, both ways, with half-close and back-pressure: by splice through a pipe when
 * both streams are plain sockets, else through a buffer. Embedded in its session, which owns the streams. */
#ifndef PENSTOCK_RELAY_PUMP_PUMP_H
#define PENSTOCK_RELAY_PUMP_PUMP_H

#include <ev.h>
#include <stdbool.h>

#include "base/stats.h"
#include "base/stream.h"
#include "relay/pump/buffers.h"
#include "relay/pump/flow.h"

enum pump_side { PUMP_CLIENT, PUMP_PROXY };

enum pump_event {
    PUMP_HALF_CLOSED, /* one direction has ended, once */
    PUMP_CLIENT_ENDS, /* the client has ended its direction in order before the proxy has, and all that it sent was
                         delivered; its end will be passed on, unless pump_abandon() is called now. Once */
    PUMP_DONE,        /* both directions ended in order */
    PUMP_FAILED,      /* fault tells where; whatever arrived before was delivered */
};

struct pump;

/* From the loop only. After PUMP_DONE and PUMP_FAILED, which come once, it may free the session. */
typedef void pump_cb(struct pump *pump, enum pump_event event, void *data);

/* What all pumps of a relay share; must outlive them. */
struct pump_means {
    struct ev_loop *loop;
    struct buffers *buffers;
    struct stats *stats;
};

struct pump {
    const struct pump_means *means;
    struct stream *streams[2]; /* by enum pump_side */
    struct flow up, down;
    ev_timer turn;
    pump_cb *cb;
    void *data;
    ev_tstamp active_at; /* when bytes were delivered last */
    bool half_closed;
    bool answered;  /* the last bytes that were delivered came from the proxy */
    bool abandoned; /* PUMP_DONE, but by pump_abandon(): the proxy has not ended its direction */
    /* The first fault. */
    enum flow_fault fault;
    enum pump_side fault_side;
    enum stream_status fault_status;
};

/* From pump_start() to its end the pump is who watches both streams. */
void pump_init(struct pump *pump, const struct pump_means *means, struct stream *client, struct stream *proxy,
               pump_cb *cb, void *data);
void pump_start(struct pump *pump); /* begins in this round of the loop, but not inside this call */
/* At PUMP_CLIENT_ENDS: nobody is left who would read an answer, that was all. PUMP_DONE follows. */
void pump_abandon(struct pump *pump);
/* Bytes wait for a peer that does not take them. */
bool pump_is_delivering(const struct pump *pump);
void pump_fini(struct pump *pump); /* stops, gives everything back; also when it never started */

#endif
