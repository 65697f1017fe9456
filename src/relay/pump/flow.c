/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/pump/flow.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>

#include "base/stream_fd.h"

/* A source that gives so much at a time is worth a pipe. */
#define BULK           16384
/* Waking up for every few segments is what costs most in a long transfer. Once one has gone on for so long, the socket
 * reports itself readable only with so many bytes, or with an end; and a timer looks for what is less. The kernel then
 * also acknowledges what arrives at once, instead of in our time. */
#define COALESCE_AFTER 1048576
#define COALESCE_BYTES (BUFFERS_PIPE_WANTED - 65536) /* and the segment that goes over it still fits */
#define STREAK_MAX     (16 * COALESCE_AFTER)
/* TLS hands out one record per read. After one smaller than this nothing more is expected to be there already. */
#define RECORD_SMALL   4096

void flow_init(struct flow *flow)
{
    *flow = (struct flow){.pipe = BUFFERS_NO_PIPE};
}

static bool flow_holds(const struct flow *flow)
{
    return flow->piped > 0 || flow->at < flow->end;
}

/* Idle flows hold nothing. */
static void flow_release(struct flow *flow, struct buffers *buffers)
{
    if (flow->buffer && flow->at == flow->end) {
        buffers_put(buffers, flow->buffer, flow->size);
        flow->buffer = NULL;
    }
    if (flow->pipe.read_fd >= 0 && flow->piped == 0)
        buffers_put_pipe(buffers, &flow->pipe);
}

static void flow_finish(struct flow *flow, struct buffers *buffers)
{
    flow->at = flow->end = 0;
    if (flow->piped > 0) {
        flow->piped = 0;
        buffers_drop_pipe(buffers, &flow->pipe);
    }
    flow_release(flow, buffers);
    flow->state = FLOW_DONE;
    flow->wait = FLOW_WAIT_NOTHING;
}

void flow_fini(struct flow *flow, struct buffers *buffers)
{
    flow_finish(flow, buffers);
}

void flow_abandon(struct flow *flow, struct buffers *buffers)
{
    flow_finish(flow, buffers);
}

void flow_doom(struct flow *flow)
{
    flow->doomed = true;
    if (flow->state == FLOW_ENDED)
        flow->state = FLOW_BROKEN;
}

/* ---- results of streams ---- */

static void source_failed(struct flow *flow, enum stream_status status)
{
    flow->state = FLOW_BROKEN;
    if (flow->doomed)
        return;
    flow->fault = FLOW_FAULT_SOURCE;
    flow->fault_status = status;
}

static void sink_failed(struct flow *flow, struct buffers *buffers, enum stream_status status)
{
    flow->fault = FLOW_FAULT_SINK;
    flow->fault_status = status;
    flow_finish(flow, buffers);
}

static void source_says(struct flow *flow, enum stream_status status)
{
    switch (status) {
    case STREAM_AGAIN_READ:
        flow->wait = FLOW_WAIT_SOURCE_READ;
        return;
    case STREAM_AGAIN_WRITE:
        flow->wait = FLOW_WAIT_SOURCE_WRITE;
        return;
    case STREAM_TRUNCATED:
        flow->truncated = true;
        __attribute__((fallthrough));
    case STREAM_EOF:
        flow->state = flow->doomed ? FLOW_BROKEN : FLOW_ENDED;
        return;
    case STREAM_RESET:
    case STREAM_FAILED:
        source_failed(flow, status);
        return;
    case STREAM_OK:
        break;
    }
    assert(!"a status that says nothing");
}

static void sink_says(struct flow *flow, struct buffers *buffers, enum stream_status status)
{
    switch (status) {
    case STREAM_AGAIN_READ:
        flow->wait = FLOW_WAIT_SINK_READ;
        return;
    case STREAM_AGAIN_WRITE:
        flow->wait = FLOW_WAIT_SINK_WRITE;
        return;
    case STREAM_TRUNCATED:
    case STREAM_EOF: /* of a write: the peer takes no more */
        sink_failed(flow, buffers, STREAM_RESET);
        return;
    case STREAM_RESET:
    case STREAM_FAILED:
        sink_failed(flow, buffers, status);
        return;
    case STREAM_OK:
        break;
    }
    assert(!"a status that says nothing");
}

/* What errno means, in the words of a stream. */
static enum stream_status splice_status(enum stream_status again)
{
    if (errno == EAGAIN || errno == EINTR)
        return again;
    return errno == ECONNRESET || errno == EPIPE ? STREAM_RESET : STREAM_FAILED;
}

/* ---- copying ---- */

static void fill_buffer(struct flow *flow, struct stream *source)
{
    flow->at = flow->end = 0;
    while (flow->end < flow->size) {
        size_t room = flow->size - flow->end, n = 0;
        enum stream_status status = stream_read(source, flow->buffer + flow->end, room, &n);
        if (status != STREAM_OK) {
            source_says(flow, status);
            break;
        }
        flow->end += n;
        /* Saves a read that would only say "again"; were it wrong, the poll would report at once. */
        bool drained = stream_is_plain(source) ? n < room : n < RECORD_SMALL && !stream_pending(source);
        if (drained) {
            flow->wait = FLOW_WAIT_SOURCE_READ;
            break;
        }
    }
    flow->round += flow->end;
}

