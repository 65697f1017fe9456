/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question over a link, and its answer: CONNECT, after which the link's stream leads to the host, or a ping of the
 * proxy itself. The callback runs once, never inside tunnel_start() or tunnel_free(). */
#ifndef PENSTOCK_CHANNEL_LINK_TUNNEL_H
#define PENSTOCK_CHANNEL_LINK_TUNNEL_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/stream.h"
#include "channel/http/headers.h"
#include "channel/link/link.h"
#include "model/conf/conf.h"

struct tunnel;

struct tunnel_request {
    const struct conf *conf;         /* headers; must outlive the tunnel */
    const struct identity *identity; /* of the client, who must, too; NULL: there is none */
    const char *host;                /* to be connected with, copied */
    uint16_t port;
    bool ping;          /* host is the proxy itself and is asked OPTIONS *; any HTTP status is good */
    bool keep_refusal;  /* for tunnel_take_refusal() */
    uint32_t listen_ms; /* hear for so long what the proxy says unasked, before the request is written */
    uint32_t answer_ms; /* limit for the answer; 0: 30 s */
};

/* failure NULL: open; else it is good until the callback returns, also behind tunnel_free(). */
typedef void tunnel_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data);

/* The link must be up, and is taken over, also on failure. NULL: out of memory. */
struct tunnel *tunnel_start(struct ev_loop *loop, struct link *link, const struct tunnel_request *request,
                            tunnel_cb *cb, void *data);

/* Of the answer, in the callback; 0: there was none. */
int tunnel_http_status(const struct tunnel *tunnel);

/* Once open: the stream, now the caller's. Bytes that came right behind the answer are read from it first. */
struct stream *tunnel_take_stream(struct tunnel *tunnel);

/* In the callback of a failure, if keep_refusal was asked for: the link with the proxy's answer to be read from it, now
 * the caller's. NULL: there was no answer. */
struct link *tunnel_take_refusal(struct tunnel *tunnel);

/* Takes NULL; aborts what is under way or was not taken (RST). May be called from the callback. */
void tunnel_free(struct tunnel *tunnel);

#endif
