/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/units.h"

#include <stdio.h>

/* NONE: not there. */
#define NONE UNITS_MAX

static unsigned find(const struct units *units, uint64_t cgroup)
{
    unsigned i = 0;
    while (i < UNITS_MAX && units->entries[i].cgroup != cgroup)
        i++;
    return i;
}

static unsigned add(struct units *units, uint64_t cgroup)
{
    unsigned i = units->next;
    units->next = (i + 1) % UNITS_MAX;
    units->entries[i].cgroup = cgroup;
    units->entries[i].asked_at = 0.;
    units->entries[i].unit[0] = '\0';
    return i;
}

const char *units_find(struct units *units, uint64_t cgroup, double now)
{
    if (cgroup == 0 || !units->ask_cb)
        return NULL;
    unsigned i = find(units, cgroup);
    if (i == NONE)
        i = add(units, cgroup);
    if (units->entries[i].unit[0])
        return units->entries[i].unit;
    if (units->entries[i].asked_at <= 0. || now - units->entries[i].asked_at >= UNITS_AGAIN_S) {
        units->entries[i].asked_at = now;
        units->ask_cb(cgroup, units->data);
    }
    return NULL;
}

void units_take(struct units *units, const struct ipc_unit *answer)
{
    unsigned i = answer->cgroup ? find(units, answer->cgroup) : NONE;
    if (i != NONE)
        snprintf(units->entries[i].unit, sizeof units->entries[i].unit, "%s", answer->unit);
}
