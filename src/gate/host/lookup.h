/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process of its own that looks up users (getpwnam(3), getpwuid(3)): that reads the network where the host's users
 * are in a directory, and may take its time. One question, its answers, its end. Embedded. */
#ifndef PENSTOCK_GATE_HOST_LOOKUP_H
#define PENSTOCK_GATE_HOST_LOOKUP_H

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

#include "gate/host/users_wire.h"

#define LOOKUP_LIMIT_S 60. /* of one process: SSSD waits that long for a server that is away */

/* What comes from the process is bytes of the right number, its strings terminated, and no more than that. */
typedef void lookup_answer_cb(const struct users_answer *answer, void *data);
/* All answers that were there have been given; ended: there will be no more, and another process may be started. */
typedef void lookup_settled_cb(bool ended, void *data);

struct lookup {
    struct ev_loop *loop;
    const char *program;
    lookup_answer_cb *answer_cb;
    lookup_settled_cb *settled_cb;
    void *data;
    ev_timer limit;
    ev_io readable;
    ev_child end;
    bool overdue;
    pid_t pid; /* 0: none runs */
    int fd;    /* to it; -1: none, or it has said all */
};

/* program is started with --child=users. Child watchers want the default loop. Callbacks come from the loop, and may
 * not end the lookup. */
void lookup_init(struct lookup *lookup, struct ev_loop *loop, const char *program, lookup_answer_cb *answer_cb,
                 lookup_settled_cb *settled_cb, void *data);

/* None may run. 0 or -errno: then nothing follows. */
int lookup_start(struct lookup *lookup, const struct users_question *question);

bool lookup_runs(const struct lookup *lookup);

/* Ends the process, if one runs, without a callback. */
void lookup_stop(struct lookup *lookup);

#endif
