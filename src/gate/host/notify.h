/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service manager is told (sd_notify): readiness, the verdict, reload, stop, and that the loop still turns.
 * Without a manager all of it does nothing. Embedded. */
#ifndef PENSTOCK_GATE_HOST_NOTIFY_H
#define PENSTOCK_GATE_HOST_NOTIFY_H

#include <ev.h>
#include <stdbool.h>

struct notify {
    struct ev_loop *loop;
    ev_timer watchdog;
    bool ready;
};

void notify_init(struct notify *notify, struct ev_loop *loop);
void notify_fini(struct notify *notify);
void notify_ready(struct notify *notify); /* the first time only */
void notify_status(const char *text);
/* Both do nothing before the first readiness: a start that is not over cannot be interrupted by a reload. */
void notify_reloading(struct notify *notify);
void notify_reloaded(struct notify *notify);
void notify_stopping(void);

#endif
