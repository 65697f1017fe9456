/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a client's request: what goes on is one request, that a strict reader reads as the same one, with the
 * configured fields once, and nothing of the client's in their place. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "channel/http/request_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

/* A name that would be more than one field, had it to stand as it is. */
static const struct conf conf = {.n_headers = 1, .headers = {(char *)"X-User: %u"}};
static const struct identity identity = {.user = "me\r\nX-User: root\r\n\r\n", .uid = 1000};

static void check_fields(struct span lines)
{
    struct field field;
    unsigned hosts = 0, users = 0, lengths = 0;
    enum fields_result result;
    while ((result = fields_next(&lines, &field)) == FIELDS_FIELD) {
        hosts += span_is(field.name, "Host");
        users += headers_have(&conf, field.name.text, field.name.length);
        lengths += span_is(field.name, "Content-Length") || span_is(field.name, "Transfer-Encoding");
    }
    check(result == FIELDS_END && hosts == 1 && users == 1 && lengths <= 1);
}

static void check_onward(const struct request_head *head, const char *onward, size_t length)
{
    struct request_head again;
    struct head_fault fault;
    size_t checked = 0;
    check(head_find_end(onward, length, &checked) == length);
    check(request_head_read((struct span){onward, length}, &again, &fault));
    check(again.form == REQUEST_ABSOLUTE && again.minor == 1 && again.keep_alive && !again.upgrade);
    check(again.framing.kind == head->framing.kind && again.framing.length == head->framing.length);
    check(again.method.length == head->method.length &&
          memcmp(again.method.text, head->method.text, head->method.length) == 0);
    check_fields(again.fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t checked = 0, skip = head_empty_lines(text, size);
    text += skip;
    size_t length = head_find_end(text, size - skip, &checked);
    struct request_head head;
    struct head_fault fault;
    if (length == 0 || length > HEAD_MAX)
        return 0;
    if (!request_head_read((struct span){text, length}, &head, &fault)) {
        check(fault.status == 400 || fault.status == 431 || fault.status == 501);
        return 0;
    }
    const struct request_target target = {
        .conf = &conf, .identity = &identity, .default_host = "192.0.2.1", .port = 80};
    size_t room = request_head_room(&head, &target);
    char *onward = calloc(1, room);
    check(onward);
    int written = request_head_write(&head, &target, onward, room);
    check(written > 0);
    check_onward(&head, onward, (size_t)written);
    free(onward);
    return 0;
}
