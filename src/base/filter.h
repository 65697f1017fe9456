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

/* seccomp allow-list for a process that has opened what it needs: sockets, files for reading (keys and resolver files,
 * again at reload), splice and pipes, timers. Anything else fails with EPERM and is logged, once for each call, as an
 * error: it is a fault of penstock or worse. exec, ptrace and the like kill. Takes SIGSYS. 0 or -errno. */
int filter_system_calls(void);

#endif
