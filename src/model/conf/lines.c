/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/lines.h"

#include <stdbool.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* '#' and ';' begin a comment at the line's start and after white space, not inside of a word. */
static void cut_comment(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((*c == '#' || *c == ';') && (c == text || is_space(c[-1]))) {
            *c = '\0';
            return;
        }
    }
}

static char *strip(char *text)
{
    size_t length;
    while (is_space(*text))
        text++;
    length = strlen(text);
    while (length > 0 && is_space(text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

enum conf_lines_status conf_lines_next(struct conf_lines *lines, char **ret_text)
{
    size_t length = 0;
    bool has_nul = false;
    char *text = lines->text;
    int c;
    while ((c = getc(lines->stream)) != EOF && c != '\n') {
        if (++lines->total > CONF_FILE_MAX)
            return CONF_LINES_FILE_LONG;
        has_nul = has_nul || c == '\0';
        if (length < sizeof lines->text)
            text[length++] = (char)c;
    }
    if (ferror(lines->stream))
        return CONF_LINES_FAILED;
    if (c == EOF && length == 0)
        return CONF_LINES_END;
    lines->total++;
    lines->number++;
    if (length == sizeof lines->text)
        return CONF_LINES_LONG;
    if (has_nul)
        return CONF_LINES_NUL;
    text[length] = '\0';
    if (lines->number == 1 && strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    cut_comment(text);
    *ret_text = strip(text);
    return CONF_LINES_OK;
}
