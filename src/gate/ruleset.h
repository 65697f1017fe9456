/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The desired ruleset of table inet penstock, and its encoding as one netlink batch. Pure: touches no socket.
 * What it builds lists exactly like nft/<name>.nft. */
#ifndef PENSTOCK_GATE_RULESET_H
#define PENSTOCK_GATE_RULESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/conf.h"
#include "gate/verdict.h"

#define RULESET_TABLE "penstock"

/* What decides about the rules. Two equal specs give the same table. */
struct ruleset_spec {
    enum verdict_mode mode; /* secure and plain: redirect; blocked: reject; direct: neither */
    const char *status;     /* the verdict's text: comment of the reject rules when blocked */
    const struct conf *conf;
    uid_t own_uid; /* whose traffic is exempt */
};

#endif
