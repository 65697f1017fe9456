/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the kernel's table as the verdict wants it: installs, notices changes by others, repairs, tries again when the
 * kernel refuses, and knows at each moment whether the table is there. */
#ifndef PENSTOCK_GATE_RULES_H
#define PENSTOCK_GATE_RULES_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/conf.h"
#include "gate/netfilter.h"
#include "gate/status.h"
#include "gate/verdict.h"

struct rules;

/* Of rules_ functions only rules_check() calls lost. */
struct rules_cbs {
    /* The table is not what was set, and repairing it failed or has to wait; retry follows. */
    void (*lost)(const char *why, void *data);
    void (*retry)(void *data); /* call rules_set() again */
};

/* Takes netfilter over. NULL: out of memory. cbs is copied. */
struct rules *rules_new(struct ev_loop *loop, struct netfilter *netfilter, uid_t own_uid, const struct rules_cbs *cbs,
                        void *data);
void rules_free(struct rules *rules); /* takes NULL; leaves the kernel's table as it is */

/* Before the first rules_set(), and at reload: the next rules_set() writes the table. conf stays the caller's and must
 * outlive its use here. */
void rules_set_conf(struct rules *rules, const struct conf *conf);
/* The table becomes that of the verdict; nothing is done when it is that already. False: the kernel refuses, which was
 * logged and shows in rules_status(); retry will be called. */
bool rules_set(struct rules *rules, enum verdict_kind kind);
/* Compares our table and repairs it: culprit was seen to touch it, or, when it is NULL, somebody may have. */
void rules_check(struct rules *rules, const char *culprit);
/* Leaves blocking rules behind, or none. False: the kernel refuses (logged). */
bool rules_stop(struct rules *rules, bool block);
void rules_status(const struct rules *rules, struct status_rules *ret_status);

#endif
