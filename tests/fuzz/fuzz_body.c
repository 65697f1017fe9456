/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a chunked body: it ends at the same byte and gives the same bytes however they come, and what goes on is
 * a body that decodes to the same. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum body_result result;
    size_t used, length;
    char *bytes;
};

static void check(bool good)
{
    if (!good)
        abort();
}

static struct outcome feed(const char *text, size_t size, size_t part, bool decode)
{
    struct outcome outcome = {.result = BODY_MORE, .bytes = malloc(size + 1)};
    struct body body;
    size_t end = 0;
    check(outcome.bytes);
    body_init(&body, (struct framing){FRAMING_CHUNKED, 0}, decode, NULL, NULL);
    while (outcome.result == BODY_MORE && outcome.used < size) {
        size_t used = 0;
        bool pass = false;
        if (outcome.used == end)
            end = size - end < part ? size : end + part;
        outcome.result = body_read(&body, text + outcome.used, end - outcome.used, &used, &pass);
        if (outcome.result == BODY_BAD)
            break;
        check(used > 0);
        if (pass) {
            memcpy(outcome.bytes + outcome.length, text + outcome.used, used);
            outcome.length += used;
        }
        outcome.used += used;
    }
    return outcome;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    check(a->result == b->result && (a->result == BODY_BAD || a->used == b->used));
    check(a->result == BODY_BAD || (a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct outcome whole = feed(text, size, size, false), decoded = feed(text, size, size, true);
    check(whole.result == decoded.result);
    for (size_t part = 1; part < size; part += size / 8 + 1) {
        struct outcome parts = feed(text, size, part, false);
        check_same(&whole, &parts);
        free(parts.bytes);
    }
    if (whole.result == BODY_DONE) {
        struct outcome again = feed(whole.bytes, whole.length, whole.length, true);
        check(again.result == BODY_DONE && again.used == whole.length && again.length == decoded.length &&
              memcmp(again.bytes, decoded.bytes, again.length) == 0);
        free(again.bytes);
    }
    free(whole.bytes);
    free(decoded.bytes);
    return 0;
}
