/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A TCP connection being opened, with the options that every connection to a proxy has. */
#ifndef PENSTOCK_CHANNEL_NET_TCP_H
#define PENSTOCK_CHANNEL_NET_TCP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/stream.h"
#include "model/addr.h"
#include "model/cause.h"

#define TCP_WORDS_MAX 96

/* local_port 0: any; else that one if it is free for this address (TIME_WAIT does not count: SO_REUSEADDR), or any.
 * Non-blocking connect() with TCP_NODELAY. 0: under way, *ret_stream becomes writable when it has ended and
 * stream_connect_error() tells how; else -errno. */
int tcp_connect(const struct addr *address, uint16_t local_port, struct stream **ret_stream);

/* An errno in the middle of a sentence: "connection refused"; returns buf. */
const char *tcp_error_words(int error, char buf[static TCP_WORDS_MAX]);

/* Of an errno of connect(). */
enum cause tcp_error_cause(int error);

/* Ours, not the peer's: an address, a port, a descriptor or memory is missing here. */
bool tcp_error_is_own(int error);

#endif
