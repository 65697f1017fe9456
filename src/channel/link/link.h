/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection to the proxy: TCP, then TLS when the route is secure. What is asked over it is a tunnel's matter. The
 * callback runs once, never inside link_start(), link_start_over() or link_free(). */
#ifndef PENSTOCK_CHANNEL_LINK_LINK_H
#define PENSTOCK_CHANNEL_LINK_LINK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/stream.h"
#include "channel/tls/tls.h"
#include "model/addr.h"
#include "model/cause.h"
#include "model/conf/conf.h"
#include "model/reason.h"
#include "model/report.h"

struct link;

struct link_request {
    const struct conf *conf; /* time limits; must outlive the link's way up */
    struct tls_context *tls; /* NULL: plain. The link and its stream keep it alive */
    struct addr address;     /* of the proxy, with port */
    const char *tls_name;    /* copied */
    bool resume;             /* TLS may go on with the secrets of an earlier session */
    uint16_t local_port;     /* to connect from, also while an older connection of it is in TIME_WAIT; 0: any */
};

/* Why there is no link, or no tunnel over it. */
struct link_failure {
    enum reason reason;
    enum cause cause;        /* with detail */
    bool proxy_at_fault;     /* worth a retest: could not be reached or authenticated. Never for an HTTP status */
    bool no_route;           /* this host itself could not send: no route, no address, no free port or descriptor */
    char detail[DETAIL_MAX]; /* "connect to 192.0.2.7:8081: connection refused"; "proxy answered 403 Forbidden" */
};

/* failure NULL: up; else it is good until the callback returns, also behind link_free(). */
typedef void link_cb(struct link *link, const struct link_failure *failure, void *data);

/* Non-blocking connect with TCP_NODELAY. Time limits: ConnectTimeout for TCP, HandshakeTimeout for TLS. NULL: out of
 * memory. */
struct link *link_start(struct ev_loop *loop, const struct link_request *request, link_cb *cb, void *data);

/* The same over a stream that leads to address already, a connection or a tunnel; taken over, also on failure. */
struct link *link_start_over(struct ev_loop *loop, struct stream *below, const struct link_request *request,
                             link_cb *cb, void *data);

/* ---- once it is up ---- */

struct stream *link_stream(const struct link *link); /* stays the link's */
struct stream *link_take_stream(struct link *link);  /* now the caller's; the link is good for link_free() only */
bool link_is_secure(const struct link *link);
const struct addr *link_address(const struct link *link);
void link_tls_summary(const struct link *link, struct tls_summary *ret_summary); /* all zero when plain */

/* What TLS says of a stream that has failed later: in TLS 1.3 the server judges our certificate after the handshake.
 * TLS_FAILURE_NONE: nothing, *ret_failure is untouched. */
enum tls_failure link_tls_failure(const struct link *link, struct link_failure *ret_failure);

/* More than a small packet was sent, and the proxy's host has not acknowledged it: the path loses large ones, or all.
 */
bool link_is_clogged(const struct link *link);

/* Its stream has ended, by a reset or in order, before the proxy said anything: why? Over TLS that is how some servers
 * refuse a client certificate, without an alert. */
void link_ended_unheard(const struct link *link, bool reset, struct link_failure *ret_failure);

/* Takes NULL; aborts what is under way or was not taken (RST). May be called from the callback. */
void link_free(struct link *link);

#endif
