/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts a program of ours as a child with an ipc socket, and sees its process off. */
#ifndef PENSTOCK_BASE_SPAWN_H
#define PENSTOCK_BASE_SPAWN_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ipc.h"

/* A descriptor of penstock-worker as a path in /proc/self/fd, so that an upgrade takes nothing away from who runs
 * already. It is looked for beside the running program, for a build that is not installed, then where it was installed;
 * no variable decides, since the gate has privileges. -errno: ret_path is where it should be. */
int spawn_open_worker(char ret_path[static PATH_MAX]);

/* What a child gets beside the standard descriptors and its end of a new pair (IPC_FD), from IPC_STATS_FD on; -1: none.
 */
#define SPAWN_FDS (IPC_LISTEN6_FD - IPC_STATS_FD + 1)

/* program --child=role --for=VERSION with those descriptors and no others. ret_fd is the gate's end of the pair.
 * 0 or -errno. */
int spawn_child(const char *program, const char *role, const int fds[static SPAWN_FDS], pid_t *ret_pid, int *ret_fd);

/* One line about an end that nobody asked for; status as of waitpid(). */
void spawn_log_end(const char *name, pid_t pid, int status);

/* Waits for the end of a process that was asked to end; kills it at deadline (as of clock_ms). */
void spawn_reap(pid_t pid, int64_t deadline);

#endif
