/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for rules of other programs that redirect this host's web connections, too: of two redirects of one connection
 * only the first acts, and what the other program does with it is beyond our guard. Reads, changes nothing. */
#ifndef PENSTOCK_GATE_RULES_FOREIGN_H
#define PENSTOCK_GATE_RULES_FOREIGN_H

#include "gate/rules/table.h"

/* 1 and a sentence about the first one; 0: none was found (rules of iptables-legacy cannot be seen); -errno and a
 * sentence: the kernel has no nf_tables (-EPROTONOSUPPORT, -EINVAL), CAP_NET_ADMIN is missing (-EPERM), …
 * Synchronous, bounded to 5 s. */
int foreign_redirects(const struct conf *conf, char ret_text[static TABLE_ERROR_MAX]);

#endif
