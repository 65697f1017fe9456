/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/target.h"

#include <assert.h>

static const struct {
    const char *slug;
    const char *text;
    bool by_name;
} targets[TARGET_COUNT] = {
#define TARGET(name, slug, text, by_name) [TARGET_##name] = {slug, text, by_name},
#include "model/target.def"
#undef TARGET
};

const char *target_slug(enum target target)
{
    assert(target < TARGET_COUNT);
    return targets[target].slug;
}

const char *target_text(enum target target)
{
    assert(target < TARGET_COUNT);
    return targets[target].text;
}

bool target_is_name(enum target target)
{
    assert(target < TARGET_COUNT);
    return targets[target].by_name;
}
