/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration in force, and the way of another one into force: read by the gate, tried by the prober (which alone
 * can tell whether key files and certificates are good), then put in force everywhere. Bad in any way: the old one
 * stays in force, everywhere as well. The files that it names go the same way when they change on disk, without the
 * configuration being read. Embedded in the gate. */
#ifndef PENSTOCK_GATE_RELOAD_H
#define PENSTOCK_GATE_RELOAD_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ipc.h"
#include "gate/children/children.h"
#include "gate/decide/enforce.h"
#include "gate/decide/servers.h"
#include "gate/decide/test_run.h"
#include "gate/host/file_watch.h"
#include "gate/host/users.h"
#include "gate/rules/foreign.h"
#include "gate/rules/keeper.h"
#include "gate/rules/trial.h"
#include "model/conf/conf.h"
#include "model/texts.h"

enum reload_state {
    RELOAD_IDLE,
    RELOAD_TRYING, /* the prober reads it */
    RELOAD_TAKING, /* it is in force, and the children are taking it; bounded in time */
};

/* Read only outside of reload.c. */
struct reload {
    struct ev_loop *loop;
    const char *path; /* of the configuration; this one and the next nine are borrowed */
    struct foreign *foreign;
    struct trial *trial;
    struct users *users;
    struct file_watch *file_watch;
    struct keeper *keeper;
    struct children *children;
    struct enforcement *enforcement;
    struct test_run *test_run;
    struct servers *servers;

    struct conf *conf; /* in force */
    enum reload_state state;
    struct conf *tried; /* while RELOAD_TRYING; NULL: the one in force, with files that have changed */
    uint64_t tried_serial;
    uint64_t number;                /* of the last reload; 0: none yet */
    bool again;                     /* another one follows the one that is under way */
    bool files;                     /* what is under way are the files alone */
    uint64_t files_tried;           /* digest of the files of the configuration that is tried */
    bool files_owed;                /* the reload that is under way reads them in the place of one of the files alone */
    bool files_again;               /* they follow what is under way */
    char files_refused[DETAIL_MAX]; /* why those on disk are not in force; empty: they are */
    bool refused;                   /* the last one */
    struct texts told;              /* about the last one: errors if it was refused */
    struct texts conflicts;         /* in the configuration in force; they name users, networks and domains */
    struct texts warnings;          /* about the configuration in force: what cancels itself, and of the children */
    ev_timer timer;
};

/* The members from loop to conf are filled; takes conf over. */
void reload_init(struct reload *reload);
void reload_fini(struct reload *reload);

/* Reads the files again. While a reload is under way, another one follows it: they may have changed since. Returns the
 * number of the reload that reads them after this call. */
uint64_t reload_request(struct reload *reload);
/* Takes what the files of the configuration in force are now, if they can be used together. Else the old ones stay in
 * force until they change again: certificate and key may come one after the other. */
void reload_files(struct reload *reload);
bool reload_is_over(const struct reload *reload, uint64_t number);
/* What to say of the last one that is over: errors if it was refused, else warnings. */
const struct texts *reload_texts(const struct reload *reload);

/* False: it is about a configuration that was only tried. */
bool reload_on_conf_done(struct reload *reload, const struct child *child, const struct ipc_conf_done *done);
void reload_on_prober_lost(struct reload *reload);

#endif
