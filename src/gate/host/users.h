/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of users that the configuration has and /etc/passwd does not know: LDAP, SSSD and the like may know them,
 * perhaps only later, when there is a network. They are looked up (getpwnam(3)) by a process of its own, because that
 * reads the network and may take its time, and again with growing pauses for those that were not found. */
#ifndef PENSTOCK_GATE_HOST_USERS_H
#define PENSTOCK_GATE_HOST_USERS_H

#include <ev.h>

#include "gate/event.h"
#include "model/conf/conf.h"

struct users;

/* program is started with --child=users for a lookup; sink gets EVENT_USERS_KNOWN. Child watchers want the default
 * loop. NULL when out of memory. */
struct users *users_new(struct ev_loop *loop, const char *program, const struct event_sink *sink);

/* Looks up what conf does not know, from now on; uids are written into it. It stays the caller's and must live until
 * the next one or users_free(). */
void users_set_conf(struct users *users, struct conf *conf);

void users_free(struct users *users); /* takes NULL */

/* The process that looks up; returns its exit status. */
int users_main(void);

#endif
