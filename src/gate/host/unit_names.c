/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/unit_names.h"

#include <stdio.h>

#include "base/clock.h"

/* False: not now. */
static bool read_tree(struct unit_names *names)
{
    const char *root = cgroup_root();
    int64_t begin = clock_ms();
    if (root && names->read_at > 0 && begin - names->read_at < names->pause_ms)
        return false;
    cgroup_map_free(names->map);
    names->map = root ? cgroup_map_read(root) : NULL;
    names->read_at = clock_ms();
    names->pause_ms = (names->read_at - begin) * UNIT_NAMES_SHARE;
    if (names->pause_ms < UNIT_NAMES_READ_MS)
        names->pause_ms = UNIT_NAMES_READ_MS;
    return true;
}

bool unit_names_find(struct unit_names *names, uint64_t cgroup, struct ipc_unit *ret_unit)
{
    const char *unit = names->map ? cgroup_map_unit(names->map, cgroup) : NULL;
    if (!unit && !read_tree(names))
        return false;
    if (!unit)
        unit = names->map ? cgroup_map_unit(names->map, cgroup) : NULL;
    const char *system_unit = unit ? cgroup_map_system_unit(names->map, cgroup) : NULL;
    *ret_unit = (struct ipc_unit){.cgroup = cgroup};
    snprintf(ret_unit->unit, sizeof ret_unit->unit, "%s", unit ? unit : "");
    snprintf(ret_unit->system_unit, sizeof ret_unit->system_unit, "%s", system_unit ? system_unit : "");
    return true;
}

void unit_names_fini(struct unit_names *names)
{
    cgroup_map_free(names->map);
    *names = (struct unit_names){0};
}
