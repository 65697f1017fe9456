/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/http/lane.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE_FIRST 4096
/* A source that fills so much at once is worth a large buffer. */
#define BULK            16384

void lane_init(struct lane *lane)
{
    *lane = (struct lane){0};
    body_init(&lane->body, (struct framing){FRAMING_NONE, 0}, false, NULL, NULL);
}

/* ---- the buffer ---- */

static void lane_put_buffer(struct lane *lane, struct buffers *buffers)
{
    if (lane->buffer && lane->pooled)
        buffers_put(buffers, lane->buffer, lane->size);
    else
        free(lane->buffer);
    lane->buffer = NULL;
    lane->size = lane->at = lane->end = lane->checked = 0;
}

static void lane_release(struct lane *lane, struct buffers *buffers)
{
    if (lane->at == lane->end)
        lane_put_buffer(lane, buffers);
}

void lane_fini(struct lane *lane, struct buffers *buffers)
{
    uint64_t delivered = lane->delivered;
    lane_put_buffer(lane, buffers);
    free(lane->head);
    lane_init(lane);
    lane->delivered = delivered;
}

void lane_drop_head(struct lane *lane)
{
    free(lane->head);
    lane->head = NULL;
}

size_t lane_left(const struct lane *lane)
{
    return lane->end - lane->at;
}

const char *lane_bytes(const struct lane *lane)
{
    return (const char *)lane->buffer + lane->at;
}

void lane_drop(struct lane *lane, size_t length)
{
    assert(length <= lane_left(lane) && lane->run == 0);
    lane->at += length;
    lane->checked = 0;
}

/* Room for more of a head, in a buffer of our own: it may take long, and the pool's are for bytes in flight. */
static bool lane_grow(struct lane *lane, struct buffers *buffers)
{
    size_t left = lane_left(lane), size = HEAD_SIZE_FIRST, checked = lane->checked;
    if (lane->buffer && !lane->pooled && lane->end < lane->size)
        return true;
    while (size <= left)
        size *= 2;
    unsigned char *grown = malloc(size);
    if (!grown)
        return false;
    if (left > 0)
        memcpy(grown, lane->buffer + lane->at, left);
    lane_put_buffer(lane, buffers);
    lane->buffer = grown;
    lane->size = size;
    lane->end = left;
    lane->checked = checked;
    lane->pooled = false;
    return true;
}

/* An empty one for a body. */
static bool lane_get_buffer(struct lane *lane, struct buffers *buffers)
{
    assert(lane->at == lane->end);
    if (lane->buffer && (!lane->pooled || (lane->bulk && lane->size < BUFFERS_LARGE)))
        lane_put_buffer(lane, buffers);
    lane->at = lane->end = 0;
    if (!lane->buffer) {
        lane->buffer = buffers_get(buffers, lane->bulk, &lane->size);
        lane->pooled = true;
    }
    return lane->buffer;
}

/* ---- the streams ---- */

static enum lane_status lane_fail(struct lane *lane, enum stream_status status, enum lane_status side)
{
    lane->fault_status = status;
    return side;
}

/* One read behind what is there. LANE_DONE: some bytes came. */
static enum lane_status lane_read(struct lane *lane, struct stream *source)
{
    size_t room = lane->size - lane->end, n = 0;
    if (lane->ended)
        return LANE_ENDED;
    enum stream_status status = stream_read(source, lane->buffer + lane->end, room, &n);
    switch (status) {
    case STREAM_OK:
        lane->end += n;
        lane->bulk = n >= BULK;
        return LANE_DONE;
    case STREAM_AGAIN_READ:
        return LANE_SOURCE_READ;
    case STREAM_AGAIN_WRITE:
        return LANE_SOURCE_WRITE;
    case STREAM_TRUNCATED:
        lane->truncated = true;
        __attribute__((fallthrough));
    case STREAM_EOF:
        lane->ended = true;
        return LANE_ENDED;
    case STREAM_RESET:
    case STREAM_FAILED:
        break;
    }
    return lane_fail(lane, status, LANE_SOURCE_FAILED);
}