static void drain_buffer(struct flow *flow, struct buffers *buffers, struct stream *sink)
{
    while (flow->at < flow->end) {
        size_t n = 0;
        enum stream_status status = stream_write(sink, flow->buffer + flow->at, flow->end - flow->at, &n);
        if (status != STREAM_OK) {
            sink_says(flow, buffers, status);
            return;
        }
        flow->at += n;
        flow->delivered += n;
    }
}

/* ---- splicing ---- */

static void fill_pipe(struct flow *flow, struct stream *source)
{
    ssize_t n =
        splice(stream_fd(source), NULL, flow->pipe.write_fd, NULL, flow->pipe.size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n <= 0) {
        source_says(flow, n == 0 ? STREAM_EOF : splice_status(STREAM_AGAIN_READ));
        return;
    }
    flow->piped = (size_t)n;
    flow->round += (size_t)n;
    /* The socket was emptied, or the pipe's slots are full; then the poll reports at once. */
    if (flow->piped < flow->pipe.size)
        flow->wait = FLOW_WAIT_SOURCE_READ;
}

static void drain_pipe(struct flow *flow, struct buffers *buffers, struct stream *sink)
{
    while (flow->piped > 0) {
        ssize_t n =
            splice(flow->pipe.read_fd, NULL, stream_fd(sink), NULL, flow->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        assert(n != 0);
        if (n < 0) {
            sink_says(flow, buffers, splice_status(STREAM_AGAIN_WRITE));
            return;
        }
        flow->piped -= (size_t)n;
        flow->delivered += (uint64_t)n;
    }
}

/* ---- the way of the bytes ---- */

static void flow_fill(struct flow *flow, struct buffers *buffers, struct stream *source, struct stream *sink)
{
    flow->bulk |= flow->round >= BULK;
    bool splicing = flow->bulk && stream_can_splice_in(source) && stream_can_splice_out(sink) &&
                    (flow->pipe.read_fd >= 0 || buffers_get_pipe(buffers, &flow->pipe));
    flow->wait = FLOW_WAIT_NOTHING;
    if (splicing) {
        fill_pipe(flow, source);
        return;
    }
    if (flow->buffer && flow->bulk && flow->size < BUFFERS_LARGE)
        flow_release(flow, buffers);
    if (!flow->buffer)
        flow->buffer = buffers_get(buffers, flow->bulk, &flow->size);
    if (flow->buffer) {
        fill_buffer(flow, source);
    } else {
        flow->fault = FLOW_FAULT_MEMORY;
        flow_finish(flow, buffers);
    }
}

static void flow_pass_end(struct flow *flow, struct buffers *buffers, struct stream *sink)
{
    if (flow->ask_at_end) {
        flow->ask_at_end = false;
        flow->wait = FLOW_WAIT_LEAVE;
        return;
    }
    if (flow->last && stream_is_plain(sink)) { /* for a plain socket close() does it, for TLS it does not */
        flow_finish(flow, buffers);
        return;
    }
    enum stream_status status = stream_shutdown_write(sink);
    if (status == STREAM_OK)
        flow_finish(flow, buffers);
    else
        sink_says(flow, buffers, status);
}

/* The source has nothing more now: what kind of a source is it? */
static void flow_judge_source(struct flow *flow, struct stream *source)
{
    bool much = flow->round >= BULK;
    flow->streak = much ? flow->streak + flow->round : flow->streak / 4; /* a pause is not the end of a long transfer */
    if (flow->streak > STREAK_MAX)
        flow->streak = STREAK_MAX;
    flow->round = 0;
    flow->bulk = much || flow->streak >= COALESCE_AFTER;
    bool coalesce = much && flow->streak >= COALESCE_AFTER;
    if (coalesce != flow->coalescing && stream_set_low_water(source, coalesce ? COALESCE_BYTES : 1))
        flow->coalescing = coalesce;
}

void flow_run(struct flow *flow, struct buffers *buffers, struct stream *source, struct stream *sink, size_t budget)
{
    uint64_t stop = flow->delivered + budget;
    flow->wait = FLOW_WAIT_NOTHING;
    for (;;) {
        if (flow->state == FLOW_OPEN && !flow_holds(flow))
            flow_fill(flow, buffers, source, sink);
        bool source_waits = flow->wait != FLOW_WAIT_NOTHING;
        drain_pipe(flow, buffers, sink);
        drain_buffer(flow, buffers, sink);
        if (flow_holds(flow) || flow->state == FLOW_DONE)
            break;
        if (flow->state == FLOW_OPEN && source_waits) {
            flow_judge_source(flow, source);
            break;
        }
        if (flow->state == FLOW_OPEN && flow->delivered >= stop) {
            flow->wait = FLOW_WAIT_TURN;
            break;
        }
        if (flow->state == FLOW_ENDED) {
            flow_pass_end(flow, buffers, sink);
            break;
        }
        if (flow->state == FLOW_BROKEN)
            flow_finish(flow, buffers);
    }
    flow_release(flow, buffers);
    /* What is left is the sink's, and who is not done waits for something. */
    assert(!flow_holds(flow) || flow->wait == FLOW_WAIT_SINK_READ || flow->wait == FLOW_WAIT_SINK_WRITE);
    assert((flow->state == FLOW_DONE) == (flow->wait == FLOW_WAIT_NOTHING));
}
