/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's first bytes, read until they say where it wants to go. Embedded in its session; zero is a valid start.
 * Holds memory only while there are bytes but no result. */
#ifndef PENSTOCK_RELAY_HEAD_H
#define PENSTOCK_RELAY_HEAD_H

#include <stddef.h>

#include "common/stream.h"
#include "relay/sniff.h"

struct head {
    unsigned char *bytes;
    size_t length, size;
};

enum head_result {
    HEAD_MORE,   /* wait until the stream is readable; ret_sniff->kind is what it looks like so far */
    HEAD_DONE,   /* ret_sniff is filled, and the stream will give the bytes again */
    HEAD_ENDED,  /* the client ended its direction before that */
    HEAD_FAILED, /* the stream tells */
    HEAD_NO_MEMORY,
};

enum head_result head_read(struct head *head, struct stream *stream, struct sniff *ret_sniff);

/* What is there must do. HEAD_DONE or HEAD_NO_MEMORY. */
enum head_result head_give_up(struct head *head, struct stream *stream, struct sniff *ret_sniff);

void head_fini(struct head *head);

#endif
