/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/fields.h"

#include <string.h>
#include <strings.h>

#include "channel/http/head.h"
#include "model/ascii.h"

size_t head_find_end(const char *buf, size_t length, size_t *checked)
{
    size_t at = *checked;
    const char *end;
    while (at < length && (end = memchr(buf + at, '\n', length - at))) {
        at = (size_t)(end - buf) + 1;
        if (at < length && buf[at] == '\n')
            return at + 1;
        if (at + 1 < length && buf[at] == '\r' && buf[at + 1] == '\n')
            return at + 2;
        /* The byte that decides may be the next one: this line's end is looked at again. */
        if (at >= length || (buf[at] == '\r' && at + 1 >= length)) {
            *checked = at - 1;
            return 0;
        }
    }
    *checked = length;
    return 0;
}

size_t head_empty_lines(const char *buf, size_t length)
{
    size_t at = 0;
    while (at < length && (buf[at] == '\n' || (buf[at] == '\r' && at + 1 < length && buf[at + 1] == '\n')))
        at += buf[at] == '\n' ? 1 : 2;
    return at;
}

bool span_is_value(struct span span)
{
    for (size_t i = 0; i < span.length; i++) {
        unsigned char c = (unsigned char)span.text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

struct span span_trim(struct span span)
{
    while (span.length > 0 && ascii_is_blank(span.text[0])) {
        span.text++;
        span.length--;
    }
    while (span.length > 0 && ascii_is_blank(span.text[span.length - 1]))
        span.length--;
    return span;
}

enum fields_result fields_next(struct span *lines, struct field *ret_field)
{
    struct head_line line;
    if (!head_read_line(lines->text, lines->length, &line))
        return lines->length > 0 ? FIELDS_BAD : FIELDS_END;
    lines->text += line.next;
    lines->length -= line.next;
    struct field field = {.name = {line.text, 0}};
    while (field.name.length < line.length && ascii_is_token(line.text[field.name.length]))
        field.name.length++;
    size_t colon = field.name.length;
    if (colon == 0 || colon == line.length || line.text[colon] != ':')
        return FIELDS_BAD;
    field.value = span_trim((struct span){line.text + colon + 1, line.length - colon - 1});
    if (!span_is_value(field.value))
        return FIELDS_BAD;
    *ret_field = field;
    return FIELDS_FIELD;
}

bool span_is(struct span span, const char *text)
{
    return span.length == strlen(text) && strncasecmp(span.text, text, span.length) == 0;
}

bool span_is_exactly(struct span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.text, text, span.length) == 0;
}

bool field_is_hop_by_hop(struct span name)
{
    static const char *const names[] = {"Connection",          "Proxy-Connection",
                                        "Keep-Alive",          "TE",
                                        "Transfer-Encoding",   "Upgrade",
                                        "HTTP2-Settings",      "Proxy-Authenticate",
                                        "Proxy-Authorization", "Proxy-Authentication-Info"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_is(name, names[i]))
            return true;
    }
    return false;
}

bool hops_add(struct hops *hops, struct span value)
{
    if (hops->count == HOPS_MAX || value.length > HOPS_BYTES_MAX - hops->bytes)
        return false;
    hops->values[hops->count++] = value;
    hops->bytes += value.length;
    return true;
}

bool hops_have(const struct hops *hops, struct span name)
{
    for (size_t i = 0; i < hops->count; i++) {
        if (list_has_span(hops->values[i], name))
            return true;
    }
    return false;
}

bool list_next(struct span *list, struct span *ret_element)
{
    while (list->length > 0) {
        const char *comma = memchr(list->text, ',', list->length);
        size_t length = comma ? (size_t)(comma - list->text) : list->length;
        struct span element = span_trim((struct span){list->text, length});
        list->text += length + (comma ? 1 : 0);
        list->length -= length + (comma ? 1 : 0);
        if (element.length > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

bool list_has_span(struct span list, struct span word)
{
    struct span element;
    while (list_next(&list, &element)) {
        size_t length = 0;
        while (length < element.length && element.text[length] != ';' && !ascii_is_blank(element.text[length]))
            length++;
        if (length == word.length && strncasecmp(element.text, word.text, length) == 0)
            return true;
    }
    return false;
}

bool list_has(struct span list, const char *word)
{
    return list_has_span(list, (struct span){word, strlen(word)});
}
