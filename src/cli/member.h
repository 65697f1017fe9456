/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of the daemon's answers. Odd answers are not errors here: a key that is missing or of another type is not
 * there. */
#ifndef PENSTOCK_CLI_MEMBER_H
#define PENSTOCK_CLI_MEMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL also for an empty one. */
static inline const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && *text ? text : NULL;
}

static inline bool number_at(const json_t *object, const char *key, double *ret_number)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return false;
    *ret_number = json_number_value(value);
    return true;
}

static inline uint64_t count_at(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

#endif
