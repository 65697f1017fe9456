/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a proxy's answer: what is decided about a prefix stays decided, however the bytes come; the reason is
 * printable, the length is that of the head. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct answer *answer, size_t size)
{
    if (answer->status < 101 || answer->status > 599 || answer->length > size || answer->length > ANSWER_MAX ||
        answer->length < strlen("HTTP/1.1 200\n\n") || strnlen(answer->reason, ANSWER_REASON_MAX) == ANSWER_REASON_MAX)
        abort();
    for (const char *c = answer->reason; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            abort();
    }
}

/* In parts of so many bytes, each a copy of its exact size, so that a sanitizer sees what is read too far. */
static enum answer_result read_in_parts(const uint8_t *data, size_t size, size_t part, struct answer *ret_answer)
{
    enum answer_result result = ANSWER_MORE;
    struct answer answer = {0};
    size_t begin = 0;
    for (size_t end = 0; result == ANSWER_MORE && end < size;) {
        end = size - end < part ? size : end + part;
        size_t used = 0;
        char *copy = malloc(end - begin);
        if (!copy)
            abort();
        memcpy(copy, data + begin, end - begin);
        result = answer_read(&answer, copy, end - begin, &used);
        free(copy);
        begin += used;
    }
    *ret_answer = answer;
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct answer whole = {0}, part;
    enum answer_result result = read_in_parts(data, size, size, &whole);
    if (result == ANSWER_DONE)
        check_answer(&whole, size);
    for (size_t length = 0; length < size; length += size / 64 + 1) {
        enum answer_result earlier = read_in_parts(data, length, length, &part);
        if (earlier != ANSWER_MORE && earlier != result)
            abort();
        if (result == ANSWER_DONE && (earlier == ANSWER_DONE) != (length >= whole.length))
            abort();
        /* How the bytes come changes nothing. */
        if (read_in_parts(data, size, length + 1, &part) != result)
            abort();
        if (result == ANSWER_DONE && (part.length != whole.length || part.status != whole.status))
            abort();
    }
    return 0;
}
