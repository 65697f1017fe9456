/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/http/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/request.h"

#define LINE_SIZE_FIRST 4096

static int keep_request(struct exchange *exchange, const char *buf, int length)
{
    assert(!exchange->request);
    if (length < 0)
        return length;
    exchange->request = malloc((size_t)length);
    if (!exchange->request)
        return -ENOMEM;
    memcpy(exchange->request, buf, (size_t)length);
    exchange->request_end = (size_t)length;
    return 0;
}

int exchange_ask(struct exchange *exchange, const struct conf *conf, const struct identity *identity, const char *host,
                 uint16_t port)
{
    char buf[REQUEST_MAX];
    return keep_request(exchange, buf, request_write_connect(conf, identity, host, port, buf, sizeof buf));
}

int exchange_ping(struct exchange *exchange, const struct conf *conf, const char *host)
{
    char buf[REQUEST_MAX];
    return keep_request(exchange, buf, request_write_ping(conf, host, buf, sizeof buf));
}

/* ---- the answer ---- */

/* Room for at least one byte more. A line that fills ANSWER_MAX was found too large before. */
static bool make_room(struct exchange *exchange)
{
    size_t size = exchange->line_size ? 2 * exchange->line_size : LINE_SIZE_FIRST;
    char *grown;
    if (exchange->line_length < exchange->line_size)
        return true;
    assert(size <= 2 * ANSWER_MAX);
    grown = realloc(exchange->line, size);
    if (!grown)
        return false;
    exchange->line = grown;
    exchange->line_size = size;
    return true;
}

static void drop_line(struct exchange *exchange)
{
    free(exchange->line);
    exchange->line = NULL;
    exchange->line_length = exchange->line_size = exchange->line_at = 0;
}

static enum exchange_result take_answer(struct exchange *exchange, struct stream *stream)
{
    size_t used, at = exchange->line_at;
    enum answer_result result = answer_read(&exchange->answer, exchange->line + at, exchange->line_length - at, &used);
    switch (result) {
    case ANSWER_MORE:
        if (exchange->keeps) {
            exchange->line_at += used;
            return EXCHANGE_AGAIN;
        }
        exchange->line_length -= used;
        memmove(exchange->line, exchange->line + used, exchange->line_length);
        return EXCHANGE_AGAIN;
    case ANSWER_DONE:
        used = exchange->keeps && exchange->answer.status >= 300 ? 0 : at + used;
        if (stream_unread(stream, exchange->line + used, exchange->line_length - used) < 0)
            return EXCHANGE_NO_MEMORY;
        return EXCHANGE_DONE;
    case ANSWER_BAD:
        return EXCHANGE_BAD;
    case ANSWER_TOO_LARGE:
        return EXCHANGE_TOO_LARGE;
    }
    return EXCHANGE_BAD;
}

/* One read. EXCHANGE_AGAIN: *ret_wait says whether for the stream. */
static enum exchange_result read_some(struct exchange *exchange, struct stream *stream, bool *want_write,
                                      bool *ret_wait)
{
    size_t count = 0;
    *ret_wait = false;
    if (!make_room(exchange))
        return EXCHANGE_NO_MEMORY;
    switch (stream_read(stream, exchange->line + exchange->line_length, exchange->line_size - exchange->line_length,
                        &count)) {
    case STREAM_OK:
        exchange->heard = true;
        exchange->line_length += count;
        return take_answer(exchange, stream);
    case STREAM_AGAIN_WRITE:
        *want_write = true;
        __attribute__((fallthrough));
    case STREAM_AGAIN_READ:
        *ret_wait = true;
        return EXCHANGE_AGAIN;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
        return EXCHANGE_CLOSED;
    case STREAM_RESET:
        return EXCHANGE_RESET;
    case STREAM_FAILED:
        break;
    }
    return EXCHANGE_FAILED;
}

/* Until again, or until the answer decides. */
static enum exchange_result read_answer(struct exchange *exchange, struct stream *stream, bool *want_write)
{
    enum exchange_result result;
    bool wait;
    do
        result = read_some(exchange, stream, want_write, &wait);
    while (result == EXCHANGE_AGAIN && !wait);
    if (exchange->line_length == 0) /* no buffer while the proxy thinks */
        drop_line(exchange);
    return result;
}

/* ---- the request ---- */

/* False: the stream takes no more. Then only reading tells why. */
static bool write_request(struct exchange *exchange, struct stream *stream, bool *want_write)
{
    while (exchange->request_at < exchange->request_end) {
        size_t count = 0;
        enum stream_status status = stream_write(stream, exchange->request + exchange->request_at,
                                                 exchange->request_end - exchange->request_at, &count);
        if (status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE) {
            *want_write |= status == STREAM_AGAIN_WRITE;
            return true;
        }
        if (status != STREAM_OK)
            break;
        exchange->request_at += count;
    }
    bool complete = exchange->request_at == exchange->request_end;
    free(exchange->request);
    exchange->request = NULL;
    return complete;
}

enum exchange_result exchange_step(struct exchange *exchange, struct stream *stream, bool *ret_want_write)
{
    enum exchange_result result = EXCHANGE_AGAIN;
    *ret_want_write = false;
    /* A plain proxy has nothing to say before it is asked. */
    if (!exchange->request || exchange->heard || !stream_is_plain(stream))
        result = read_answer(exchange, stream, ret_want_write);
    if (result != EXCHANGE_AGAIN || !exchange->request || write_request(exchange, stream, ret_want_write))
        return result;
    result = read_answer(exchange, stream, ret_want_write);
    /* A stream that took no byte and has none to give is at its end. */
    return result == EXCHANGE_AGAIN ? EXCHANGE_RESET : result;
}

bool exchange_has_heard(const struct exchange *exchange)
{
    return exchange->heard;
}

void exchange_fini(struct exchange *exchange)
{
    free(exchange->request);
    free(exchange->line);
    memset(exchange, 0, sizeof *exchange);
}
