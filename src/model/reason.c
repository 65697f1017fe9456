/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/reason.h"

#include <assert.h>

static const struct {
    const char *slug;
    const char *text;
    bool is_error;
} reasons[REASON_COUNT] = {
#define REASON(name, slug, text, is_error) [REASON_##name] = {slug, text, is_error},
#include "model/reason.def"
#undef REASON
};

const char *reason_slug(enum reason reason)
{
    assert(reason < REASON_COUNT);
    return reasons[reason].slug;
}

const char *reason_text(enum reason reason)
{
    assert(reason < REASON_COUNT);
    return reasons[reason].text;
}

bool reason_is_error(enum reason reason)
{
    assert(reason < REASON_COUNT);
    return reasons[reason].is_error;
}
