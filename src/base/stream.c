/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/stream.h"

#include <assert.h>
#include <errno.h>
#include <ev.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/socket.h"
#include "base/stream_fd.h"

#define UNACKNOWLEDGED_MS 45000 /* bytes, after which the peer is taken for gone */

#define DROPPED_AT_ONCE 16384
#define DROPS_PER_TURN  16

_Static_assert(STREAM_READABLE == (int)EV_READ && STREAM_WRITABLE == (int)EV_WRITE, "the loop's own words");

struct plain {
    struct stream stream;
    int fd;               /* owned */
    int error;            /* errno of the last failure, 0: none */
    struct ev_loop *loop; /* NULL: nobody has watched yet */
    ev_io io;
    stream_ready_cb *cb;
    void *data;
};

static const struct stream_ops plain_ops;

static struct plain *plain_of(const struct stream *stream)
{
    assert(stream->ops == &plain_ops);
    return (struct plain *)stream;
}

/* ---- bytes of a socket ---- */

static enum stream_status plain_failed(struct stream *stream, enum stream_status again)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return again;
    plain_of(stream)->error = errno;
    return errno == EPIPE || errno == ECONNRESET ? STREAM_RESET : STREAM_FAILED;
}

static enum stream_status plain_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    ssize_t count;
    do
        count = recv(plain_of(stream)->fd, buf, size, 0);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return plain_failed(stream, STREAM_AGAIN_READ);
    if (count == 0)
        return STREAM_EOF;
    *ret_count = (size_t)count;
    return STREAM_OK;
}

static enum stream_status plain_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    ssize_t count;
    do
        count = send(plain_of(stream)->fd, buf, size, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return plain_failed(stream, STREAM_AGAIN_WRITE);
    *ret_count = (size_t)count;
    return STREAM_OK;
}

static enum stream_status plain_shutdown_write(struct stream *stream)
{
    if (shutdown(plain_of(stream)->fd, SHUT_WR) == 0)
        return STREAM_OK;
    plain_of(stream)->error = errno;
    /* The kernel says so of a socket that was reset meanwhile. */
    return errno == ENOTCONN ? STREAM_RESET : STREAM_FAILED;
}

static bool plain_pending(const struct stream *stream)
{
    return false;
}

static const char *plain_error(const struct stream *stream)
{
    int error = plain_of(stream)->error;
    /* strerrordesc_np() gives static strings, unlike strerror(). */
    const char *text = error != 0 ? strerrordesc_np(error) : NULL;
    return text ? text : "no error is known";
}

static void plain_free(struct stream *stream, bool reset)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    struct plain *plain = plain_of(stream);
    if (plain->loop)
        ev_io_stop(plain->loop, &plain->io);
    if (reset)
        (void)setsockopt(plain->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(plain->fd);
    free(plain);
}

/* ---- a socket as a transport ---- */

static void plain_ready_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct plain *plain = io->data;
    /* An error of the poll itself (EV_ERROR) is found by whatever is tried next. */
    plain->cb(events & (EV_READ | EV_WRITE), plain->data);
}

/* One watcher of the loop's for all the life of the stream: the kernel is told only of other events, never again of the
 * same descriptor, as ev_io_set() would. */
static void plain_watch(struct stream *stream, struct ev_loop *loop, int events, stream_ready_cb *cb, void *data)
{
    struct plain *plain = plain_of(stream);
    assert((!plain->loop || plain->loop == loop) && (events == 0 || cb));
    plain->loop = loop;
    plain->cb = cb;
    plain->data = data;
    if (events == (ev_is_active(&plain->io) ? plain->io.events & (EV_READ | EV_WRITE) : 0))
        return;
    ev_io_stop(loop, &plain->io);
    if (events == 0)
        return;
    ev_io_modify(&plain->io, events);
    ev_io_start(loop, &plain->io);
}

static void plain_forget_ready(struct stream *stream)
{
    struct plain *plain = plain_of(stream);
    if (plain->loop)
        (void)ev_clear_pending(plain->loop, &plain->io);
}

static int plain_connect_error(struct stream *stream)
{
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(plain_of(stream)->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

static enum stream_status plain_look(struct stream *stream)
{
    char byte;
    ssize_t count = recv(plain_of(stream)->fd, &byte, 1, MSG_PEEK);
    if (count > 0)
        return STREAM_OK;
    if (count == 0)
        return STREAM_EOF;
    return errno == EINTR ? STREAM_AGAIN_READ : plain_failed(stream, STREAM_AGAIN_READ);
}

static enum stream_status plain_drop(struct stream *stream)
{
    char dropped[DROPPED_AT_ONCE]; /* of TCP, MSG_TRUNC copies nothing into it (tcp(7)) */
    for (int i = 0; i < DROPS_PER_TURN; i++) {
        ssize_t count = recv(plain_of(stream)->fd, dropped, sizeof dropped, MSG_TRUNC);
        if (count == 0)
            return STREAM_EOF;
        if (count < 0)
            return errno == EINTR ? STREAM_AGAIN_READ : plain_failed(stream, STREAM_AGAIN_READ);
    }
    return STREAM_AGAIN_READ;
}

static size_t plain_undelivered(const struct stream *stream)
{
    int left;
    return ioctl(plain_of(stream)->fd, SIOCOUTQ, &left) == 0 ? (size_t)left : SIZE_MAX;
}

static bool plain_is_dead(const struct stream *stream)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    return getsockopt(plain_of(stream)->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

static void plain_keep_alive(struct stream *stream)
{
    socket_keep_alive(plain_of(stream)->fd, SOCKET_KEEP_S);
    socket_set(plain_of(stream)->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS);
}

static void plain_keep_tracked(struct stream *stream)
{
    socket_keep_alive(plain_of(stream)->fd, SOCKET_KEEP_TRACKED_S);
}

/* About a half of the receive buffer is window, the rest is the kernel's own (tcp_adv_win_scale in ip-sysctl). */
static bool plain_set_low_water(struct stream *stream, size_t bytes)
{
    int fd = plain_of(stream)->fd, low = (int)bytes, buffer;
    socklen_t length = sizeof buffer;
    assert(bytes > 0 && bytes <= INT_MAX);
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, &length) == 0 && low > buffer / 4)
        low = buffer / 4;
    return socket_set(fd, SOL_SOCKET, SO_RCVLOWAT, low);
}

static const struct stream_transport plain_transport = {
    .watch = plain_watch,
    .forget_ready = plain_forget_ready,
    .connect_error = plain_connect_error,
    .look = plain_look,
    .drop = plain_drop,
    .undelivered = plain_undelivered,
    .is_dead = plain_is_dead,
    .keep_alive = plain_keep_alive,
    .keep_tracked = plain_keep_tracked,
    .set_low_water = plain_set_low_water,
};

static const struct stream_ops plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .shutdown_write = plain_shutdown_write,
    .pending = plain_pending,
    .error = plain_error,
    .free = plain_free,
    .transport = &plain_transport,
};

