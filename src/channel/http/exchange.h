/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question to the proxy on an open stream: the request written, the answer read. No loop, no timer; the caller
 * polls. Embedded; zero is a valid start, exchange_fini() its end. Buffers exist only while there is something in them.
 */
#ifndef PENSTOCK_CHANNEL_HTTP_EXCHANGE_H
#define PENSTOCK_CHANNEL_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stream.h"
#include "channel/http/answer.h"
#include "channel/http/headers.h"
#include "model/conf/conf.h"

struct exchange {
    char *request; /* what is still to be written; NULL: nothing */
    size_t request_at, request_end;
    struct answer answer;
    bool heard;
    bool keeps; /* what has come of the answer stays: of one that refuses, all is given back to the stream */
    char *line; /* of the answer, what has come of its next line; NULL: nothing */
    size_t line_length, line_size;
    size_t line_at; /* what was dealt with before, and is kept */
};

enum exchange_result {
    EXCHANGE_AGAIN,
    EXCHANGE_DONE,
    EXCHANGE_BAD,       /* not HTTP */
    EXCHANGE_TOO_LARGE, /* header without an end */
    EXCHANGE_CLOSED,    /* in order, before the end of the answer */
    EXCHANGE_RESET,
    EXCHANGE_FAILED, /* stream_error() tells */
    EXCHANGE_NO_MEMORY,
};

/* CONNECT host:port, identity: headers_put()'s; or OPTIONS * of the proxy called host. 0, -ENOMEM, -EINVAL (not a host
 * name), -EMSGSIZE. */
int exchange_ask(struct exchange *exchange, const struct conf *conf, const struct identity *identity, const char *host,
                 uint16_t port);
int exchange_ping(struct exchange *exchange, const struct conf *conf, const char *host);

/* Reads, then writes: writing to a peer that has already closed can destroy the alert that says why. Before
 * exchange_ask() it only reads. After EXCHANGE_AGAIN call again when the stream is readable, or writable if
 * *ret_want_write. EXCHANGE_DONE: exchange->answer is filled, and what came behind the answer is given back to the
 * stream; with exchange->keeps the answer, too, unless it accepts (2xx). */
enum exchange_result exchange_step(struct exchange *exchange, struct stream *stream, bool *ret_want_write);

/* The first bytes of the answer are here. */
bool exchange_has_heard(const struct exchange *exchange);

void exchange_fini(struct exchange *exchange);

#endif
