/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of how the proxy is asked for a destination; see target.def. */
#ifndef PENSTOCK_MODEL_TARGET_H
#define PENSTOCK_MODEL_TARGET_H

#include <stdbool.h>

enum target {
    TARGET_NONE, /* the proxy was not asked */
#define TARGET(name, slug, text, by_name) TARGET_##name,
#include "model/target.def"
#undef TARGET
    TARGET_COUNT
};

/* Static strings, NULL for TARGET_NONE; the target must be valid. */
const char *target_slug(enum target target);
const char *target_text(enum target target);
bool target_is_name(enum target target);

#endif
