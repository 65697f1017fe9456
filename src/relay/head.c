/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/head.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_FIRST 1024

void head_fini(struct head *head)
{
    free(head->bytes);
    *head = (struct head){0};
}

static bool head_keep(struct head *head, const unsigned char *bytes, size_t length)
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

static enum head_result head_finish(struct head *head, struct stream *stream, const unsigned char *bytes, size_t length)
{
    int result = stream_unread(stream, bytes, length);
    head_fini(head);
    return result < 0 ? HEAD_NO_MEMORY : HEAD_DONE;
}

static enum head_result head_take(struct head *head, struct stream *stream, const unsigned char *bytes, size_t length,
                                  struct sniff *ret_sniff)
{
    /* Nearly always the first read brings it all. */
    if (head->length == 0 && sniff_bytes(bytes, length, ret_sniff) == SNIFF_DONE)
        return head_finish(head, stream, bytes, length);
    if (!head_keep(head, bytes, length))
        return HEAD_NO_MEMORY;
    if (sniff_bytes(head->bytes, head->length, ret_sniff) == SNIFF_MORE)
        return HEAD_MORE;
    return head_finish(head, stream, head->bytes, head->length);
}

enum head_result head_read(struct head *head, struct stream *stream, struct sniff *ret_sniff)
{
    unsigned char bytes[SNIFF_MAX];
    size_t n = 0;
    switch (stream_read(stream, bytes, sizeof bytes - head->length, &n)) {
    case STREAM_OK:
        return head_take(head, stream, bytes, n, ret_sniff);
    case STREAM_AGAIN_READ:
    case STREAM_AGAIN_WRITE:
        (void)sniff_bytes(head->bytes, head->length, ret_sniff);
        return HEAD_MORE;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
        return HEAD_ENDED;
    case STREAM_RESET:
    case STREAM_FAILED:
        break;
    }
    return HEAD_FAILED;
}

enum head_result head_give_up(struct head *head, struct stream *stream, struct sniff *ret_sniff)
{
    (void)sniff_bytes(head->bytes, head->length, ret_sniff);
    return head_finish(head, stream, head->bytes, head->length);
}
