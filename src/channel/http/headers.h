/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configured headers as they are written into a request, with the values of their specifiers. Pure functions. */
#ifndef PENSTOCK_CHANNEL_HTTP_HEADERS_H
#define PENSTOCK_CHANNEL_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "channel/http/out.h"
#include "model/conf/conf.h"

/* Who made the client's connection, as far as it is known. */
struct identity {
    const char *user; /* NULL: not known */
    const char *unit; /* NULL: none, or not known */
    uid_t uid;        /* CONF_UID_UNKNOWN: not known */
};

/* What the proxy may be told of it over a link that is secure or not; NULL: nothing. identity may be NULL. */
const struct identity *headers_identity(const struct conf *conf, const struct identity *identity, bool secure);

/* All of them, each with its line's end. One with a specifier whose value is not known is left out. A byte that a
 * field's value, or a list of them, cannot hold as it is, is percent-encoded (RFC 3986 section 2.1). identity NULL:
 * nothing is known of the client, or there is none. */
void headers_put(struct out *out, const struct conf *conf, const struct identity *identity);

/* How long they are. */
size_t headers_length(const struct conf *conf, const struct identity *identity);

/* Has a configured header that name? Some who read a field take one mark for another ('_' for '-'). */
bool headers_have(const struct conf *conf, const char *name, size_t length);

#endif
