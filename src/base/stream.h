/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bidirectional byte stream over a non-blocking descriptor: a plain socket, or TLS above another stream.
 * Embedded in its implementation (struct tls has one); readiness is a hint, every call may say "again". */
#ifndef PENSTOCK_BASE_STREAM_H
#define PENSTOCK_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum stream_status {
    STREAM_OK,          /* *ret_count bytes moved, at least one */
    STREAM_AGAIN_READ,  /* call again when the descriptor is readable (also possible from a write) */
    STREAM_AGAIN_WRITE, /* call again when it is writable (also possible from a read) */
    STREAM_EOF,         /* the peer ended its direction in order (FIN; over TLS close_notify) */
    STREAM_TRUNCATED,   /* the peer ended TCP in order, but TLS without close_notify, between two records: nothing that
                           was sent is missing, but only what is inside can say whether it was all */
    STREAM_RESET,       /* reset by the peer, or broken pipe */
    STREAM_FAILED,      /* any other error; stream_error() tells */
};

struct stream;

struct stream_ops {
    enum stream_status (*read)(struct stream *stream, void *buf, size_t size, size_t *ret_count);
    /* After STREAM_AGAIN_* call again with the same bytes and at least as many. */
    enum stream_status (*write)(struct stream *stream, const void *buf, size_t size, size_t *ret_count);
    /* Ends our direction; reading goes on. TLS sends close_notify and leaves the TCP FIN to the end, so that the
     * peer closes first and keeps TIME_WAIT. STREAM_OK (*count unused) or again; may be called again after again. */
    enum stream_status (*shutdown_write)(struct stream *stream);
    bool (*pending)(const struct stream *stream); /* bytes wait inside, where poll cannot see them */
    /* One sentence about STREAM_FAILED, STREAM_RESET or an unordered end; static or owned by the stream. */
    const char *(*error)(const struct stream *stream);
    /* Frees the stream, closes the descriptor; with reset the peer gets RST (SO_LINGER 0) and nobody TIME_WAIT. */
    void (*free)(struct stream *stream, bool reset);
};

struct stream {
    const struct stream_ops *ops;
    int fd;                /* to poll; owned */
    unsigned char *unread; /* bytes given back by stream_unread(), NULL when none */
    size_t unread_at, unread_end;
};

/* A plain socket as a stream; takes the descriptor over. NULL when out of memory (the descriptor is closed then). */
struct stream *stream_new_plain(int fd);

/* True for a socket whose bytes may be spliced: plain, and nothing given back is waiting. */
bool stream_can_splice(const struct stream *stream);

/* Reads what was given back first. */
enum stream_status stream_read(struct stream *stream, void *buf, size_t size, size_t *ret_count);
enum stream_status stream_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count);
enum stream_status stream_shutdown_write(struct stream *stream);
bool stream_pending(const struct stream *stream);
const char *stream_error(const struct stream *stream);
void stream_free(struct stream *stream, bool reset); /* takes NULL */

/* Gives bytes back that were read too far (behind the proxy's answer); they are copied. 0 or -ENOMEM.
 * Only when nothing is given back already. */
int stream_unread(struct stream *stream, const void *buf, size_t size);

#endif
