/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of the control socket: bound in the place of one that a dead daemon left, never in that of a living one's.
 * (control_make_directory() of control.h is here as well.) */
#ifndef PENSTOCK_GATE_CONTROL_SOCKET_H
#define PENSTOCK_GATE_CONTROL_SOCKET_H

#include <sys/types.h>
#include <sys/un.h>

#include "gate/control/server.h"

struct control_socket {
    int fd; /* listening */
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    dev_t device; /* with inode: of our socket file, to remove no other */
    ino_t inode;
};

/* Mode 0666. 0 or -errno, text filled. */
int control_socket_open(struct control_socket *ret_socket, const char *path, int backlog,
                        char ret_error[static CONTROL_ERROR_MAX]);
/* Removes the file, unless another daemon has taken its place. */
void control_socket_close(struct control_socket *control);

#endif
