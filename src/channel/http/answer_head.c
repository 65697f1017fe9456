/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/answer_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "channel/http/head.h"
#include "channel/http/out.h"
#include "model/ascii.h"

/* ---- reading ---- */

static const char pattern[] = "HTTP/1.# ### ";

bool answer_may_begin(const char *buf, size_t length)
{
    for (size_t i = 0; i < length && i < sizeof pattern - 2; i++) {
        if (pattern[i] == '#' ? !ascii_is_digit(buf[i]) : buf[i] != pattern[i])
            return false;
    }
    return true;
}

/* RFC 9112 section 4; the blank before an empty reason may be missing, many servers do so. */
static bool read_status_line(struct answer_head *head, struct span line)
{
    size_t known = sizeof pattern - 2;
    if (line.length < known || !answer_may_begin(line.text, known) || (line.length > known && line.text[known] != ' '))
        return false;
    head->minor = (uint8_t)(line.text[7] - '0');
    head->status = (line.text[9] - '0') * 100 + (line.text[10] - '0') * 10 + (line.text[11] - '0');
    if (line.length > known + 1)
        head->reason = (struct span){line.text + known + 1, line.length - known - 1};
    return span_is_value(head->reason) && head->status >= 100 && head->status <= 599;
}

/* What the fields say together. */
struct reading {
    bool has_length, coded, chunked_last, close, persist;
    unsigned fields;
    uint64_t length;
};

/* RFC 9112 section 6.3: the same length repeated is one. */
static bool read_length(struct reading *reading, struct span value)
{
    struct span element;
    bool any = false;
    while (list_next(&value, &element)) {
        uint64_t length = 0;
        for (size_t i = 0; i < element.length; i++) {
            if (!ascii_is_digit(element.text[i]) || length > (UINT64_MAX >> 1) / 10 - 1)
                return false;
            length = length * 10 + (uint64_t)(element.text[i] - '0');
        }
        if (reading->has_length && length != reading->length)
            return false;
        reading->has_length = any = true;
        reading->length = length;
    }
    return any;
}

static void read_codings(struct reading *reading, struct span value)
{
    struct span element;
    while (list_next(&value, &element)) {
        reading->coded = true;
        reading->chunked_last = span_is(element, "chunked");
    }
}

static bool read_field(struct answer_head *head, struct reading *reading, const struct field *field)
{
    if (++reading->fields > FIELDS_MAX)
        return false;
    if (span_is(field->name, "Content-Length"))
        return read_length(reading, field->value);
    if (span_is(field->name, "Transfer-Encoding"))
        read_codings(reading, field->value);
    if (span_is(field->name, "Connection") && !hops_add(&head->hops, field->value))
        return false;
    if (span_is(field->name, "Connection") || span_is(field->name, "Proxy-Connection")) {
        reading->close |= list_has(field->value, "close");
        reading->persist |= list_has(field->value, "keep-alive");
    }
    if (span_is(field->name, "WWW-Authenticate"))
        head->binds |= list_has(field->value, "NTLM") || list_has(field->value, "Negotiate");
    return true;
}

static bool is_folded(struct span lines)
{
    return lines.length > 0 && ascii_is_blank(lines.text[0]);
}

static bool says_length(const struct field *field)
{
    return span_is(field->name, "Content-Length") || span_is(field->name, "Transfer-Encoding");
}

/* Lines that are no fields say nothing, and are not passed on; but nobody may read a length out of them. */
static bool read_fields(struct answer_head *head, struct reading *reading)
{
    struct span lines = head->fields;
    struct field field;
    enum fields_result result;
    while ((result = fields_next(&lines, &field)) != FIELDS_END) {
        if (result == FIELDS_FIELD && (!read_field(head, reading, &field) || (says_length(&field) && is_folded(lines))))
            return false;
    }
    return true;
}

bool answer_is_interim(const struct answer_head *head)
{
    return head->status < 200 && head->status != 101;
}

