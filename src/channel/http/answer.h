/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of the proxy's answer, read as it arrives. What is only skipped, the fields, is not judged, as long as it is
 * text: proxies and what stands before them write names with blanks in them, or none at all. No loop, no memory. */
#ifndef PENSTOCK_CHANNEL_HTTP_ANSWER_H
#define PENSTOCK_CHANNEL_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define ANSWER_MAX        65536 /* of status lines and header fields together, interim answers included */
#define ANSWER_REASON_MAX 96
#define ANSWER_HINT_MAX   128

/* Zero is a valid start. */
struct answer {
    int status;                     /* 100..599 */
    char reason[ANSWER_REASON_MAX]; /* printable, may be empty */
    char hint[ANSWER_HINT_MAX];     /* of 407: the schemes that are offered, "Basic, Negotiate"; of 3xx: the host of
                                       Location; may be empty */
    bool basic;                     /* of 407: Basic is one of them */
    size_t length;                  /* of all whole lines so far */
    size_t checked;                 /* of the line that is not whole yet */
    bool in_fields;                 /* behind a status line */
};

enum answer_result {
    ANSWER_MORE,
    ANSWER_DONE, /* status and reason are the final answer's; what follows belongs to the tunnel */
    ANSWER_BAD,  /* this can not become HTTP any more */
    ANSWER_TOO_LARGE,
};

/* *ret_used bytes of buf have been dealt with, those of whole lines: come again with what is behind them, and more. */
enum answer_result answer_read(struct answer *answer, const char *buf, size_t length, size_t *ret_used);

#endif
