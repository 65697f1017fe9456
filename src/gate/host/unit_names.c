/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/unit_names.h"

#include "base/clock.h"

static void read_tree(struct unit_names *names)
{
    const char *root = cgroup_root();
    int64_t now = clock_ms();
    if (!root || (names->read_at > 0 && now - names->read_at < UNIT_NAMES_READ_MS))
        return;
    cgroup_map_free(names->map);
    names->map = cgroup_map_read(root);
    names->read_at = now;
}

const char *unit_names_find(struct unit_names *names, uint64_t cgroup)
{
    const char *unit = names->map ? cgroup_map_unit(names->map, cgroup) : NULL;
    if (!unit) {
        read_tree(names);
        unit = names->map ? cgroup_map_unit(names->map, cgroup) : NULL;
    }
    return unit ? unit : "";
}

void unit_names_fini(struct unit_names *names)
{
    cgroup_map_free(names->map);
    *names = (struct unit_names){0};
}
