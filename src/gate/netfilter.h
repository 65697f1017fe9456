/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's side of the rules: owns the nfnetlink socket (and with it, where the kernel can, the table).
 * Every change is one transaction: the old rules or the new ones, never a mixture. */
#ifndef PENSTOCK_GATE_NETFILTER_H
#define PENSTOCK_GATE_NETFILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "gate/ruleset.h"

#define NETFILTER_ERROR_MAX 256

struct netfilter;

/* owned: claim the table (NFT_TABLE_F_OWNER|PERSIST, kernel 6.9) where the kernel can, so that nobody else flushes it.
 * NULL: error, text filled (no nf_tables in the kernel, no CAP_NET_ADMIN). Installs nothing yet. */
struct netfilter *netfilter_new(bool owned, char ret_error[static NETFILTER_ERROR_MAX]);
void netfilter_free(struct netfilter *netfilter); /* takes NULL; leaves the rules in the kernel as they are */

/* A sentence for an error of the first talk to nf_tables, -EPERM, -EPROTONOSUPPORT and -EINVAL explained. */
void netfilter_explain(int error, const char *what, char ret_error[static NETFILTER_ERROR_MAX]);

/* Makes the kernel's table what spec says: created when it is missing or was edited by others, else only what differs
 * (chains flushed and refilled; sets and counters survive a change of verdict). 0 or -errno with a sentence that names
 * what the kernel refused. Synchronous, bounded to 5 s. */
int netfilter_apply(struct netfilter *netfilter, const struct ruleset_spec *spec,
                    char ret_error[static NETFILTER_ERROR_MAX]);

/* 1: the kernel's table is what was applied last; 0: it is not (flushed, edited); -EAGAIN: not known, as others changed
 * rules at the same moment; another -errno with a sentence. */
int netfilter_verify(struct netfilter *netfilter, char ret_error[static NETFILTER_ERROR_MAX]);

/* Deletes the table. 0 also when it is gone already. */
int netfilter_remove(struct netfilter *netfilter, char ret_error[static NETFILTER_ERROR_MAX]);

/* False: the table was applied while others changed rules; whether they changed ours just then is not known. */
bool netfilter_known(const struct netfilter *netfilter);
bool netfilter_owned(const struct netfilter *netfilter);
uint32_t netfilter_portid(const struct netfilter *netfilter); /* to tell our own events from others' */

#endif
