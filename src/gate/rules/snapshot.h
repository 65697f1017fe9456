/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel has of our table, read back. */
#ifndef PENSTOCK_GATE_RULES_SNAPSHOT_H
#define PENSTOCK_GATE_RULES_SNAPSHOT_H

#include <stdint.h>

#include "gate/rules/encode/digest.h"
#include "gate/rules/nfsocket.h"

/* What a dump found. generation counts the kernel's rule transactions, of all tables; 0 is none. */
struct snapshot {
    uint32_t generation;
    struct ruleset_digest digest;
};

/* 0 or -errno; the socket's deadline counts for all here. */
int snapshot_generation(struct nfsocket *socket, uint32_t *ret_generation);
/* The table as it is, all of one moment: the generation is the same before and after. known: an earlier one, or NULL;
 * it is what is returned when nothing at all has happened to any table since. -EAGAIN: others change rules all the
 * time; of ret_snapshot only digest.present is filled then. */
int snapshot_read(struct nfsocket *socket, const struct snapshot *known, struct snapshot *ret_snapshot);

#endif
