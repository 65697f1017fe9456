/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client's first bytes say about where it wants to go: the server name of a TLS ClientHello (RFC 8446 section
 * 4.1.2, RFC 6066 section 3) or the Host field of an HTTP/1 request. A pure function over all bytes so far. */
#ifndef PENSTOCK_RELAY_SESSION_SNIFF_H
#define PENSTOCK_RELAY_SESSION_SNIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "model/hostname.h"

#define SNIFF_MAX      32768 /* bytes after which it always gives up on a name */
#define SNIFF_HTTP_MAX 16384 /* the same for an HTTP header */

enum sniff_kind { SNIFF_OTHER, SNIFF_TLS, SNIFF_HTTP };

enum sniff_result {
    SNIFF_MORE, /* undecided; kind is what the bytes look like so far */
    SNIFF_DONE, /* more bytes would change nothing */
};

struct sniff {
    enum sniff_kind kind;
    bool request;             /* the request line of HTTP/1 is whole */
    bool for_proxy;           /* and is what a client says to its own proxy: only the address tells where that is */
    bool ech;                 /* an encrypted ClientHello (RFC 9849), or what is made to look like one: the name that
                                 can be read is shared by many */
    char name[HOSTNAME_SIZE]; /* as hostname_parse() gives it; empty: none */
};

/* Always fills *ret_sniff. */
enum sniff_result sniff_bytes(const unsigned char *buf, size_t length, struct sniff *ret_sniff);

#endif
