/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The relay process: listeners, sessions, one libev loop; speaks ipc.h on IPC_FD until the gate is gone. */
#ifndef PENSTOCK_RELAY_RELAY_H
#define PENSTOCK_RELAY_RELAY_H

int relay_main(void); /* the exit status */

#endif
