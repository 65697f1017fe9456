/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the service manager is told (sd_notify): readiness, the verdict, reload, stop, and that the loop still turns.
 * Without a manager all of it does nothing. Embedded. */
#ifndef PENSTOCK_GATE_HOST_NOTIFY_H
#define PENSTOCK_GATE_HOST_NOTIFY_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_STATUS_MAX 640

struct notify {
    struct ev_loop *loop;
    ev_timer watchdog;
    bool ready;
    uint64_t reload; /* the last one that was told of */
    bool reloading;
    char status[NOTIFY_STATUS_MAX];
};

void notify_init(struct notify *notify, struct ev_loop *loop);
void notify_fini(struct notify *notify);
void notify_ready(struct notify *notify);                    /* the first time only */
void notify_status(struct notify *notify, const char *text); /* when it is another one than before */
/* The reload of that number (from 1 on) has begun, and is under way or over. Nothing before the first readiness: a
 * start that is not over cannot be interrupted by a reload. */
void notify_reload(struct notify *notify, uint64_t number, bool under_way);
void notify_stopping(void);

#endif
