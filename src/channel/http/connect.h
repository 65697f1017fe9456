/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HTTP CONNECT (RFC 9110 section 9.3.6) towards the proxy: requests written, answers read. Pure functions. */
#ifndef PENSTOCK_CHANNEL_HTTP_CONNECT_H
#define PENSTOCK_CHANNEL_HTTP_CONNECT_H

#include <stddef.h>
#include <stdint.h>

#include "model/conf/conf.h"

#define CONNECT_REQUEST_MAX 16384
#define CONNECT_ANSWER_MAX  16384 /* of status line and header fields together */
#define CONNECT_REASON_MAX  96

/* "CONNECT host:port HTTP/1.1", Host, the configured headers, blank line. host: name, IPv4 or IPv6 without brackets;
 * it may come from the network: anything but a host's characters is -EINVAL. Returns the length, or -EMSGSIZE. */
int connect_write_request(const struct conf *conf, const char *host, uint16_t port, char *buf, size_t size);

/* "OPTIONS * HTTP/1.1" with Max-Forwards: 0 (RFC 9110 section 9.3.7), a harmless question that any proxy answers
 * somehow. */
int connect_write_ping(const struct conf *conf, const char *proxy_host, char *buf, size_t size);

struct connect_answer {
    int status;                      /* 100..599; interim 1xx are skipped */
    char reason[CONNECT_REASON_MAX]; /* printable, may be empty */
    size_t length;                   /* bytes up to and with the blank line; what follows belongs to the tunnel */
};

enum connect_result { CONNECT_MORE, CONNECT_DONE, CONNECT_BAD, CONNECT_TOO_LARGE };

/* Called with everything that has arrived so far. Bytes that can no longer become HTTP are CONNECT_BAD at once. */
enum connect_result connect_read_answer(const char *buf, size_t length, struct connect_answer *ret_answer);

#endif
