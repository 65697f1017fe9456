/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The units of control groups, for relays, which may not open files. Embedded; all zero is a valid start. */
#ifndef PENSTOCK_GATE_HOST_UNIT_NAMES_H
#define PENSTOCK_GATE_HOST_UNIT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cgroup.h"
#include "base/ipc.h"

/* At the most so often: reading the tree takes milliseconds, and relays are not trusted. */
#define UNIT_NAMES_READ_MS 200
/* And the longer it takes, the more seldom: users who may make groups can make many. */
#define UNIT_NAMES_SHARE   20

struct unit_names {
    struct cgroup_map *map; /* NULL: not read yet */
    int64_t read_at, pause_ms;
};

/* Fills *ret_unit. False: it is new, or is none, and the tree was read a moment ago; ask again. */
bool unit_names_find(struct unit_names *names, uint64_t cgroup, struct ipc_unit *ret_unit);
void unit_names_fini(struct unit_names *names);

#endif
