/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts this program once more as a child with an ipc socket, and sees its process off. */
#ifndef PENSTOCK_GATE_CHILDREN_SPAWN_H
#define PENSTOCK_GATE_CHILDREN_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "base/ipc.h"

/* What a child gets beside the standard descriptors and its end of a new pair (IPC_FD), from IPC_STATS_FD on; -1: none.
 */
#define SPAWN_FDS (IPC_LISTEN6_FD - IPC_STATS_FD + 1)

/* program --child=role with those descriptors and no others. ret_fd is the gate's end of the pair. 0 or -errno. */
int spawn_child(const char *program, const char *role, const int fds[static SPAWN_FDS], pid_t *ret_pid, int *ret_fd);

/* One line about an end that nobody asked for; status as of waitpid(). */
void spawn_log_end(const char *name, pid_t pid, int status);

/* Waits for the end of a process that was asked to end; kills it at deadline (as of clock_ms). */
void spawn_reap(pid_t pid, int64_t deadline);

#endif
