/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of an answer of the proxy, for one that is passed on: where its body ends, and what becomes of the
 * connection; written anew for the client without what is for one hop only. Fields that are none are left out: what is
 * not passed on cannot be read in two ways. Pure functions; what was read points into the head. */
#ifndef PENSTOCK_CHANNEL_HTTP_ANSWER_HEAD_H
#define PENSTOCK_CHANNEL_HTTP_ANSWER_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/http/body.h"
#include "channel/http/fields.h"

#define ANSWER_HEAD_ADDED 256 /* bytes that writing may add */

struct answer_head {
    int status; /* 100..599 */
    struct span reason, fields;
    struct hops hops;
    struct framing framing;
    uint8_t minor;
    bool has_length; /* of a body that may not be there: to HEAD, and 304 */
    uint64_t length;
    bool keep_alive; /* the proxy's end of the connection is good for another request */
    bool binds;      /* authenticates the connection: NTLM, Negotiate */
};

/* head: one that head_find_end() has found. to_head: it answers HEAD. False: it is no HTTP answer, or its length can be
 * read in two ways. */
bool answer_head_read(struct span head, bool to_head, struct answer_head *ret_head);

/* Interim: the final one follows. */
bool answer_is_interim(const struct answer_head *head);

/* May it begin an answer? Of the bytes so far. */
bool answer_may_begin(const char *buf, size_t length);

struct answer_client {
    uint8_t minor;   /* of its HTTP/1.x */
    bool keep_alive; /* it may send another request behind this answer */
};

/* Does that client get the body decoded? RFC 9112 section 6.1: HTTP/1.0 knows no chunks. */
bool answer_is_decoded(const struct answer_head *head, const struct answer_client *client);

/* Returns the length, or -EMSGSIZE. */
int answer_head_write(const struct answer_head *head, const struct answer_client *client, char *buf, size_t size);

#endif
