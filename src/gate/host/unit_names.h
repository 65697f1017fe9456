/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The units of control groups, for relays, which may not open files. Embedded; all zero is a valid start. */
#ifndef PENSTOCK_GATE_HOST_UNIT_NAMES_H
#define PENSTOCK_GATE_HOST_UNIT_NAMES_H

#include <stdint.h>

#include "base/cgroup.h"

#define UNIT_NAMES_READ_MS                                                                                             \
    1000 /* at the most so often: reading the tree takes milliseconds, and relays are not trusted */

struct unit_names {
    struct cgroup_map *map; /* NULL: not read yet */
    int64_t read_at;
};

/* The unit; "" for none, for an unknown id, and for a new one soon after the tree was read. */
const char *unit_names_find(struct unit_names *names, uint64_t cgroup);
void unit_names_fini(struct unit_names *names);

#endif
