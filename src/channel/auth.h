/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mutual authentication test on one open connection: TLS, then a question that the proxy must answer, because in
 * TLS 1.3 the client's handshake is over before the server has judged its certificate; then AuthURL inside the channel.
 */
#ifndef PENSTOCK_CHANNEL_AUTH_H
#define PENSTOCK_CHANNEL_AUTH_H

#include <ev.h>
#include <stdbool.h>

#include "channel/tls.h"
#include "common/addr.h"
#include "common/conf.h"
#include "common/ipc.h"
#include "common/stream.h"

struct auth;

struct auth_request {
    const struct conf *conf; /* as tls: must outlive the auth */
    struct tls_context *tls;
    struct stream *stream; /* connected to address; taken over, also on failure */
    struct addr address;
    const char *server; /* as configured; must outlive the auth */
};

struct auth_result {
    bool passed;
    struct tls_summary tls; /* also when only AuthURL failed */
    char detail[IPC_DETAIL_MAX];
};

/* Once, never inside auth_start() or auth_free(); auth_free() may be called from it. */
typedef void auth_cb(struct auth *auth, const struct auth_result *result, void *data);

/* HandshakeTimeout bounds each handshake and each answer. A connection that ends after the handshake without a word is
 * confirmed by a second one that listens before it speaks. NULL: out of memory. */
struct auth *auth_start(struct ev_loop *loop, const struct auth_request *request, auth_cb *cb, void *data);
void auth_free(struct auth *auth); /* takes NULL */

#endif
