/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the streams of a finished session are closed, so that each peer learns the truth and loses nothing. Every
 * function takes the streams over. */
#ifndef PENSTOCK_RELAY_ENDING_H
#define PENSTOCK_RELAY_ENDING_H

#include <stdbool.h>

#include "common/reason.h"
#include "common/stream.h"
#include "relay/linger.h"
#include "relay/pump.h"
#include "relay/settings.h"
#include "relay/sniff.h"

/* There was no tunnel: the client is told why in its own language, as far as it has one, else reset. */
void ending_refuse(struct lingering *lingering, struct stream *client, enum sniff_kind kind, enum reason reason,
                   int http_status, const char *detail);

/* Both directions have ended in order. secure: the proxy is behind TLS. */
void ending_in_order(struct lingering *lingering, struct settings *settings, struct stream *client,
                     struct stream *proxy, bool secure);

/* The failed one is reset at once, the other behind the bytes that came before the failure. */
void ending_broken(struct lingering *lingering, struct settings *settings, struct stream *failed, struct stream *whole);

/* Why, after PUMP_FAILED. */
enum reason ending_fault_reason(const struct pump *pump, bool secure);

#endif