struct stream *stream_new_plain(int fd)
{
    struct plain *plain = calloc(1, sizeof *plain);
    assert(fd >= 0);
    if (!plain) {
        close(fd);
        return NULL;
    }
    plain->stream = (struct stream){.ops = &plain_ops, .splices_in = true, .splices_out = true};
    plain->fd = fd;
    ev_io_init(&plain->io, plain_ready_cb, fd, 0);
    plain->io.data = plain;
    return &plain->stream;
}

bool stream_is_plain(const struct stream *stream)
{
    return stream->ops == &plain_ops;
}

bool stream_can_splice_in(const struct stream *stream)
{
    return stream->splices_in && !stream->unread;
}

bool stream_can_splice_out(const struct stream *stream)
{
    return stream->splices_out;
}

/* ---- bytes of any stream ---- */

static size_t take_unread(struct stream *stream, void *buf, size_t size)
{
    size_t count = stream->unread_end - stream->unread_at;
    if (count > size)
        count = size;
    memcpy(buf, stream->unread + stream->unread_at, count);
    stream->unread_at += count;
    if (stream->unread_at == stream->unread_end) {
        free(stream->unread);
        stream->unread = NULL;
    }
    return count;
}

enum stream_status stream_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    /* recv() of nothing returns 0, which would look like the peer's end. */
    assert(size > 0);
    if (stream->unread) {
        *ret_count = take_unread(stream, buf, size);
        return STREAM_OK;
    }
    return stream->ops->read(stream, buf, size, ret_count);
}

enum stream_status stream_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    assert(size > 0);
    return stream->ops->write(stream, buf, size, ret_count);
}

enum stream_status stream_shutdown_write(struct stream *stream)
{
    return stream->ops->shutdown_write(stream);
}

bool stream_pending(const struct stream *stream)
{
    return stream->unread || stream->ops->pending(stream);
}

const char *stream_error(const struct stream *stream)
{
    return stream->ops->error(stream);
}

void stream_free(struct stream *stream, bool reset)
{
    if (!stream)
        return;
    free(stream->unread);
    stream->unread = NULL;
    stream->ops->free(stream, reset);
}

int stream_unread(struct stream *stream, const void *buf, size_t size)
{
    assert(!stream->unread);
    if (size == 0)
        return 0;
    stream->unread = malloc(size);
    if (!stream->unread)
        return -ENOMEM;
    memcpy(stream->unread, buf, size);
    stream->unread_at = 0;
    stream->unread_end = size;
    return 0;
}

/* ---- what carries it ---- */

/* A filter has none of its own. */
static struct stream *carrier(const struct stream *stream)
{
    while (!stream->ops->transport) {
        assert(stream->below);
        stream = stream->below;
    }
    return (struct stream *)stream;
}

void stream_watch(struct stream *stream, struct ev_loop *loop, int events, stream_ready_cb *cb, void *data)
{
    stream = carrier(stream);
    stream->ops->transport->watch(stream, loop, events, cb, data);
}

void stream_forget_ready(struct stream *stream)
{
    stream = carrier(stream);
    stream->ops->transport->forget_ready(stream);
}

int stream_connect_error(struct stream *stream)
{
    stream = carrier(stream);
    return stream->ops->transport->connect_error(stream);
}

enum stream_status stream_look(struct stream *stream)
{
    stream = carrier(stream);
    return stream->ops->transport->look(stream);
}

enum stream_status stream_drop(struct stream *stream)
{
    stream = carrier(stream);
    return stream->ops->transport->drop(stream);
}

size_t stream_undelivered(const struct stream *stream)
{
    stream = carrier(stream);
    return stream->ops->transport->undelivered(stream);
}

bool stream_is_dead(const struct stream *stream)
{
    stream = carrier(stream);
    return stream->ops->transport->is_dead(stream);
}

void stream_keep_alive(struct stream *stream)
{
    stream = carrier(stream);
    stream->ops->transport->keep_alive(stream);
}

void stream_keep_tracked(struct stream *stream)
{
    stream = carrier(stream);
    stream->ops->transport->keep_tracked(stream);
}

bool stream_set_low_water(struct stream *stream, size_t bytes)
{
    stream = carrier(stream);
    return stream->ops->transport->set_low_water(stream, bytes);
}

int stream_fd(const struct stream *stream)
{
    return plain_of(carrier(stream))->fd;
}
