/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service manager's units of control groups, as far as the gate has told: a relay may not open files. Embedded; all
 * zero knows none. */
#ifndef PENSTOCK_RELAY_UNITS_H
#define PENSTOCK_RELAY_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ipc.h"

#define UNITS_MAX     64
#define UNITS_AGAIN_S 5. /* an answer that did not come, or did not know, may come later */

/* Asks the gate; the answer goes to units_take(). */
typedef void units_ask_cb(uint64_t cgroup, void *data);

struct units {
    struct {
        uint64_t cgroup; /* 0: free */
        double asked_at;
        char unit[IPC_UNIT_MAX]; /* empty: none, or not known (yet) */
    } entries[UNITS_MAX];
    unsigned next;        /* to be overwritten */
    units_ask_cb *ask_cb; /* NULL: nobody can be asked */
    void *data;
};

/* NULL: not known now; then it has been asked for. now: any clock of seconds. */
const char *units_find(struct units *units, uint64_t cgroup, double now);
void units_take(struct units *units, const struct ipc_unit *answer);

#endif
