/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client is told when its tunnel never came up: a TLS client gets an alert (RFC 8446 section 6), an HTTP client
 * a response that names the reason. A pure function. */
#ifndef PENSTOCK_RELAY_CLOSE_REFUSAL_H
#define PENSTOCK_RELAY_CLOSE_REFUSAL_H

#include <stddef.h>

#include "model/reason.h"
#include "relay/session/sniff.h"

#define REFUSAL_MAX 1024

/* http_status: of the proxy's answer, 0: none; detail: NULL or a sentence. Returns the length; 0: nothing that this
 * client would understand, reset the connection. */
size_t refusal_write(enum sniff_kind kind, enum reason reason, int http_status, const char *detail,
                     char buf[static REFUSAL_MAX]);

#endif
