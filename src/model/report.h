/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the prober found out. */
#ifndef PENSTOCK_MODEL_REPORT_H
#define PENSTOCK_MODEL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "model/addr.h"
#include "model/conf/conf.h"
#include "model/text.h"

enum test_outcome { TEST_NOT_DONE, TEST_RUNNING, TEST_PASSED, TEST_FAILED };

struct test_stage {
    uint8_t outcome;         /* enum test_outcome */
    uint32_t us;             /* how long it took, once passed or failed */
    char detail[DETAIL_MAX]; /* why it failed, one sentence */
};

struct tls_summary {
    char version[16]; /* "TLSv1.3", empty: none */
    char cipher[48];
    int64_t server_expires; /* seconds since the epoch; 0: unknown */
    int64_t client_expires;
};

/* One server's tests. The stages run in this order; plain_tcp only when allowed and every secure_tcp of all servers
 * failed, or when the secure channel is off. */
struct server_report {
    char server[NAME_SIZE];
    struct test_stage secure_tcp;
    struct test_stage mutual_auth;
    struct test_stage plain_tcp;
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

#endif
