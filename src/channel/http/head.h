/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of an HTTP/1 message, line by line: for the proxy's answers and for a client's request. Pure functions. */
#ifndef PENSTOCK_CHANNEL_HTTP_HEAD_H
#define PENSTOCK_CHANNEL_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

struct head_line {
    const char *text;
    size_t length; /* without its end */
    size_t next;   /* bytes up to the next line */
};

/* The first line of buf; false: its end is not there yet. RFC 9112 section 2.2: a lone LF may end a line too. */
bool head_read_line(const char *buf, size_t length, struct head_line *ret_line);

/* Is the line the field of that name, in any case? Then its value, without the blanks around it (RFC 9112 section 5.1).
 * A blank before the colon makes it another field's. */
bool head_read_field(const struct head_line *line, const char *name, const char **ret_value, size_t *ret_length);

#endif
