/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's side of the rules: owns the nfnetlink socket (and with it, where the kernel can, the table).
 * Every change is one transaction: the old rules or the new ones, never a mixture. */
#ifndef PENSTOCK_GATE_RULES_TABLE_H
#define PENSTOCK_GATE_RULES_TABLE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "gate/rules/counters.h"
#include "gate/rules/encode/ruleset.h"
#include "model/error.h"

#define TABLE_ERROR_MAX 256

struct table;

/* owned: claim the table (NFT_TABLE_F_OWNER|PERSIST, kernel 6.9) where the kernel can, so that nobody else flushes it.
 * NULL: out of memory. Installs nothing yet. */
struct table *table_new(bool owned);
/* The functions below do it, too, as long as it is not open. 0; or -errno with a sentence: -EPROTONOSUPPORT without
 * nf_tables in the kernel, whose module may yet come; -EPERM without CAP_NET_ADMIN. */
int table_open(struct table *table, char ret_error[static TABLE_ERROR_MAX]);
void table_free(struct table *table); /* takes NULL; leaves the rules in the kernel as they are */

/* A sentence for an error of the first talk to nf_tables, -EPERM, -EPROTONOSUPPORT and -EINVAL explained. */
void table_explain(int error, const char *what, char ret_error[static TABLE_ERROR_MAX]);

/* Of an error of any function here. */
static inline enum cause table_cause(int error)
{
    return error == -EPERM             ? CAUSE_RULES_NOT_PERMITTED
           : error == -EPROTONOSUPPORT ? CAUSE_KERNEL_MODULES
                                       : CAUSE_RULES_REFUSED;
}

/* Makes the kernel's table what spec says: created when it is missing or was edited by others, else only what differs
 * (chains flushed and refilled; sets and counters survive a change of verdict; no list is wrong for a moment, see
 * ruleset_encode()). 0 or -errno with a sentence that names
 * what the kernel refused. Synchronous, bounded to 5 s. */
int table_apply(struct table *table, const struct ruleset_spec *spec, char ret_error[static TABLE_ERROR_MAX]);

/* Replaces the table by one that only refuses web traffic and needs little of the kernel (encode/closing.h), for want
 * of anything better: reject, or drop where the kernel lacks even that. It is not claimed, so that it can be removed by
 * hand; the next table_apply() replaces it. why: half a sentence for the rules' comments. 0 or -errno with a sentence.
 */
int table_close(struct table *table, const struct conf *conf, const char *why, char ret_error[static TABLE_ERROR_MAX]);

/* 1: the kernel's table is what was applied last, or the one of last resort; 0: it is not (flushed, edited); -EAGAIN:
 * not known, as others changed rules at the same moment; another -errno with a sentence. */
int table_verify(struct table *table, char ret_error[static TABLE_ERROR_MAX]);

/* Deletes the table. 0 also when it is gone already, or nothing is there that could have one. */
int table_remove(struct table *table, char ret_error[static TABLE_ERROR_MAX]);

/* What its counters say now; not known also when the kernel cannot be asked. Bounded to a second. */
struct counters table_count(struct table *table);

/* False: the table was applied while others changed rules; whether they changed ours just then is not known. */
bool table_known(const struct table *table);
bool table_owned(const struct table *table);
uint32_t table_portid(const struct table *table); /* to tell our own events from others'; 0: it is not open yet */

#endif
