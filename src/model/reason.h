/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of reasons why a session ended; see reason.def. */
#ifndef PENSTOCK_MODEL_REASON_H
#define PENSTOCK_MODEL_REASON_H

#include <stdbool.h>

enum reason {
#define REASON(name, slug, text, is_error) REASON_##name,
#include "model/reason.def"
#undef REASON
    REASON_COUNT
};

/* Static strings; the reason must be valid. */
const char *reason_slug(enum reason reason);
const char *reason_text(enum reason reason);
bool reason_is_error(enum reason reason);

#endif
