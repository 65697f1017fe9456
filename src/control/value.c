/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/value.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIME_TEXT_MAX 32

json_t *value_of_text(const char *text)
{
    json_t *value = json_string(text);
    char *copy;
    if (value)
        return value;
    copy = strdup(text);
    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    value = json_string(copy);
    free(copy);
    return value;
}

json_t *value_of_text_or_null(const char *text)
{
    return text && *text ? value_of_text(text) : json_null();
}

json_t *value_of_time(int64_t when)
{
    char text[TIME_TEXT_MAX];
    time_t t = (time_t)when;
    struct tm tm;
    if (when == 0 || !gmtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return json_null();
    return json_string(text);
}
