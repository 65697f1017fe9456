/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rules need of the kernel beyond nf_tables itself, each of which can be missing alone: blocked, not built, or
 * gone with an upgrade whose kernel does not run yet. */
#ifndef PENSTOCK_GATE_RULES_MODULES_H
#define PENSTOCK_GATE_RULES_MODULES_H

#include <stddef.h>

#define MODULES_TEXT_MAX 320

/* Tries each in a transaction that is never committed; nothing changes. Returns how many are missing, and then a
 * sentence that names them and what to do; 0: none; -errno with a sentence (-EPERM without CAP_NET_ADMIN). Synchronous,
 * bounded to 5 s. */
int modules_missing(char ret_text[static MODULES_TEXT_MAX]);

#endif
