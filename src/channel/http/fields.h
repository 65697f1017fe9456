/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of an HTTP/1 message as a whole, and its fields one by one, for who passes messages on: he must read what
 * the next one reads. Pure functions; nothing is copied, every span points into the head. */
#ifndef PENSTOCK_CHANNEL_HTTP_FIELDS_H
#define PENSTOCK_CHANNEL_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#define HEAD_MAX       65536 /* of a message, its start line and all its fields together */
#define FIELDS_MAX     1000
#define HOPS_MAX       8
#define HOPS_BYTES_MAX 1024

struct span {
    const char *text;
    size_t length;
};

struct field {
    struct span name, value; /* the value without the blanks around it */
};

enum fields_result {
    FIELDS_FIELD,
    FIELDS_END,
    FIELDS_BAD, /* no field line: a fold, a blank before the colon, no colon, a control character */
};

/* How many bytes the head at the beginning of buf has, its blank line included; 0: its end is not there yet. A lone LF
 * may end a line (RFC 9112 section 2.2). *checked, zero at first, says where the next call goes on to look. */
size_t head_find_end(const char *buf, size_t length, size_t *checked);

/* The empty lines before a request, which are to be passed over (RFC 9112 section 2.2). */
size_t head_empty_lines(const char *buf, size_t length);

/* Takes the next field line off *lines, strictly (RFC 9112 section 5). */
enum fields_result fields_next(struct span *lines, struct field *ret_field);

/* Is it for one hop only (RFC 9110 section 7.6.1), whatever Connection says? */
bool field_is_hop_by_hop(struct span name);

/* What the Connection fields of a head say. Zero is a valid start. */
struct hops {
    struct span values[HOPS_MAX];
    size_t count, bytes;
};

bool hops_add(struct hops *hops, struct span value); /* false: more than anybody needs */
bool hops_have(const struct hops *hops, struct span name);

/* No control characters but tabs (RFC 9110 section 5.5). */
bool span_is_value(struct span span);
struct span span_trim(struct span span);          /* without the blanks around it */
bool span_is(struct span span, const char *text); /* in any case */
bool span_is_exactly(struct span span, const char *text);

/* Takes the next element off a comma-separated list (RFC 9110 section 5.6.1), empty ones passed over. */
bool list_next(struct span *list, struct span *ret_element);
/* Is the word in the list, in any case? Of "word;parameters" and "word parameters" the word counts. */
bool list_has(struct span list, const char *word);
bool list_has_span(struct span list, struct span word);

#endif
