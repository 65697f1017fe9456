/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for rules of other programs that redirect this host's web connections, too: of two redirects of one connection
 * only the first acts, and what the other program does with it is beyond our guard. Reads, changes nothing. */
#ifndef PENSTOCK_GATE_RULES_FOREIGN_H
#define PENSTOCK_GATE_RULES_FOREIGN_H

#include <ev.h>

#include "gate/rules/table.h"

/* 1 and a sentence about the first one; 0: none was found (rules of iptables-legacy cannot be seen); -errno and a
 * sentence: the kernel has no nf_tables (-EPROTONOSUPPORT, -EINVAL), CAP_NET_ADMIN is missing (-EPERM), …
 * Synchronous, bounded to 5 s. */
int foreign_redirects(const struct conf *conf, char ret_text[static TABLE_ERROR_MAX]);

/* The same whenever other programs have changed their rules, and logged when there is news. Embedded in the gate. */
struct foreign {
    struct ev_loop *loop;
    const struct conf *conf; /* borrowed */
    ev_timer timer;
    ev_tstamp looked;           /* last */
    char text[TABLE_ERROR_MAX]; /* what was found; empty: nothing */
};

void foreign_init(struct foreign *foreign, struct ev_loop *loop);
void foreign_fini(struct foreign *foreign);
/* At the start and at a reload: looks from the loop. */
void foreign_set_conf(struct foreign *foreign, const struct conf *conf);
/* Somebody changed tables that are not ours: looks soon, but not all the time. */
void foreign_changed(struct foreign *foreign);

#endif
