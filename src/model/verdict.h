/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From test results to a verdict: one pure function, the table of INTERFACE.md. */
#ifndef PENSTOCK_MODEL_VERDICT_H
#define PENSTOCK_MODEL_VERDICT_H

#include <stdbool.h>

#include "model/conf/conf.h"
#include "model/report.h"

enum verdict_kind {
    VERDICT_TESTING,
    VERDICT_SECURE,
    VERDICT_PLAIN,
    VERDICT_PORT_NOT_AVAILABLE,
    VERDICT_AUTH_FAILED,
    VERDICT_NO_PROXY,
    VERDICT_NO_PROXY_DIRECT, /* OnUnavailable=direct: traffic passes beside the proxy */
    VERDICT_NO_NETWORK,
};

enum verdict_mode { VERDICT_MODE_SECURE, VERDICT_MODE_PLAIN, VERDICT_MODE_BLOCKED, VERDICT_MODE_DIRECT };

struct verdict {
    enum verdict_kind kind;
    char server[NAME_SIZE]; /* in use, or the one that the detail is about */
    struct addr address;    /* in use; port 0: none */
    struct tls_summary tls;
    struct test_stage tcp; /* of that server, for the page: secure_tcp, or plain_tcp when plain is in use */
    struct test_stage mutual_auth;
    char detail[DETAIL_MAX];          /* empty when connected */
    char fallback_detail[DETAIL_MAX]; /* plain by fallback: why the secure port is not used; else empty */
};

/* True when what the report holds decides, whatever the stages still running will say; *ret_verdict untouched
 * otherwise. A complete report always decides. With several servers: the first in order that passed both tests, and a
 * better-placed one that is still being tested is waited for; else Mutual Auth Failed if any passed TCP; else the
 * fallback rows. */
bool verdict_decide(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict);

/* The exact texts of INTERFACE.md; reason is NULL when connected. */
const char *verdict_status(enum verdict_kind kind);            /* "Blocked - Mutual Auth Failed" */
const char *verdict_connection_status(enum verdict_kind kind); /* "Proxy Mistrust" */
const char *verdict_reason(enum verdict_kind kind);            /* "Mutual Auth Failed" */
enum verdict_mode verdict_mode(enum verdict_kind kind);
const char *verdict_mode_text(enum verdict_mode mode); /* "secure", "plain", "blocked", "direct" */

#endif
