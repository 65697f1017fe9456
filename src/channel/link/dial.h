/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One outbound session being opened: TCP, then TLS when the route is secure, then CONNECT. Used by relays and by the
 * prober. The callback runs once, never inside dial_start() or dial_free(). */
#ifndef PENSTOCK_CHANNEL_LINK_DIAL_H
#define PENSTOCK_CHANNEL_LINK_DIAL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/stream.h"
#include "channel/tls/tls.h"
#include "model/addr.h"
#include "model/conf/conf.h"
#include "model/reason.h"
#include "model/report.h"

struct dial;

struct dial_request {
    const struct conf *conf; /* headers and timeouts; must outlive the dial */
    struct tls_context *tls; /* NULL: plain. Must outlive the stream */
    struct addr address;     /* of the proxy, with port */
    const char *tls_name;    /* copied */
    bool resume;
    const char *host; /* CONNECT target, copied; NULL: stop after TCP (plain) or TLS */
    uint16_t port;
    uint16_t local_port; /* to connect from, also while an older connection of it is in TIME_WAIT; 0: any */

    /* For the prober; relays leave these zero. */
    struct stream *below; /* an open connection to use instead of a new one; taken over, also on failure */
    bool ping;            /* host is the proxy itself and is asked OPTIONS *; any HTTP status is up */
    uint32_t listen_ms;   /* after the handshake, read for this long before the request is written */
    uint32_t answer_ms;   /* limit for the answer; 0: 30 s */
};

struct dial_result {
    bool up;
    enum reason reason;      /* when not up */
    bool proxy_at_fault;     /* worth a retest: could not be reached or authenticated. Never for an HTTP status */
    bool no_route;           /* this host itself could not send: no route, no address, no free port or descriptor */
    int http_status;         /* of the answer; 0: none */
    char detail[DETAIL_MAX]; /* "connect to 192.0.2.7:8081: connection refused"; "proxy answered 403 Forbidden" */
};

typedef void dial_cb(struct dial *dial, const struct dial_result *result, void *data);

/* Non-blocking connect with TCP_NODELAY. Time limits: ConnectTimeout for TCP,
 * HandshakeTimeout for TLS, 30 s for the answer to CONNECT. NULL: out of memory. */
struct dial *dial_start(struct ev_loop *loop, const struct dial_request *request, dial_cb *cb, void *data);

/* After up: the stream, now the caller's. Bytes that came right behind the answer are read from it first. */
struct stream *dial_take_stream(struct dial *dial);

/* In the callback of a dial that is up; all zero when plain. */
void dial_tls_summary(const struct dial *dial, struct tls_summary *ret_summary);

/* Takes NULL; aborts what is under way (RST). May be called from the callback. */
void dial_free(struct dial *dial);

#endif
