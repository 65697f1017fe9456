/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many lines about sessions are written: so many a second, as many at once, and the others are counted. A client
 * can make sessions as fast as it likes, and a journal that has to drop lines drops those that matter, too. Pure;
 * embedded. */
#ifndef PENSTOCK_RELAY_SESSION_LOG_RATE_H
#define PENSTOCK_RELAY_SESSION_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct log_rate {
    double spent;    /* of a second's lines; 0: none lately */
    double since;    /* seconds; when it was so */
    uint64_t untold; /* lines that were not written since log_rate_tell() */
};

/* True: a line may be written now (seconds of any clock that does not jump); false: it is counted. */
bool log_rate_take(struct log_rate *rate, unsigned per_second, double now);
/* How many were not written, and begins to count anew. */
uint64_t log_rate_tell(struct log_rate *rate);

#endif
