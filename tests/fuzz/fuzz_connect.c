/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a proxy's answer: what is decided about a prefix stays decided, the reason is printable, the length is
 * that of the head. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/connect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const struct connect_answer *answer, size_t size)
{
    if (answer->status < 101 || answer->status > 599 || answer->length > size || answer->length > CONNECT_ANSWER_MAX ||
        answer->length < strlen("HTTP/1.1 200\n\n") ||
        strnlen(answer->reason, CONNECT_REASON_MAX) == CONNECT_REASON_MAX)
        abort();
    for (const char *c = answer->reason; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            abort();
    }
}

/* A copy of its exact size, so that a sanitizer sees what is read too far. */
static enum connect_result read_prefix(const uint8_t *data, size_t size, struct connect_answer *ret_answer)
{
    char *copy = malloc(size > 0 ? size : 1);
    enum connect_result result;
    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    result = connect_read_answer(copy, size, ret_answer);
    free(copy);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct connect_answer whole = {0}, part;
    enum connect_result result = read_prefix(data, size, &whole);
    size_t step = size / 64 + 1;
    if (result == CONNECT_DONE)
        check_answer(&whole, size);
    for (size_t length = 0; length < size; length += step) {
        enum connect_result earlier = read_prefix(data, length, &part);
        if (earlier != CONNECT_MORE && earlier != result)
            abort();
        if (result == CONNECT_DONE && (earlier == CONNECT_DONE) != (length >= whole.length))
            abort();
        if (earlier == CONNECT_DONE && (part.length != whole.length || part.status != whole.status))
            abort();
    }
    return 0;
}
