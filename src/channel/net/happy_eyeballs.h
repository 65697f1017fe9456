/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP connections to all addresses of one server, started one after the other and racing (RFC 8305 section 5): the
 * first that is up wins, the others are dropped. */
#ifndef PENSTOCK_CHANNEL_NET_HAPPY_EYEBALLS_H
#define PENSTOCK_CHANNEL_NET_HAPPY_EYEBALLS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/stream.h"
#include "model/addr.h"
#include "model/cause.h"
#include "model/conf/conf.h"
#include "model/text.h"

#define HAPPY_EYEBALLS_ADDRS_MAX 16

struct happy_eyeballs;

struct happy_eyeballs_result {
    bool up;
    bool no_route;           /* every failure was this host's own */
    uint32_t us;             /* up: of the winner's connect alone; else of the whole race */
    struct addr address;     /* the winner, or the one that detail is about */
    enum cause cause;        /* when not up, with detail */
    char detail[DETAIL_MAX]; /* "connect to 192.0.2.7:8081: connection refused (and 2 more addresses failed)" */
};

/* Once, never inside happy_eyeballs_start() or happy_eyeballs_free(); happy_eyeballs_free() may be called from it. */
typedef void happy_eyeballs_cb(struct happy_eyeballs *race, const struct happy_eyeballs_result *result, void *data);

/* At least one address, at most HAPPY_EYEBALLS_ADDRS_MAX are tried; ConnectTimeout bounds each. A failure starts the
 * next at once, silence after 250 ms. conf must outlive the race. NULL: out of memory. */
struct happy_eyeballs *happy_eyeballs_start(struct ev_loop *loop, const struct conf *conf, const struct addr *addrs,
                                            size_t n, happy_eyeballs_cb *cb, void *data);

/* After up: the connection, now the caller's. */
struct stream *happy_eyeballs_take_stream(struct happy_eyeballs *race);

void happy_eyeballs_free(struct happy_eyeballs *race); /* takes NULL */

#endif
