/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's first bytes, read until they say where it wants to go. Embedded in its session; zero is a valid start.
 * Holds memory only while there are bytes but no result. */
#ifndef PENSTOCK_RELAY_SESSION_FIRST_BYTES_H
#define PENSTOCK_RELAY_SESSION_FIRST_BYTES_H

#include <stddef.h>

#include "base/stream.h"
#include "relay/session/sniff.h"

struct first_bytes {
    unsigned char *bytes;
    size_t length, size;
};

enum first_bytes_result {
    FIRST_BYTES_MORE,   /* wait until the stream is readable; ret_sniff->kind is what it looks like so far */
    FIRST_BYTES_DONE,   /* ret_sniff is filled, and the stream will give the bytes again */
    FIRST_BYTES_ENDED,  /* the client ended its direction before that */
    FIRST_BYTES_FAILED, /* the stream tells */
    FIRST_BYTES_NO_MEMORY,
};

enum first_bytes_result first_bytes_read(struct first_bytes *head, struct stream *stream, struct sniff *ret_sniff);

/* What is there must do. FIRST_BYTES_DONE or FIRST_BYTES_NO_MEMORY. */
enum first_bytes_result first_bytes_give_up(struct first_bytes *head, struct stream *stream, struct sniff *ret_sniff);

void first_bytes_fini(struct first_bytes *head);

#endif
