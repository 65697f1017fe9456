/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mutual authentication test on one open connection: TLS, then a question that the proxy must answer, because in
 * TLS 1.3 the client's handshake is over before the server has judged its certificate; then AuthURL inside the channel.
 * The question is CONNECT to AuthURL's host, or to Target; without both OPTIONS, on which nothing depends but an
 * answer.
 */
#ifndef PENSTOCK_CHANNEL_PROBER_MUTUAL_AUTH_H
#define PENSTOCK_CHANNEL_PROBER_MUTUAL_AUTH_H

#include <ev.h>
#include <stdbool.h>

#include "base/stream.h"
#include "channel/tls/tls.h"
#include "model/addr.h"
#include "model/conf/conf.h"
#include "model/report.h"

struct mutual_auth;

struct mutual_auth_request {
    const struct conf *conf; /* as tls: must outlive the auth */
    struct tls_context *tls;
    struct stream *stream; /* connected to address; taken over, also on failure */
    struct addr address;
    const char *server; /* as configured; must outlive the auth */
};

struct mutual_auth_result {
    bool passed;
    struct tls_summary tls; /* also when only AuthURL failed */
    enum cause cause;       /* when not passed, with detail */
    char detail[DETAIL_MAX];
};

/* Once, never inside mutual_auth_start() or mutual_auth_free(); mutual_auth_free() may be called from it. */
typedef void mutual_auth_cb(struct mutual_auth *auth, const struct mutual_auth_result *result, void *data);

/* HandshakeTimeout bounds each handshake and each answer. A connection that ends after the handshake without a word is
 * confirmed by a second one that listens before it speaks. NULL: out of memory. */
struct mutual_auth *mutual_auth_start(struct ev_loop *loop, const struct mutual_auth_request *request,
                                      mutual_auth_cb *cb, void *data);
void mutual_auth_free(struct mutual_auth *auth); /* takes NULL */

#endif
