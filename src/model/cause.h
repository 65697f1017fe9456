/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of causes, see cause.def: an enum from where something is known to have failed to where it is shown.
 * The sentence beside it is for people and never parsed. */
#ifndef PENSTOCK_MODEL_CAUSE_H
#define PENSTOCK_MODEL_CAUSE_H

#include <stdbool.h>

enum cause {
    CAUSE_NONE, /* nothing failed, or it is not known why */
#define CAUSE(name, slug, what, cure) CAUSE_##name,
#include "model/cause.def"
#undef CAUSE
    CAUSE_COUNT
};

/* Static strings; the cause must be valid. NULL for CAUSE_NONE. */
const char *cause_slug(enum cause cause);
const char *cause_what(enum cause cause); /* sentences */
const char *cause_cure(enum cause cause);

/* Files and means of this host: nobody else can be at fault. */
bool cause_is_of_this_host(enum cause cause);

/* CAUSE_NONE for NULL and for a slug that this version does not know. */
enum cause cause_of(const char *slug);

#endif
