/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/stream.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct plain {
    struct stream stream;
    int error; /* errno of the last failure, 0: none */
};

static struct plain *plain_of(struct stream *stream)
{
    return (struct plain *)stream;
}

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
        count = recv(stream->fd, buf, size, 0);
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
        count = send(stream->fd, buf, size, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return plain_failed(stream, STREAM_AGAIN_WRITE);
    *ret_count = (size_t)count;
    return STREAM_OK;
}

static enum stream_status plain_shutdown_write(struct stream *stream)
{
    if (shutdown(stream->fd, SHUT_WR) == 0)
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
    int error = ((const struct plain *)stream)->error;
    /* strerrordesc_np() gives static strings, unlike strerror(). */
    const char *text = error != 0 ? strerrordesc_np(error) : NULL;
    return text ? text : "no error is known";
}

static void plain_free(struct stream *stream, bool reset)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    if (reset)
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(stream->fd);
    free(plain_of(stream));
}

static const struct stream_ops plain_ops = {
    .read = plain_read,
    .write = plain_write,
    .shutdown_write = plain_shutdown_write,
    .pending = plain_pending,
    .error = plain_error,
    .free = plain_free,
};

struct stream *stream_new_plain(int fd)
{
    struct plain *plain = calloc(1, sizeof *plain);
    assert(fd >= 0);
    if (!plain) {
        close(fd);
        return NULL;
    }
    plain->stream.ops = &plain_ops;
    plain->stream.fd = fd;
    return &plain->stream;
}

bool stream_can_splice(const struct stream *stream)
{
    return stream->ops == &plain_ops && !stream->unread;
}

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