static void judge(struct answer_head *head, const struct reading *reading, bool to_head)
{
    bool none = to_head || head->status < 200 || head->status == 204 || head->status == 304;
    head->has_length = reading->has_length && !reading->coded && head->status >= 200 && head->status != 204;
    head->length = reading->length;
    head->keep_alive = !reading->close && (head->minor > 0 || reading->persist);
    if (none)
        head->framing = (struct framing){FRAMING_NONE, 0};
    else if (reading->coded)
        head->framing = (struct framing){reading->chunked_last ? FRAMING_CHUNKED : FRAMING_CLOSE, 0};
    else if (reading->has_length)
        head->framing = (struct framing){FRAMING_LENGTH, reading->length};
    else
        head->framing = (struct framing){FRAMING_CLOSE, 0};
    /* Both may be an attempt to split answers: nothing that comes behind it is believed. */
    if (head->framing.kind == FRAMING_CLOSE || (reading->coded && (reading->has_length || head->minor == 0)))
        head->keep_alive = false;
}

bool answer_head_read(struct span text, bool to_head, struct answer_head *ret_head)
{
    struct answer_head head = {0};
    struct reading reading = {0};
    struct head_line line;
    if (!head_read_line(text.text, text.length, &line) ||
        !read_status_line(&head, (struct span){line.text, line.length}))
        return false;
    head.fields = (struct span){text.text + line.next, text.length - line.next};
    head.fields.length -= head.fields.length > 1 && head.fields.text[head.fields.length - 2] == '\r' ? 2 : 1;
    if (!read_fields(&head, &reading))
        return false;
    judge(&head, &reading, to_head);
    *ret_head = head;
    return true;
}

/* ---- writing ---- */

bool answer_is_decoded(const struct answer_head *head, const struct answer_client *client)
{
    return head->framing.kind == FRAMING_CHUNKED && client->minor == 0;
}

/* Codings other than chunked stay said: they are still there. */
static void put_codings(struct out *out, const struct answer_head *head, bool decoded)
{
    struct span lines = head->fields, coding;
    struct field field;
    const char *before = "Transfer-Encoding: ";
    enum fields_result result;
    while ((result = fields_next(&lines, &field)) != FIELDS_END) {
        while (result == FIELDS_FIELD && span_is(field.name, "Transfer-Encoding") && list_next(&field.value, &coding)) {
            if (decoded && span_is(coding, "chunked"))
                continue;
            put(out, before);
            put_bytes(out, coding.text, coding.length);
            before = ", ";
        }
    }
    put(out, before[0] == ',' ? "\r\n" : "");
}

/* The rest of a field in the next lines: each fold becomes a blank (RFC 9112 section 5.2). */
static void put_folds(struct out *out, struct span *lines)
{
    struct head_line line;
    while (is_folded(*lines) && head_read_line(lines->text, lines->length, &line)) {
        struct span text = span_trim((struct span){line.text, line.length});
        if (span_is_value(text)) {
            put(out, " ");
            put_bytes(out, text.text, text.length);
        }
        lines->text += line.next;
        lines->length -= line.next;
    }
}

static void put_fields(struct out *out, const struct answer_head *head)
{
    struct span lines = head->fields;
    struct field field;
    enum fields_result result;
    while ((result = fields_next(&lines, &field)) != FIELDS_END) {
        if (result == FIELDS_BAD || field_is_hop_by_hop(field.name) || span_is(field.name, "Content-Length") ||
            hops_have(&head->hops, field.name))
            continue;
        put_bytes(out, field.name.text, field.name.length);
        put(out, ": ");
        put_bytes(out, field.value.text, field.value.length);
        put_folds(out, &lines);
        put(out, "\r\n");
    }
}

int answer_head_write(const struct answer_head *head, const struct answer_client *client, char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    char text[48];
    snprintf(text, sizeof text, "HTTP/1.1 %d ", head->status);
    put(&out, text);
    put_bytes(&out, head->reason.text, head->reason.length);
    put(&out, "\r\n");
    put_fields(&out, head);
    snprintf(text, sizeof text, "Content-Length: %" PRIu64 "\r\n", head->length);
    if (head->has_length)
        put(&out, text);
    if (head->framing.kind == FRAMING_CHUNKED || head->framing.kind == FRAMING_CLOSE)
        put_codings(&out, head, answer_is_decoded(head, client));
    if (!answer_is_interim(head)) {
        put(&out, client->keep_alive ? "" : "Connection: close\r\n");
        put(&out, client->keep_alive && client->minor == 0 ? "Connection: keep-alive\r\n" : "");
    }
    put(&out, "\r\n");
    return out.used <= size ? (int)out.used : -EMSGSIZE;
}
