/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/notify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/clock.h"

static void watchdog_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    sd_notify(0, "WATCHDOG=1");
}

void notify_init(struct notify *notify, struct ev_loop *loop)
{
    uint64_t us = 0;
    *notify = (struct notify){.loop = loop};
    ev_timer_init(&notify->watchdog, watchdog_cb, 0., 0.);
    if (sd_watchdog_enabled(0, &us) <= 0)
        return;
    ev_timer_set(&notify->watchdog, 0., (double)us / 2e6);
    ev_timer_start(loop, &notify->watchdog);
}

void notify_fini(struct notify *notify)
{
    ev_timer_stop(notify->loop, &notify->watchdog);
}

void notify_ready(struct notify *notify)
{
    if (notify->ready)
        return;
    notify->ready = true;
    sd_notify(0, "READY=1");
}

void notify_status(struct notify *notify, const char *text)
{
    if (strncmp(notify->status, text, sizeof notify->status - 1) == 0)
        return;
    snprintf(notify->status, sizeof notify->status, "%s", text);
    sd_notifyf(0, "STATUS=%s", notify->status);
}

static void tell_reloading(void)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
}

void notify_reload(struct notify *notify, uint64_t number, bool under_way)
{
    if (!notify->ready)
        return;
    if (number != notify->reload) {
        notify->reload = number;
        notify->reloading = true;
        tell_reloading();
    }
    if (under_way || !notify->reloading)
        return;
    notify->reloading = false;
    sd_notify(0, "READY=1");
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}
