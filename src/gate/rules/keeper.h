/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the kernel's table as the verdict wants it: installs, notices changes by others, repairs, tries again when the
 * kernel refuses, and knows at each moment whether the table is there. */
#ifndef PENSTOCK_GATE_RULES_KEEPER_H
#define PENSTOCK_GATE_RULES_KEEPER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/json.h"
#include "gate/event.h"
#include "gate/rules/table.h"
#include "model/conf/conf.h"
#include "model/verdict.h"

struct keeper;

/* Takes table over. NULL: out of memory. sink gets EVENT_RULES_LOST and EVENT_RULES_RETRY. */
struct keeper *keeper_new(struct ev_loop *loop, struct table *table, uid_t own_uid, const struct event_sink *sink);
void keeper_free(struct keeper *keeper); /* takes NULL; leaves the kernel's table as it is */

/* Before the first keeper_set(), and at reload: the next keeper_set() writes the table. conf stays the caller's and
 * must outlive its use here. */
void keeper_set_conf(struct keeper *keeper, const struct conf *conf);
/* The table becomes that of the verdict; nothing is done when it is that already. False: the kernel refuses, which was
 * logged and shows in keeper_status(), as does whether the table of last resort stands instead; EVENT_RULES_RETRY
 * follows. */
bool keeper_set(struct keeper *keeper, enum verdict_kind kind);
/* Where penstock may connect to, beside the servers that are configured by their addresses: these, and for an hour
 * those that were named before. False: the kernel refuses, as when the rules are lost. */
bool keeper_set_proxies(struct keeper *keeper, const struct addr *addrs, size_t n);
/* Compares our table and repairs it: culprit was seen to touch it, or, when it is NULL, somebody may have.
 * False: it is not ours any more, as when the rules are lost. */
bool keeper_check(struct keeper *keeper, const char *culprit);
/* Leaves blocking rules behind, or none. False: the kernel refuses (logged). */
bool keeper_stop(struct keeper *keeper, bool block);
uint32_t keeper_portid(const struct keeper *keeper); /* table_portid() */
void keeper_status(const struct keeper *keeper, struct status_rules *ret_status);
/* Asks the kernel. */
struct counters keeper_count(const struct keeper *keeper);

#endif