static enum lane_status lane_write_some(struct lane *lane, struct stream *sink, const void *bytes, size_t length,
                                        size_t *ret_count)
{
    enum stream_status status = stream_write(sink, bytes, length, ret_count);
    switch (status) {
    case STREAM_OK:
        lane->delivered += *ret_count;
        return LANE_DONE;
    case STREAM_AGAIN_READ:
        return LANE_SINK_READ;
    case STREAM_AGAIN_WRITE:
        return LANE_SINK_WRITE;
    case STREAM_EOF: /* of a write: the peer takes no more */
    case STREAM_TRUNCATED:
        status = STREAM_RESET;
        break;
    case STREAM_RESET:
    case STREAM_FAILED:
        break;
    }
    return lane_fail(lane, status, LANE_SINK_FAILED);
}

/* ---- heads ---- */

enum lane_status lane_read_head(struct lane *lane, struct buffers *buffers, struct stream *source,
                                struct span *ret_head)
{
    for (;;) {
        size_t left = lane_left(lane), length = 0;
        if (left > 0)
            length = head_find_end(lane_bytes(lane), left < HEAD_MAX ? left : HEAD_MAX, &lane->checked);
        if (length > 0) {
            *ret_head = (struct span){lane_bytes(lane), length};
            return LANE_DONE;
        }
        if (left >= HEAD_MAX)
            return LANE_TOO_LARGE;
        if (!lane_grow(lane, buffers))
            return LANE_NO_MEMORY;
        enum lane_status status = lane_read(lane, source);
        if (status != LANE_DONE) {
            lane_release(lane, buffers);
            return status;
        }
    }
}

enum lane_status lane_listen(struct lane *lane, struct buffers *buffers, struct stream *source)
{
    if (lane_left(lane) > 0)
        return LANE_DONE;
    if (!lane_grow(lane, buffers))
        return LANE_NO_MEMORY;
    enum lane_status status = lane_read(lane, source);
    lane_release(lane, buffers);
    return status;
}

/* ---- whole messages ---- */

void lane_set_head(struct lane *lane, char *head, size_t length)
{
    assert(!lane->head && length > 0);
    lane->head = head;
    lane->head_at = 0;
    lane->head_end = length;
}

static enum lane_status lane_deliver(struct lane *lane, struct stream *sink)
{
    while (lane->head) {
        size_t n = 0;
        enum lane_status status =
            lane_write_some(lane, sink, lane->head + lane->head_at, lane->head_end - lane->head_at, &n);
        if (status != LANE_DONE)
            return status;
        lane->head_at += n;
        if (lane->head_at == lane->head_end) {
            free(lane->head);
            lane->head = NULL;
        }
    }
    while (lane->run > 0) {
        size_t n = 0;
        enum lane_status status = lane_write_some(lane, sink, lane_bytes(lane), lane->run, &n);
        if (status != LANE_DONE)
            return status;
        lane->at += n;
        lane->run -= n;
    }
    return LANE_DONE;
}

/* Looks at what has come. */
static bool lane_take(struct lane *lane)
{
    size_t used = 0;
    bool pass = false;
    if (body_read(&lane->body, lane_bytes(lane), lane_left(lane), &used, &pass) == BODY_BAD)
        return false;
    if (pass)
        lane->run = used;
    else
        lane->at += used;
    return true;
}

enum lane_status lane_move(struct lane *lane, struct buffers *buffers, struct stream *source, struct stream *sink,
                           size_t budget)
{
    uint64_t stop = lane->delivered + budget;
    for (;;) {
        enum lane_status status = lane_deliver(lane, sink);
        if (status != LANE_DONE)
            return status;
        if (body_is_done(&lane->body)) {
            lane->checked = 0;
            lane_release(lane, buffers);
            return LANE_DONE;
        }
        if (lane->delivered >= stop)
            return LANE_TURN;
        if (lane_left(lane) == 0) {
            if (!lane_get_buffer(lane, buffers))
                return LANE_NO_MEMORY;
            status = lane_read(lane, source);
            if (status != LANE_DONE) {
                lane_release(lane, buffers);
                return status == LANE_ENDED && body_ends_with_source(&lane->body) ? LANE_DONE : status;
            }
        }
        if (!lane_take(lane))
            return LANE_BAD;
    }
}
