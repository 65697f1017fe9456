/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the kernel about a client's socket on this host (sock_diag(7)): a FIN alone does not tell whether the client has
 * closed its socket or only ended its direction. */
#ifndef PENSTOCK_BASE_SOCKDIAG_H
#define PENSTOCK_BASE_SOCKDIAG_H

#include <stdbool.h>

#include "model/addr.h"

/* A descriptor for sockdiag_is_closed(), to be opened before the sandbox; or -errno. */
int sockdiag_open(void);

/* True: the socket from local to remote, as its owner sees it, exists here and no process has it open any more. False:
 * somebody has, it is not of this host, or nobody can tell. Never waits. */
bool sockdiag_is_closed(int fd, const struct addr *local, const struct addr *remote);

#endif
