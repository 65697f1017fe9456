/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identity and confinement of penstock's processes. Every function logs nothing and returns 0 or -errno. */
#ifndef PENSTOCK_BASE_SANDBOX_H
#define PENSTOCK_BASE_SANDBOX_H

#include <sys/types.h>

/* Started as root: becomes user (its groups too), keeping CAP_NET_ADMIN alone, effective and permitted.
 * Started as another user: user must be NULL or that user; drops all but CAP_NET_ADMIN.
 * -EPERM when CAP_NET_ADMIN is not there, -ENOENT when the user does not exist. no_new_privs is set. */
int sandbox_become_gate(const char *user, uid_t *ret_uid);

/* For relays and the prober, before the first network byte: no capability (bounding set too), no_new_privs,
 * no core dumps of secrets, dies with its parent. */
int sandbox_drop_all(void);

/* Raises RLIMIT_NOFILE to its hard limit; returns the limit now in force. */
unsigned sandbox_raise_nofile(void);

#endif
