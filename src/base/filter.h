/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The system calls that a process with network bytes in it may make. */
#ifndef PENSTOCK_BASE_FILTER_H
#define PENSTOCK_BASE_FILTER_H

/* True in builds for tests (configure --enable-strict-filter): a refused call ends the process with abort(), so that no
 * test can take its failure for an answer. */
#if defined(PENSTOCK_STRICT_FILTER)
#define FILTER_IS_STRICT 1
#else
#define FILTER_IS_STRICT 0
#endif

enum filter_role {
    FILTER_RELAY,  /* TCP both ways, pipes, sock_diag; no name service */
    FILTER_PROBER, /* TCP and UDP out, interfaces and routes; accepts nobody */
};

/* seccomp allow-list for a process that has opened what it needs: sockets, files for reading (/dev/urandom, resolver
 * files), pipes, timers. A call whose argument decides is refused by its name, too. Anything else fails with EPERM and
 * is logged, once for each call, as an error: it is a fault of penstock or worse. exec, ptrace and the like kill. Takes
 * SIGSYS. 0 or -errno. */
int filter_system_calls(enum filter_role role);

#endif
