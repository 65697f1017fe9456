/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From test results to a verdict: one pure function; and the words for it, see
 * verdict.def. */
#ifndef PENSTOCK_MODEL_VERDICT_H
#define PENSTOCK_MODEL_VERDICT_H

#include <stdbool.h>

#include "model/conf/conf.h"
#include "model/report.h"
#include "model/route.h"

enum verdict_kind {
#define VERDICT(name, slug, status, connection_status, reason, mode, exit, cure) VERDICT_##name,
#include "model/verdict.def"
#undef VERDICT
    VERDICT_COUNT
};

enum verdict_mode {
    VERDICT_MODE_SECURE,
    VERDICT_MODE_PLAIN,
    VERDICT_MODE_BLOCKED,
    VERDICT_MODE_DIRECT,
    VERDICT_MODE_OPEN, /* there are no rules of ours */
};

struct verdict {
    enum verdict_kind kind;
    char server[NAME_SIZE]; /* in use, or the one that the detail is about */
    struct addr address;    /* in use; port 0: none */
    struct tls_summary tls;
    struct test_stage stages[STAGE_COUNT]; /* of that server */
    enum cause cause;                      /* with detail: why not connected */
    enum cause fallback_cause;             /* with fallback_detail */
    char detail[DETAIL_MAX];               /* empty when connected */
    char fallback_detail[DETAIL_MAX];      /* plain by fallback: why the secure port is not used; else empty */
};

/* True when what the report holds decides, whatever the stages still running will say; *ret_verdict untouched
 * otherwise. A complete report always decides: where a test that matters was not done, that is Testing. With several
 * servers: the first in order that passed both tests, and a better-placed one that is still being tested is waited for;
 * else Mutual Auth Failed if any passed TCP, or Local error where nothing but this host's own files or means failed;
 * else the fallback rows. */
bool verdict_decide(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict);

/* Static strings. Reason and cure are NULL when connected; the cure is for when no cause is known. */
const char *verdict_slug(enum verdict_kind kind);              /* "auth-failed" */
const char *verdict_status(enum verdict_kind kind);            /* "Blocked - Mutual Auth Failed" */
const char *verdict_connection_status(enum verdict_kind kind); /* "Proxy Mistrust" */
const char *verdict_reason(enum verdict_kind kind);            /* "Mutual Auth Failed" */
const char *verdict_cure(enum verdict_kind kind);
int verdict_exit(enum verdict_kind kind); /* of `penstock status` */
enum verdict_mode verdict_mode(enum verdict_kind kind);
const char *verdict_mode_text(enum verdict_mode mode); /* "secure", "plain", "blocked", "direct", "open" */

/* VERDICT_COUNT, or false, for NULL and for what this version does not know. */
enum verdict_kind verdict_of(const char *slug);
bool verdict_mode_of(const char *text, enum verdict_mode *ret_mode);

/* Which way the relays are given; ROUTE_CLOSED: nothing is redirected to them. */
enum route_mode verdict_mode_route(enum verdict_mode mode);
bool verdict_redirects(enum verdict_kind kind);

#endif
