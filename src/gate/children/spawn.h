/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starts this program once more as a child with an ipc socket, and sees its process off. */
#ifndef PENSTOCK_GATE_CHILDREN_SPAWN_H
#define PENSTOCK_GATE_CHILDREN_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

/* program --child=role, with its end of a new pair as IPC_FD and stats_fd (-1: none) as IPC_STATS_FD; nothing else but
 * the standard descriptors. ret_fd is the gate's end. 0 or -errno. */
int spawn_child(const char *program, const char *role, int stats_fd, pid_t *ret_pid, int *ret_fd);

/* One line about an end that nobody asked for; status as of waitpid(). */
void spawn_log_end(const char *name, pid_t pid, int status);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t spawn_now_ms(void);

/* Waits for the end of a process that was asked to end; kills it at deadline (as of spawn_now_ms). */
void spawn_reap(pid_t pid, int64_t deadline);

#endif
