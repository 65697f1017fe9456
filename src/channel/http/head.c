/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/head.h"

#include <string.h>
#include <strings.h>

#include "model/ascii.h"

bool head_read_line(const char *buf, size_t length, struct head_line *ret_line)
{
    const char *end = length > 0 ? memchr(buf, '\n', length) : NULL;
    if (!end)
        return false;
    struct head_line line = {.text = buf, .length = (size_t)(end - buf), .next = (size_t)(end - buf) + 1};
    if (line.length > 0 && buf[line.length - 1] == '\r')
        line.length--;
    *ret_line = line;
    return true;
}

bool head_read_field(const struct head_line *line, const char *name, const char **ret_value, size_t *ret_length)
{
    size_t colon = strlen(name), length = line->length;
    if (length <= colon || line->text[colon] != ':' || strncasecmp(line->text, name, colon) != 0)
        return false;
    size_t begin = colon + 1;
    while (begin < length && ascii_is_blank(line->text[begin]))
        begin++;
    while (length > begin && ascii_is_blank(line->text[length - 1]))
        length--;
    *ret_value = line->text + begin;
    *ret_length = length - begin;
    return true;
}
