/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the prober found out. */
#ifndef PENSTOCK_MODEL_REPORT_H
#define PENSTOCK_MODEL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "model/addr.h"
#include "model/cause.h"
#include "model/conf/conf.h"
#include "model/text.h"

/* What a server's test is made of, see stage.def. */
enum stage {
#define STAGE(name, key, text, plain) STAGE_##name,
#include "model/stage.def"
#undef STAGE
    STAGE_COUNT
};

enum test_outcome { TEST_NOT_DONE, TEST_RUNNING, TEST_PASSED, TEST_FAILED };

struct test_stage {
    uint8_t outcome;         /* enum test_outcome */
    uint8_t cause;           /* enum cause: why it failed */
    uint32_t us;             /* how long it took, once passed or failed */
    char detail[DETAIL_MAX]; /* why it failed, one sentence */
};

struct tls_summary {
    char version[16]; /* "TLSv1.3", empty: none */
    char cipher[48];
    int64_t server_expires; /* seconds since the epoch; 0: unknown */
    int64_t client_expires;
};

/* One server's tests. The stages run in their order; PLAIN_TCP only when allowed and every SECURE_TCP of all servers
 * failed, or when the secure channel is off. */
struct server_report {
    char server[NAME_SIZE];
    struct test_stage stages[STAGE_COUNT];
    struct addr secure_address; /* that passed, or was tried last; port 0: none yet */
    struct addr plain_address;
    struct tls_summary tls;
    bool no_route; /* every failure so far was of this host's own network: no route, no address, no resolver in reach */
};

struct test_report {
    uint64_t test_id; /* of the request; reports of older tests are dropped */
    bool complete;    /* nothing will be added any more */
    uint32_t n_servers;
    struct server_report servers[CONF_SERVERS_MAX];
};

const char *stage_key(enum stage stage);  /* "mutual_auth" */
const char *stage_text(enum stage stage); /* "mutual authentication" */
/* STAGE_COUNT for NULL and for a key that this version does not know. */
enum stage stage_of(const char *key);

const char *outcome_text(enum test_outcome outcome); /* "passed" */
/* TEST_NOT_DONE for NULL and for what is no outcome. */
enum test_outcome outcome_of(const char *text);

/* Passed or failed. */
bool stage_has_ended(const struct test_stage *stage);
/* The one that stage is about. */
const struct addr *stage_address(const struct server_report *server, enum stage stage);

#endif
