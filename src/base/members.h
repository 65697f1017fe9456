/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is in a group, by all that the host knows (nsswitch.conf(5)). It can take long and reads the network: not for the
 * gate itself. */
#ifndef PENSTOCK_BASE_MEMBERS_H
#define PENSTOCK_BASE_MEMBERS_H

#include <stdbool.h>
#include <sys/types.h>

/* False: that is enough. */
typedef bool members_cb(uid_t uid, void *data);

/* Each member of the group of that name or number, perhaps more than once. False: there is no such group, or one of its
 * members cannot be looked up, or the callback had enough. */
bool members_list(const char *name, members_cb *cb, void *data);

#endif
