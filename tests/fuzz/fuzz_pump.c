/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session's bytes, from the client's first ones on: two applications at the outer ends of two socket pairs do what
 * the input says (send, read, end a direction, let the loop run), through plain streams or such that cut everything
 * into records. Every byte arrives once and in order, an end behind the last of them, and nothing is held afterwards.
 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/pump/pump.h"
#include "relay/session/first_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE_MAX  40000
#define PATIENCE_S 5.

/* One application. */
struct end {
    int fd;
    uint64_t sent, got; /* bytes; each is made of its place */
    bool shut, ended;   /* it has ended its direction; it has seen the other's end */
};

/* A filter as TLS is one: bytes come in records, and "again" is said of a write though there is room. */
struct records {
    struct stream stream;
    unsigned char in[5000];
    size_t at, end;
    unsigned calls;
};

static unsigned char byte_at(uint64_t place)
{
    return (unsigned char)(place * 2654435761u >> 13);
}

static enum stream_status records_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    struct records *records = (struct records *)stream;
    if (records->at == records->end) {
        size_t n = 0;
        enum stream_status status = stream_read(stream->below, records->in, 1 + records->calls++ * 977 % 4999, &n);
        if (status != STREAM_OK)
            return status;
        records->at = 0;
        records->end = n;
    }
    *ret_count = size < records->end - records->at ? size : records->end - records->at;
    memcpy(buf, records->in + records->at, *ret_count);
    records->at += *ret_count;
    return STREAM_OK;
}

static enum stream_status records_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    struct records *records = (struct records *)stream;
    if (records->calls++ % 5 == 0)
        return STREAM_AGAIN_WRITE;
    return stream_write(stream->below, buf, size > 3000 ? 3000 : size, ret_count);
}

static enum stream_status records_shutdown(struct stream *stream)
{
    return stream_shutdown_write(stream->below);
}

static bool records_pending(const struct stream *stream)
{
    const struct records *records = (const struct records *)stream;
    return records->at < records->end;
}

static const char *records_error(const struct stream *stream)
{
    return "records";
}

static void records_free(struct stream *stream, bool reset)
{
    stream_free(stream->below, reset);
    free(stream);
}

static const struct stream_ops records_ops = {.read = records_read,
                                              .write = records_write,
                                              .shutdown_write = records_shutdown,
                                              .pending = records_pending,
                                              .error = records_error,
                                              .free = records_free};

static struct stream *stream_make(int fd, bool in_records)
{
    struct stream *plain = stream_new_plain(fd);
    struct records *records = in_records ? calloc(1, sizeof *records) : NULL;
    if (!plain || (in_records && !records))
        abort();
    if (!records)
        return plain;
    records->stream = (struct stream){.ops = &records_ops, .below = plain};
    return &records->stream;
}

/* ---- the applications ---- */

