/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/texts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more: at 0, 1, 2, 4, … lines the array doubles. */
static bool reserve(struct texts *texts)
{
    char **lines;
    if (texts->n == TEXTS_MAX)
        return false;
    if (texts->n & (texts->n - 1))
        return true;
    lines = realloc(texts->lines, (texts->n ? 2 * texts->n : 1) * sizeof *lines);
    if (!lines)
        return false;
    texts->lines = lines;
    return true;
}

void texts_add(struct texts *texts, const char *format, ...)
{
    char *line;
    va_list args;
    int length;
    va_start(args, format);
    length = vasprintf(&line, format, args);
    va_end(args);
    if (length >= 0 && reserve(texts)) {
        texts->lines[texts->n++] = line;
        return;
    }
    if (length >= 0)
        free(line);
    texts->more++;
}

bool texts_contain(const struct texts *texts, const char *line)
{
    for (size_t i = 0; i < texts->n; i++)
        if (strcmp(texts->lines[i], line) == 0)
            return true;
    return false;
}

void texts_clear(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->lines[i]);
    free(texts->lines);
    *texts = (struct texts){.n = 0};
}
