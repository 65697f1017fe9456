/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/cause.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *slug, *what, *cure;
} causes[CAUSE_COUNT] = {
#define CAUSE(name, slug, what, cure) [CAUSE_##name] = {slug, what, cure},
#include "model/cause.def"
#undef CAUSE
};

const char *cause_slug(enum cause cause)
{
    assert(cause < CAUSE_COUNT);
    return causes[cause].slug;
}

const char *cause_what(enum cause cause)
{
    assert(cause < CAUSE_COUNT);
    return causes[cause].what;
}

const char *cause_cure(enum cause cause)
{
    assert(cause < CAUSE_COUNT);
    return causes[cause].cure;
}

bool cause_is_of_this_host(enum cause cause)
{
    static const enum cause own[] = {CAUSE_NO_RESOURCES, CAUSE_FILE_MISSING,  CAUSE_FILE_PERMISSION,
                                     CAUSE_FILE_INVALID, CAUSE_KEY_ENCRYPTED, CAUSE_KEY_MISMATCH};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (own[i] == cause)
            return true;
    return false;
}

enum cause cause_of(const char *slug)
{
    for (int cause = CAUSE_NONE + 1; slug && cause < CAUSE_COUNT; cause++)
        if (strcmp(causes[cause].slug, slug) == 0)
            return (enum cause)cause;
    return CAUSE_NONE;
}
