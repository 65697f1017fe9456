/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the near end of a connection: the socket's owner and unit from the kernel, which tells everybody, and its
 * process from /proc, as far as the caller's rights allow; what cannot be seen stays unknown. */
#ifndef PENSTOCK_CLI_SOCKET_OWNER_H
#define PENSTOCK_CLI_SOCKET_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/addr.h"

#define SOCKET_OWNER_PROCESS_MAX 64
#define SOCKET_OWNER_UNIT_MAX    256

struct socket_owner {
    /* The question: the connection as its application sees it, before any redirection. */
    struct addr local, peer;
    /* The answer. */
    bool found; /* uid and inode are valid */
    uint32_t uid, inode;
    pid_t pid; /* 0: unknown */
    char process[SOCKET_OWNER_PROCESS_MAX];
    char unit[SOCKET_OWNER_UNIT_MAX];
};

/* Answers all questions; /proc is read once for all of them. 0, or -errno when the kernel could not be asked. */
int socket_owner_find(struct socket_owner *whos, size_t n);

#endif
