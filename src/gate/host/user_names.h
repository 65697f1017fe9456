/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the users are called who make connections, for the headers that tell the proxy: a bounded cache, which a process
 * of its own fills (lookup.h). */
#ifndef PENSTOCK_GATE_HOST_USER_NAMES_H
#define PENSTOCK_GATE_HOST_USER_NAMES_H

#include <ev.h>
#include <sys/types.h>

#include "gate/event.h"

#define USER_NAMES_MAX    1024
#define USER_NAMES_KEEP_S 60. /* then it is looked up again: users are renamed, and numbers given to others */
#define USER_NAMES_NONE_S 15. /* one who was not found may come, or a directory be back */

struct user_names;

/* sink gets EVENT_USER_NAMED. Child watchers want the default loop. NULL: out of memory. */
struct user_names *user_names_new(struct ev_loop *loop, const char *program, const struct event_sink *sink);
void user_names_free(struct user_names *names); /* takes NULL */

/* "": there is none, or it cannot be known now. NULL: it is looked up, and EVENT_USER_NAMED follows, unless more than
 * the cache can hold are asked for meanwhile. Good until the loop goes on. */
const char *user_names_find(struct user_names *names, uid_t uid);

#endif