static void end_send(struct end *end, size_t size)
{
    unsigned char bytes[PIECE_MAX];
    ssize_t n;
    if (end->shut || size == 0)
        return;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(end->sent + i);
    n = send(end->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        end->sent += (uint64_t)n;
}

static void end_read(struct end *end, size_t size)
{
    unsigned char bytes[PIECE_MAX];
    ssize_t n = size > 0 && !end->ended ? recv(end->fd, bytes, size, MSG_DONTWAIT) : -1;
    if (n == 0)
        end->ended = true;
    for (ssize_t i = 0; i < n; i++)
        if (bytes[i] != byte_at(end->got + (uint64_t)i))
            abort();
    if (n > 0)
        end->got += (uint64_t)n;
}

static void end_shut(struct end *end)
{
    if (!end->shut && shutdown(end->fd, SHUT_WR) < 0)
        abort();
    end->shut = true;
}

static bool everything_arrived(const struct end *from, const struct end *to)
{
    if (to->got > from->sent || (to->ended && (!from->shut || to->got != from->sent)))
        abort();
    return to->got == from->sent && to->ended == from->shut;
}

/* ---- the session ---- */

struct session {
    struct ev_loop *loop;
    struct buffers *buffers;
    struct stats stats;
    struct stream *client, *proxy;
    struct first_bytes head;
    struct pump_means means;
    struct pump pump;
    bool pumping, done;
};

static void pump_event_cb(struct pump *pump, enum pump_event event, void *data)
{
    struct session *session = data;
    if (event == PUMP_FAILED || session->done)
        abort();
    session->done = event == PUMP_DONE;
}

static void session_pump(struct session *session)
{
    session->means = (struct pump_means){.loop = session->loop, .buffers = session->buffers, .stats = &session->stats};
    pump_init(&session->pump, &session->means, session->client, session->proxy, pump_event_cb, session);
    pump_start(&session->pump);
    session->pumping = true;
}

/* Until the first bytes are judged, or nothing more comes of them. */
static void session_step(struct session *session, bool last)
{
    struct sniff sniff;
    if (session->pumping) {
        ev_run(session->loop, EVRUN_NOWAIT);
        return;
    }
    switch (first_bytes_read(&session->head, session->client, &sniff)) {
    case FIRST_BYTES_DONE:
        session_pump(session);
        return;
    case FIRST_BYTES_MORE:
        if (!last)
            return;
        break;
    case FIRST_BYTES_ENDED:
        break;
    case FIRST_BYTES_FAILED:
    case FIRST_BYTES_NO_MEMORY:
        abort();
    }
    if (first_bytes_give_up(&session->head, session->client, &sniff) != FIRST_BYTES_DONE)
        abort();
    session_pump(session);
}

static void follow(struct session *session, struct end ends[2], const uint8_t *data, size_t size)
{
    for (; size >= 2; data += 2, size -= 2) {
        struct end *end = &ends[data[0] & 1];
        size_t amount = data[1] < 128 ? data[1] : ((size_t)data[1] - 127) * 311;
        switch (data[0] >> 1 & 3) {
        case 0:
            end_send(end, amount);
            break;
        case 1:
            end_read(end, amount);
            break;
        case 2:
            if (data[1] > 200) /* rarely: not much can follow */
                end_shut(end);
            break;
        case 3:
            session_step(session, false);
            break;
        }
    }
}

/* Both read until all of it has arrived, or the session is over. */
static void finish(struct session *session, struct end ends[2])
{
    ev_tstamp stop = ev_time() + PATIENCE_S;
    while (!session->done && (!everything_arrived(&ends[0], &ends[1]) || !everything_arrived(&ends[1], &ends[0]) ||
                              (ends[0].shut && ends[1].shut))) {
        if (ev_time() > stop)
            abort();
        session_step(session, true);
        end_read(&ends[0], PIECE_MAX);
        end_read(&ends[1], PIECE_MAX);
    }
}

static void session_close(struct session *session)
{
    first_bytes_fini(&session->head);
    if (session->pumping)
        pump_fini(&session->pump);
    if (buffers_out(session->buffers) != 0 || buffers_pipes_out(session->buffers) != 0)
        abort();
    stream_free(session->client, false);
    stream_free(session->proxy, false);
    buffers_free(session->buffers);
}

/* Closing is what ends a direction of a plain socket at the last: what is left in the sockets comes first. */
static void check_rest(struct end *end, const struct end *other, bool over)
{
    while (!end->ended && end->got < other->sent)
        end_read(end, PIECE_MAX);
    end_read(end, 1);
    if (end->got != other->sent || (over && !end->ended))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ev_loop *loop;
    struct session session = {0};
    struct end ends[2] = {0};
    int pairs[2][2];
    if (size < 1 || size > 2000)
        return 0;
    if (!loop)
        loop = ev_loop_new(EVFLAG_AUTO);
    for (int i = 0; i < 2; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pairs[i]) < 0)
            abort();
        ends[i].fd = pairs[i][0];
    }
    session.loop = loop;
    session.client = stream_make(pairs[0][1], data[0] & 1);
    session.proxy = stream_make(pairs[1][1], data[0] & 2);
    session.buffers = buffers_new(data[0] & 4 ? 0 : 2);
    follow(&session, ends, data + 1, size - 1);
    finish(&session, ends);
    session_close(&session);
    check_rest(&ends[0], &ends[1], session.done);
    check_rest(&ends[1], &ends[0], session.done);
    close(ends[0].fd);
    close(ends[1].fd);
    return 0;
}
