/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks the kernel about TCP sockets of this host (sock_diag(7)): who owns one, and whether anybody still has it open.
 * It needs no privilege and answers inside the question, so nothing here waits. */
#ifndef PENSTOCK_BASE_SOCKDIAG_H
#define PENSTOCK_BASE_SOCKDIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "model/addr.h"

struct sockdiag_socket {
    int state;       /* TCP_ESTABLISHED… of netinet/tcp.h */
    uint32_t inode;  /* 0: no process has it open any more, and its uid is not known */
    uint32_t uid;    /* of who made it, as seen from this user namespace */
    uint64_t cgroup; /* id of the control group (version 2) in which it was made, see cgroup.h; 0: not known */
};

/* A descriptor for the questions; or -errno. A sandbox may be entered afterwards. */
int sockdiag_open(void);

/* The socket from local to remote, as its owner sees it; IPv4 finds IPv6 sockets with mapped addresses, too. False:
 * there is none on this host (in this network namespace), or nobody can tell; ret_socket is untouched then. */
bool sockdiag_ask(int fd, const struct addr *local, const struct addr *remote, struct sockdiag_socket *ret_socket);

/* True: that socket exists here and no process has it open any more, which a FIN alone does not tell: the client may
 * have ended its direction only. */
bool sockdiag_is_closed(int fd, const struct addr *local, const struct addr *remote);

#endif
