/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/reason.h"

#include <assert.h>

static const struct {
    const char *slug;
    const char *text;
    enum reason_count count;
} reasons[REASON_COUNT] = {
#define REASON(name, slug, text, count) [REASON_##name] = {slug, text, REASON_COUNT_##count},
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

enum reason_count reason_counts_as(enum reason reason)
{
    assert(reason < REASON_COUNT);
    return reasons[reason].count;
}
