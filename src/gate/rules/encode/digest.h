/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel tells about our table, as one number: two dumps give the same one when table, chains, rules in their
 * order, counters' names, sets and their elements are the same. Handles, counters' values and other tables do not
 * count. Pure; embedded. */
#ifndef PENSTOCK_GATE_RULES_ENCODE_DIGEST_H
#define PENSTOCK_GATE_RULES_ENCODE_DIGEST_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gate/rules/encode/ruleset.h" /* what "our table" is */

/* FNV-1a, 64 bits, of more bytes behind those of value. */
#define DIGEST_BASIS 0xcbf29ce484222325u
uint64_t digest_bytes(uint64_t value, const void *data, size_t size);

struct ruleset_digest {
    uint64_t ordered;   /* over everything whose order counts or is the same in every dump */
    uint64_t unordered; /* sum over sets' elements: the kernel may list them in any order */
    bool present;       /* the table is there */
};

void ruleset_digest_init(struct ruleset_digest *digest);
/* Any message of an nf_tables dump (NFT_MSG_NEWTABLE, NEWCHAIN, …); those about other tables are skipped. */
void ruleset_digest_add(struct ruleset_digest *digest, const struct nlmsghdr *message);
bool ruleset_digest_equal(const struct ruleset_digest *a, const struct ruleset_digest *b);

#endif
