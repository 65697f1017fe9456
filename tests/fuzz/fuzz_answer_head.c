/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the head of an answer: what goes on to the client is one answer, of the same status and the same end. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>

#include "channel/http/answer_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_onward(const struct answer_head *head, bool to_head, const struct answer_client *client,
                         size_t length)
{
    struct answer_head again;
    size_t checked = 0, room = length + ANSWER_HEAD_ADDED + FIELDS_MAX;
    char *onward = calloc(1, room);
    check(onward);
    int written = answer_head_write(head, client, onward, room);
    check(written > 0 && head_find_end(onward, (size_t)written, &checked) == (size_t)written);
    check(answer_head_read((struct span){onward, (size_t)written}, to_head, &again));
    check(again.status == head->status);
    if (!answer_is_decoded(head, client))
        check(again.framing.kind == head->framing.kind && again.framing.length == head->framing.length);
    check(answer_is_interim(head) || again.framing.kind == FRAMING_CLOSE || again.keep_alive == client->keep_alive);
    free(onward);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t checked = 0;
    size_t length = head_find_end((const char *)data, size, &checked);
    if (length == 0 || length > HEAD_MAX)
        return 0;
    for (unsigned i = 0; i < 8; i++) {
        struct answer_client client = {.minor = i & 1, .keep_alive = i & 2};
        struct answer_head head;
        if (answer_head_read((struct span){(const char *)data, length}, i & 4, &head))
            check_onward(&head, i & 4, &client, length);
    }
    return 0;
}
