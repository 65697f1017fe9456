/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connections to all addresses of one server, started one after the other and racing (RFC 8305 section 5): the
 * first that is up wins, the others are dropped. */
#ifndef PENSTOCK_CHANNEL_RACE_H
#define PENSTOCK_CHANNEL_RACE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/addr.h"
#include "common/conf.h"
#include "common/ipc.h"
#include "common/stream.h"

#define RACE_ADDRS_MAX 16

struct race;

struct race_result {
    bool up;
    bool no_route;               /* every failure was this host's own */
    uint32_t us;                 /* up: of the winner's connect alone; else of the whole race */
    struct addr address;         /* the winner, or the one that detail is about */
    char detail[IPC_DETAIL_MAX]; /* "connect to 192.0.2.7:8081: connection refused (and 2 more addresses failed)" */
};

/* Once, never inside race_start() or race_free(); race_free() may be called from it. */
typedef void race_cb(struct race *race, const struct race_result *result, void *data);

/* At least one address, at most RACE_ADDRS_MAX are tried; ConnectTimeout bounds each. A failure starts the next at
 * once, silence after 250 ms. conf must outlive the race. NULL: out of memory. */
struct race *race_start(struct ev_loop *loop, const struct conf *conf, const struct addr *addrs, size_t n, race_cb *cb,
                        void *data);

/* After up: the connection, now the caller's. */
struct stream *race_take_stream(struct race *race);

void race_free(struct race *race); /* takes NULL */

#endif
