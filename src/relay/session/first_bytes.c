/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/first_bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 1024

void first_bytes_fini(struct first_bytes *head)
{
    free(head->bytes);
    *head = (struct first_bytes){0};
}

static bool first_bytes_keep(struct first_bytes *head, const unsigned char *bytes, size_t length)
{
    size_t size = head->size ? head->size : SIZE_FIRST;
    while (size < head->length + length)
        size *= 2;
    if (size != head->size) {
        unsigned char *grown = realloc(head->bytes, size);
        if (!grown)
            return false;
        head->bytes = grown;
        head->size = size;
    }
    memcpy(head->bytes + head->length, bytes, length);
    head->length += length;
    return true;
}

static enum first_bytes_result first_bytes_finish(struct first_bytes *head, struct stream *stream,
                                                  const unsigned char *bytes, size_t length)
{
    int result = stream_unread(stream, bytes, length);
    first_bytes_fini(head);
    return result < 0 ? FIRST_BYTES_NO_MEMORY : FIRST_BYTES_DONE;
}

static enum first_bytes_result first_bytes_take(struct first_bytes *head, struct stream *stream,
                                                const unsigned char *bytes, size_t length, struct sniff *ret_sniff)
{
    /* Nearly always the first read brings it all. */
    if (head->length == 0 && sniff_bytes(bytes, length, ret_sniff) == SNIFF_DONE)
        return first_bytes_finish(head, stream, bytes, length);
    if (!first_bytes_keep(head, bytes, length))
        return FIRST_BYTES_NO_MEMORY;
    if (sniff_bytes(head->bytes, head->length, ret_sniff) == SNIFF_MORE)
        return FIRST_BYTES_MORE;
    return first_bytes_finish(head, stream, head->bytes, head->length);
}

enum first_bytes_result first_bytes_read(struct first_bytes *head, struct stream *stream, struct sniff *ret_sniff)
{
    unsigned char bytes[SNIFF_MAX];
    assert(head->length < sizeof bytes); /* more bytes would have decided */
    size_t n = 0;
    switch (stream_read(stream, bytes, sizeof bytes - head->length, &n)) {
    case STREAM_OK:
        return first_bytes_take(head, stream, bytes, n, ret_sniff);
    case STREAM_AGAIN_READ:
    case STREAM_AGAIN_WRITE:
        (void)sniff_bytes(head->bytes, head->length, ret_sniff);
        return FIRST_BYTES_MORE;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
        return FIRST_BYTES_ENDED;
    case STREAM_RESET:
    case STREAM_FAILED:
        break;
    }
    return FIRST_BYTES_FAILED;
}

enum first_bytes_result first_bytes_give_up(struct first_bytes *head, struct stream *stream, struct sniff *ret_sniff)
{
    (void)sniff_bytes(head->bytes, head->length, ret_sniff);
    return first_bytes_finish(head, stream, head->bytes, head->length);
}
