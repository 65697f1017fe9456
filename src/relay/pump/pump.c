/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/pump/pump.h"
#include "base/timer.h"

#include <assert.h>

/* Bytes that one direction may move before the others have their turn. */
#define SHARE (1024 * 1024)

static struct flow *flow_from(struct pump *pump, enum pump_side source)
{
    return source == PUMP_CLIENT ? &pump->up : &pump->down;
}

static enum pump_side other(enum pump_side side)
{
    return side == PUMP_CLIENT ? PUMP_PROXY : PUMP_CLIENT;
}

/* ---- interest ---- */

/* What the flow that reads from source wants to hear about side. */
static int flow_interest(const struct flow *flow, enum pump_side source, enum pump_side side)
{
    switch (flow->wait) {
    case FLOW_WAIT_NOTHING:
    case FLOW_WAIT_LEAVE:
    case FLOW_WAIT_TURN:
        return 0;
    case FLOW_WAIT_SOURCE_READ:
        return side == source ? STREAM_READABLE : 0;
    case FLOW_WAIT_SOURCE_WRITE:
        return side == source ? STREAM_WRITABLE : 0;
    case FLOW_WAIT_SINK_READ:
        return side == source ? 0 : STREAM_READABLE;
    case FLOW_WAIT_SINK_WRITE:
        return side == source ? 0 : STREAM_WRITABLE;
    }
    return 0;
}

/* To be run by the timer, whatever the poll says. */
static bool flow_wants_turn(const struct flow *flow)
{
    return flow->wait == FLOW_WAIT_TURN || (flow->coalescing && flow->wait == FLOW_WAIT_SOURCE_READ);
}

static void client_ready_cb(int events, void *data);
static void proxy_ready_cb(int events, void *data);

static void watch_side(struct pump *pump, enum pump_side side)
{
    int events = flow_interest(&pump->up, PUMP_CLIENT, side) | flow_interest(&pump->down, PUMP_PROXY, side);
    stream_watch(pump->streams[side], pump->means->loop, events, side == PUMP_CLIENT ? client_ready_cb : proxy_ready_cb,
                 pump);
}

static void pump_update_interest(struct pump *pump)
{
    watch_side(pump, PUMP_CLIENT);
    watch_side(pump, PUMP_PROXY);
    ev_timer_stop(pump->means->loop, &pump->turn);
    if (flow_wants_turn(&pump->up) || flow_wants_turn(&pump->down)) {
        bool now = pump->up.wait == FLOW_WAIT_TURN || pump->down.wait == FLOW_WAIT_TURN;
        timer_arm(pump->means->loop, &pump->turn, now ? 0. : FLOW_COALESCE_S);
    }
}

static bool flow_is_delivering(const struct flow *flow)
{
    return flow->wait == FLOW_WAIT_SINK_WRITE || flow->wait == FLOW_WAIT_SINK_READ;
}

bool pump_is_delivering(const struct pump *pump)
{
    return flow_is_delivering(&pump->up) || flow_is_delivering(&pump->down);
}

static void pump_stop(struct pump *pump)
{
    stream_watch(pump->streams[PUMP_CLIENT], pump->means->loop, 0, NULL, NULL);
    stream_watch(pump->streams[PUMP_PROXY], pump->means->loop, 0, NULL, NULL);
    ev_timer_stop(pump->means->loop, &pump->turn);
}

/* ---- faults ---- */

/* The first fault decides how the session ends. The other direction goes on as far as it can: what had arrived from a
 * peer before it reset the connection belongs to the other side. */
static void pump_take_fault(struct pump *pump, enum pump_side source)
{
    struct flow *flow = flow_from(pump, source), *opposite = flow_from(pump, other(source));
    if (flow->fault == FLOW_FAULT_NONE || pump->fault != FLOW_FAULT_NONE)
        return;
    pump->fault = flow->fault;
    pump->fault_status = flow->fault_status;
    switch (flow->fault) {
    case FLOW_FAULT_SOURCE:
        pump->fault_side = source;
        flow_abandon(opposite, pump->means->buffers);
        return;
    case FLOW_FAULT_SINK:
        pump->fault_side = other(source);
        flow_doom(opposite);
        /* It may wait for events that a dead socket does not give. */
        if (opposite->state != FLOW_DONE && opposite->wait != FLOW_WAIT_SINK_WRITE)
            opposite->wait = FLOW_WAIT_TURN;
        return;
    case FLOW_FAULT_MEMORY:
        pump->fault_side = source;
        flow_abandon(opposite, pump->means->buffers);
        return;
    case FLOW_FAULT_NONE:
        return;
    }
}

/* ---- running ---- */

void pump_abandon(struct pump *pump)
{
    assert(pump->up.wait == FLOW_WAIT_LEAVE && pump->down.state == FLOW_OPEN);
    pump->abandoned = true;
    flow_abandon(&pump->up, pump->means->buffers);
    flow_abandon(&pump->down, pump->means->buffers);
}

