/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The descriptor below a stream: for TLS, which asks whose it is, and for splice(2). Everybody else uses base/stream.h;
 * `make lint` knows who may include this. */
#ifndef PENSTOCK_BASE_STREAM_FD_H
#define PENSTOCK_BASE_STREAM_FD_H

#include "base/stream.h"

/* Stays the stream's. Only of a stream whose transport is a socket. */
int stream_fd(const struct stream *stream);

#endif
