/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the streams of a finished session are closed, so that each peer learns the truth and loses nothing. Every
 * function takes the streams over. */
#ifndef PENSTOCK_RELAY_CLOSE_CLOSE_H
#define PENSTOCK_RELAY_CLOSE_CLOSE_H

#include <stdbool.h>

#include "base/stream.h"
#include "model/reason.h"
#include "relay/close/linger.h"
#include "relay/pump/pump.h"
#include "relay/session/sniff.h"

/* There was no tunnel: the client is told why in its own language, as far as it has one, else reset. */
void close_refused(struct lingering *lingering, struct stream *client, enum sniff_kind kind, enum reason reason,
                   int http_status, const char *detail);

/* Plain HTTP that is over, every answer whole: the client is told the end. */
void close_answered(struct lingering *lingering, struct stream *client);

/* There was one: by how the pump ended, or by force where it had not. secure: the proxy is behind TLS. The pump has
 * been stopped (pump_fini). What the client's kernel has not acknowledged yet is delivered in every case. */
void close_tunnel(struct lingering *lingering, const struct pump *pump, enum reason reason, bool secure);

/* Why, after PUMP_DONE or PUMP_FAILED. */
enum reason close_reason(const struct pump *pump);

#endif
