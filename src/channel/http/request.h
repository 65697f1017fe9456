/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the proxy is asked: HTTP CONNECT (RFC 9110 section 9.3.6), or a ping. Pure functions. */
#ifndef PENSTOCK_CHANNEL_HTTP_REQUEST_H
#define PENSTOCK_CHANNEL_HTTP_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "channel/http/headers.h"
#include "model/conf/conf.h"

#define REQUEST_MAX 24576 /* the configured headers with the longest values of their specifiers fit */

/* "CONNECT host:port HTTP/1.1", Host, the configured headers (headers_put()), blank line. host: name, IPv4 or IPv6
 * without brackets; it may come from the network: anything but a host's characters is -EINVAL. Returns the length, or
 * -EMSGSIZE. */
int request_write_connect(const struct conf *conf, const struct identity *identity, const char *host, uint16_t port,
                          char *buf, size_t size);

/* "OPTIONS * HTTP/1.1" with Max-Forwards: 0 (RFC 9110 section 9.3.7), a harmless question that any proxy answers
 * somehow; nobody's but ours. */
int request_write_ping(const struct conf *conf, const char *proxy_host, char *buf, size_t size);

#endif
