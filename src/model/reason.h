/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one list of reasons why a session ended; see reason.def. */
#ifndef PENSTOCK_MODEL_REASON_H
#define PENSTOCK_MODEL_REASON_H

enum reason {
#define REASON(name, slug, text, count) REASON_##name,
#include "model/reason.def"
#undef REASON
    REASON_COUNT
};

/* Whose doing it was. */
enum reason_count {
    REASON_COUNT_ENDED,   /* as it should, or by what the configuration says */
    REASON_COUNT_CLIENT,  /* the program went away */
    REASON_COUNT_REFUSED, /* by a rule or a state that says so */
    REASON_COUNT_FAILED,  /* a fault of this host, the proxy or the network between */
};

/* Static strings; the reason must be valid. */
const char *reason_slug(enum reason reason);
const char *reason_text(enum reason reason);
enum reason_count reason_counts_as(enum reason reason);

#endif
