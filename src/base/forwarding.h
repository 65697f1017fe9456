/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this host (this network namespace) forwards what others send through it: containers, virtual machines, routed
 * clients. The rules are about this host's own connections. */
#ifndef PENSTOCK_BASE_FORWARDING_H
#define PENSTOCK_BASE_FORWARDING_H

#include <stdbool.h>

#include "model/text.h"

/* Asks the kernel (rtnetlink, which needs neither a privilege nor /proc/sys) and says in a sentence that forwarded
 * traffic is not covered. False: nothing is forwarded, or nobody can tell. Synchronous; nothing here waits. */
bool forwarding_warning(char ret_text[static DETAIL_MAX]);

#endif