/* Before the client's end is passed on. */
static void pump_leave(struct pump *pump)
{
    if (pump->down.state == FLOW_OPEN)
        pump->cb(pump, PUMP_CLIENT_ENDS, pump->data);
    if (!pump->abandoned)
        flow_run(&pump->up, pump->means->buffers, pump->streams[PUMP_CLIENT], pump->streams[PUMP_PROXY], SHARE);
}

static void pump_run_flow(struct pump *pump, enum pump_side source)
{
    struct flow *flow = flow_from(pump, source);
    uint64_t before = flow->delivered;
    if (flow->state == FLOW_DONE)
        return;
    flow->last = flow_from(pump, other(source))->state == FLOW_DONE;
    flow_run(flow, pump->means->buffers, pump->streams[source], pump->streams[other(source)], SHARE);
    if (flow->delivered != before) {
        pump->answered = source == PUMP_PROXY;
        pump->active_at = ev_now(pump->means->loop);
        stats_add(source == PUMP_CLIENT ? &pump->means->stats->bytes_up : &pump->means->stats->bytes_down,
                  flow->delivered - before);
    }
    if (flow->wait == FLOW_WAIT_LEAVE)
        pump_leave(pump);
    pump_take_fault(pump, source);
}

/* TLS may have to read before it can write. The other direction's call may have read just that, and then no event will
 * tell of it: a flow that waits so runs again whenever the other one has run. */
static bool waits_crosswise(const struct flow *flow)
{
    return flow->wait == FLOW_WAIT_SOURCE_WRITE || flow->wait == FLOW_WAIT_SINK_READ;
}

/* The session may be gone afterwards: callers return at once. */
static void pump_settle(struct pump *pump)
{
    if (pump->up.state == FLOW_DONE && pump->down.state == FLOW_DONE) {
        pump_stop(pump);
        pump->cb(pump, pump->fault == FLOW_FAULT_NONE ? PUMP_DONE : PUMP_FAILED, pump->data);
        return;
    }
    assert(pump->up.wait != FLOW_WAIT_LEAVE && pump->down.wait != FLOW_WAIT_LEAVE);
    pump_update_interest(pump);
    if (!pump->half_closed && (pump->up.state != FLOW_OPEN || pump->down.state != FLOW_OPEN)) {
        pump->half_closed = true;
        pump->cb(pump, PUMP_HALF_CLOSED, pump->data);
    }
}

static void pump_run(struct pump *pump, bool up, bool down)
{
    if (up)
        pump_run_flow(pump, PUMP_CLIENT);
    down |= waits_crosswise(&pump->down);
    if (down)
        pump_run_flow(pump, PUMP_PROXY);
    if (down && waits_crosswise(&pump->up))
        pump_run_flow(pump, PUMP_CLIENT);
    pump_settle(pump);
}

static void pump_ready(struct pump *pump, enum pump_side side, int events)
{
    pump_run(pump, (events & flow_interest(&pump->up, PUMP_CLIENT, side)) != 0,
             (events & flow_interest(&pump->down, PUMP_PROXY, side)) != 0);
}

static void client_ready_cb(int events, void *data)
{
    pump_ready(data, PUMP_CLIENT, events);
}

static void proxy_ready_cb(int events, void *data)
{
    pump_ready(data, PUMP_PROXY, events);
}

static void pump_turn_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct pump *pump = timer->data;
    /* What the poll has found in the same round is dealt with now; it would find nothing left. */
    stream_forget_ready(pump->streams[PUMP_CLIENT]);
    stream_forget_ready(pump->streams[PUMP_PROXY]);
    pump_run(pump, flow_wants_turn(&pump->up), flow_wants_turn(&pump->down));
}

void pump_init(struct pump *pump, const struct pump_means *means, struct stream *client, struct stream *proxy,
               pump_cb *cb, void *data)
{
    assert(client != proxy && cb);
    *pump = (struct pump){.means = means, .cb = cb, .data = data};
    pump->streams[PUMP_CLIENT] = client;
    pump->streams[PUMP_PROXY] = proxy;
    flow_init(&pump->up);
    flow_init(&pump->down);
    pump->up.ask_at_end = true;
    ev_timer_init(&pump->turn, pump_turn_cb, 0., 0.);
    pump->turn.data = pump;
}

void pump_start(struct pump *pump)
{
    pump->active_at = ev_now(pump->means->loop);
    /* What is there already moves before anything is polled: the client's first bytes, and rarely some of the proxy's.
     */
    pump->up.wait = FLOW_WAIT_TURN;
    pump->down.wait = stream_pending(pump->streams[PUMP_PROXY]) ? FLOW_WAIT_TURN : FLOW_WAIT_SOURCE_READ;
    ev_feed_event(pump->means->loop, &pump->turn, EV_TIMER);
}

void pump_fini(struct pump *pump)
{
    pump_stop(pump);
    flow_fini(&pump->up, pump->means->buffers);
    flow_fini(&pump->down, pump->means->buffers);
}
