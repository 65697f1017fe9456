/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Notices that files of [SecureChannel] have been replaced, rewritten or taken away: inotify(7) for being quick, a look
 * now and then for file systems that do not tell (NFS) and directories that were not there. Only looks at them
 * (stat(2)), never reads. Embedded in the gate. */
#ifndef PENSTOCK_GATE_HOST_FILE_WATCH_H
#define PENSTOCK_GATE_HOST_FILE_WATCH_H

#include <ev.h>
#include <stdint.h>

#include "gate/event.h"
#include "model/conf/conf.h"

/* Seconds. Tests use shorter ones. */
struct file_watch_timing {
    double delay; /* behind a change: certificate and key are two files */
    double rest;  /* without one */
};

struct file_watch {
    struct ev_loop *loop;
    struct file_watch_timing timing;
    struct event_sink sink;  /* gets EVENT_FILES_CHANGED */
    const struct conf *conf; /* borrowed; NULL: none yet */
    uint64_t seen;           /* digest of what the files were when it was told of the last time */
    ev_io io;
    ev_timer timer;
};

/* Without inotify it only looks now and then. */
void file_watch_init(struct file_watch *watch, struct ev_loop *loop, const struct event_sink *sink);
void file_watch_fini(struct file_watch *watch);
/* A digest of what the files of conf are now. */
uint64_t file_watch_look(const struct conf *conf);
/* Tells of what happens to the files of conf from now on. */
void file_watch_set_conf(struct file_watch *watch, const struct conf *conf);

#endif
