/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bidirectional byte stream: a connected socket, or a filter (TLS) above another stream. Embedded in its
 * implementation (struct tls has one). Readiness is a hint, every call may say "again". Its descriptor, if it has one,
 * is nobody's business but of those who may include base/stream_fd.h. */
#ifndef PENSTOCK_BASE_STREAM_H
#define PENSTOCK_BASE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum stream_status {
    STREAM_OK,          /* *ret_count bytes moved, at least one */
    STREAM_AGAIN_READ,  /* call again when the stream is readable (also possible from a write) */
    STREAM_AGAIN_WRITE, /* call again when it is writable (also possible from a read) */
    STREAM_EOF,         /* the peer ended its direction in order (FIN; over TLS close_notify) */
    STREAM_TRUNCATED,   /* the peer ended TCP in order, but TLS without close_notify, between two records: nothing that
                           was sent is missing, but only what is inside can say whether it was all */
    STREAM_RESET,       /* reset by the peer, or broken pipe */
    STREAM_FAILED,      /* any other error; stream_error() tells */
};

struct ev_loop;
struct stream;

/* To be told of by stream_watch(). */
enum { STREAM_READABLE = 1, STREAM_WRITABLE = 2 };

/* From the loop only, never inside a call; it may free the stream. events: of those that were asked for. */
typedef void stream_ready_cb(int events, void *data);

/* What carries the bytes. A socket is one; a stream of an HTTP/2 connection would be another. Contracts: below. */
struct stream_transport {
    void (*watch)(struct stream *stream, struct ev_loop *loop, int events, stream_ready_cb *cb, void *data);
    void (*forget_ready)(struct stream *stream);
    int (*connect_error)(struct stream *stream);
    enum stream_status (*look)(struct stream *stream);
    enum stream_status (*drop)(struct stream *stream);
    size_t (*undelivered)(const struct stream *stream);
    bool (*is_dead)(const struct stream *stream);
    void (*keep_alive)(struct stream *stream);
    void (*keep_tracked)(struct stream *stream);
    bool (*set_low_water)(struct stream *stream, size_t bytes);
};

struct stream_ops {
    enum stream_status (*read)(struct stream *stream, void *buf, size_t size, size_t *ret_count);
    /* After STREAM_AGAIN_* call again with the same bytes and at least as many. */
    enum stream_status (*write)(struct stream *stream, const void *buf, size_t size, size_t *ret_count);
    /* Ends our direction; reading goes on. TLS sends close_notify and leaves the TCP FIN to the end, so that the
     * peer closes first and keeps TIME_WAIT. STREAM_OK (*count unused) or again; may be called again after again. */
    enum stream_status (*shutdown_write)(struct stream *stream);
    bool (*pending)(const struct stream *stream); /* bytes wait inside, where watching does not see them */
    /* One sentence about STREAM_FAILED, STREAM_RESET or an unordered end; static or owned by the stream. */
    const char *(*error)(const struct stream *stream);
    /* Frees the stream and what is below; with reset the peer gets RST (SO_LINGER 0) and nobody TIME_WAIT. */
    void (*free)(struct stream *stream, bool reset);
    const struct stream_transport *transport; /* NULL: that of the stream below */
};

struct stream {
    const struct stream_ops *ops;
    struct stream *below;  /* NULL: none */
    bool splices_in;       /* what its socket gives is what read() would give */
    bool splices_out;      /* the same for write() */
    unsigned char *unread; /* bytes given back by stream_unread(), NULL when none */
    size_t unread_at, unread_end;
};

/* A connected or connecting socket as a stream; takes the descriptor over. NULL when out of memory (the descriptor is
 * closed then). */
struct stream *stream_new_plain(int fd);

/* Nothing is added to the bytes and nothing taken away: closing says the end, and the peer has nothing to say of its
 * own. A stream that can be spliced need not be plain: the kernel may do the TLS. */
bool stream_is_plain(const struct stream *stream);

/* May its bytes go into a pipe, or come from one, by splice(2)? Not while something that was given back is waiting. */
bool stream_can_splice_in(const struct stream *stream);
bool stream_can_splice_out(const struct stream *stream);

/* ---- bytes ---- */

/* Reads what was given back first. */
enum stream_status stream_read(struct stream *stream, void *buf, size_t size, size_t *ret_count);
enum stream_status stream_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count);
enum stream_status stream_shutdown_write(struct stream *stream);
bool stream_pending(const struct stream *stream);
const char *stream_error(const struct stream *stream);
void stream_free(struct stream *stream, bool reset); /* takes NULL; nobody watches it any more */

/* Gives bytes back that were read too far (behind the proxy's answer); they are copied. 0 or -ENOMEM.
 * Only when nothing is given back already. */
int stream_unread(struct stream *stream, const void *buf, size_t size);

/* ---- waiting ---- */

/* From now on cb is told of events (STREAM_READABLE, STREAM_WRITABLE; 0: of nothing). A stream has one watcher: the
 * last call counts, and who takes it over from another pays nothing for it. Its loop is the same for all its life. */
void stream_watch(struct stream *stream, struct ev_loop *loop, int events, stream_ready_cb *cb, void *data);

/* What this round of the loop has found is dealt with already: the watcher is not told of it. */
void stream_forget_ready(struct stream *stream);

/* ---- what carries it ---- */

/* Once it is writable for the first time: 0, or the errno with which its connect() has failed. */
int stream_connect_error(struct stream *stream);

/* Is the peer still there? STREAM_OK: bytes wait, its end may be behind them; STREAM_AGAIN_READ: it is silent; or how
 * it has ended. Takes nothing. */
enum stream_status stream_look(struct stream *stream);

/* Throws away some of what has come, below any filter. STREAM_AGAIN_READ: not at its end; or how it has ended. */
enum stream_status stream_drop(struct stream *stream);

/* Bytes that were written, but that the peer has not acknowledged; SIZE_MAX when that is not known. */
size_t stream_undelivered(const struct stream *stream);

/* The peer has reset the connection, or its host is gone: nothing can be delivered any more, though the kernel still
 * counts it as undelivered. */
bool stream_is_dead(const struct stream *stream);

/* Asks a silent peer now and then whether it is still there, and gives up one that acknowledges nothing any more
 * (TCP_USER_TIMEOUT); for connections that turn out to live long, the first seconds have timers of their own. */
void stream_keep_alive(struct stream *stream);
/* For a connection of which one side has ended its direction: connection tracking forgets it within a minute of silence
 * (nf_conntrack_tcp_timeout_close_wait), and what comes later would reach nobody. Something goes to and fro more often.
 */
void stream_keep_tracked(struct stream *stream);

/* Readable only with so many bytes, or with a quarter of the receive buffer if that is less (whose half is window: a
 * sender that has filled it would stand still until somebody reads), or with an end. False: nothing has changed. */
bool stream_set_low_water(struct stream *stream, size_t bytes);

#endif
