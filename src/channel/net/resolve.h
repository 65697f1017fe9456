/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host names to addresses without blocking (c-ares): hosts file and DNS, IPv4 and IPv6 together, bounded in time and
 * number. */
#ifndef PENSTOCK_CHANNEL_NET_RESOLVE_H
#define PENSTOCK_CHANNEL_NET_RESOLVE_H

#include <ev.h>
#include <stddef.h>

#include "model/addr.h"
#include "model/error.h"

#define RESOLVE_ADDRS_MAX 16

struct resolver;
struct resolve_query;

/* error: NULL, or what failed ("resolve gw.example: no such name"); its code is -ENETUNREACH when it is this host that
 * has no network. addrs interleave the families, IPv6 first (RFC 8305 section 4), port as asked. Never
 * called inside resolve_start(). The query is gone after it. */
typedef void resolve_cb(const struct error *error, const struct addr *addrs, size_t n, void *data);

/* Reads resolv.conf anew; make a new one for every test, so that a changed resolver is seen. NULL: error filled. */
struct resolver *resolver_new(struct ev_loop *loop, struct error *ret_error);
void resolver_free(struct resolver *resolver); /* takes NULL; pending queries vanish without their callback */

/* Other name servers than resolv.conf's, for tests: "127.0.0.1:5353,…". 0 or -EINVAL. */
int resolver_set_servers(struct resolver *resolver, const char *servers);

/* Numeric addresses answer without DNS. NULL: out of memory or too many queries. */
struct resolve_query *resolve_start(struct resolver *resolver, const char *name, uint16_t port, double timeout_s,
                                    resolve_cb *cb, void *data);

#endif
