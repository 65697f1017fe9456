/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A timer of a loop that fires once. */
#ifndef PENSTOCK_BASE_TIMER_H
#define PENSTOCK_BASE_TIMER_H

#include <ev.h>

/* After so many seconds from now (of the loop), whatever was set before; at once when that is past. */
static inline void timer_arm(struct ev_loop *loop, ev_timer *timer, ev_tstamp after)
{
    ev_timer_stop(loop, timer);
    ev_timer_set(timer, after > 0. ? after : 0., 0.);
    ev_timer_start(loop, timer);
}

#endif
