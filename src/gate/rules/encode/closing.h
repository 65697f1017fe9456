/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The last resort: web traffic is refused by rules that need nothing of the kernel but nf_tables itself, and nft_reject
 * if drop is false. For a start that failed, and for kernels whose modules are missing. Pure: touches no socket. What
 * it builds lists like nft/closing.nft. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_CLOSING_H
#define PENSTOCK_GATE_RULES_ENCODE_CLOSING_H

#include "gate/rules/encode/ruleset.h"

#define CLOSING_STATUS "Blocked - Local error"

struct closing_spec {
    const struct conf *conf; /* whose ports, networks and users count */
    const char *why;         /* half a sentence; stands, cut to its length, in the rules' comments */
    bool drop;               /* in silence, instead of an answer */
    bool present;            /* a table is there: it is replaced */
    bool settling;           /* as in struct ruleset_spec; settled follows */
    bool settled;            /* that table is there: its rules alone are filled anew */
};

/* NULL: out of memory. */
struct ruleset_batch *closing_encode(const struct closing_spec *spec, uint32_t generation, uint32_t first_seq);

#endif
