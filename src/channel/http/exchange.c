/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/http/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int exchange_ask(struct exchange *exchange, const struct conf *conf, const char *host, uint16_t port)
{
    char buf[CONNECT_REQUEST_MAX];
    int length = port ? connect_write_request(conf, host, port, buf, sizeof buf)
                      : connect_write_ping(conf, host, buf, sizeof buf);
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

static enum exchange_result take_answer(const struct exchange *exchange, struct stream *stream,
                                        struct connect_answer *ret_answer)
{
    struct connect_answer answer;
    size_t rest;
    switch (connect_read_answer(exchange->answer, exchange->answer_length, &answer)) {
    case CONNECT_MORE:
        return exchange->answer_length < CONNECT_ANSWER_MAX ? EXCHANGE_AGAIN : EXCHANGE_TOO_LARGE;
    case CONNECT_DONE:
        break;
    case CONNECT_BAD:
        return EXCHANGE_BAD;
    case CONNECT_TOO_LARGE:
        return EXCHANGE_TOO_LARGE;
    }
    rest = exchange->answer_length - answer.length;
    if (rest > 0 && stream_unread(stream, exchange->answer + answer.length, rest) < 0)
        return EXCHANGE_NO_MEMORY;
    *ret_answer = answer;
    return EXCHANGE_DONE;
}

/* Until again, or until the answer decides. */
static enum exchange_result read_answer(struct exchange *exchange, struct stream *stream, bool *want_write,
                                        struct connect_answer *ret_answer)
{
    if (!exchange->answer)
        exchange->answer = malloc(CONNECT_ANSWER_MAX);
    if (!exchange->answer)
        return EXCHANGE_NO_MEMORY;
    for (;;) {
        size_t count = 0;
        enum stream_status status = stream_read(stream, exchange->answer + exchange->answer_length,
                                                CONNECT_ANSWER_MAX - exchange->answer_length, &count);
        enum exchange_result result;
        if (status == STREAM_EOF || status == STREAM_TRUNCATED)
            return EXCHANGE_CLOSED;
        if (status == STREAM_RESET)
            return EXCHANGE_RESET;
        if (status == STREAM_FAILED)
            return EXCHANGE_FAILED;
        if (status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE) {
            *want_write |= status == STREAM_AGAIN_WRITE;
            break;
        }
        exchange->answer_length += count;
        result = take_answer(exchange, stream, ret_answer);
        if (result != EXCHANGE_AGAIN)
            return result;
    }
    if (exchange->answer_length == 0) { /* no buffer while the proxy thinks */
        free(exchange->answer);
        exchange->answer = NULL;
    }
    return EXCHANGE_AGAIN;
}

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

enum exchange_result exchange_step(struct exchange *exchange, struct stream *stream, bool *ret_want_write,
                                   struct connect_answer *ret_answer)
{
    enum exchange_result result;
    *ret_want_write = false;
    /* A plain proxy has nothing to say before it is asked. */
    if (exchange->request && !exchange->answer && stream_is_plain(stream))
        result = EXCHANGE_AGAIN;
    else
        result = read_answer(exchange, stream, ret_want_write, ret_answer);
    if (result != EXCHANGE_AGAIN || !exchange->request || write_request(exchange, stream, ret_want_write))
        return result;
    result = read_answer(exchange, stream, ret_want_write, ret_answer);
    /* A stream that took no byte and has none to give is at its end. */
    return result == EXCHANGE_AGAIN ? EXCHANGE_RESET : result;
}

bool exchange_has_heard(const struct exchange *exchange)
{
    return exchange->answer_length > 0;
}

void exchange_fini(struct exchange *exchange)
{
    free(exchange->request);
    free(exchange->answer);
    memset(exchange, 0, sizeof *exchange);
}
