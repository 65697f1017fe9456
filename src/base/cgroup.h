/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service manager's units by the ids of their control groups, as the kernel names them for a socket (sockdiag.h).
 * A picture of one moment: a unit that is restarted gets another id. */
#ifndef PENSTOCK_BASE_CGROUP_H
#define PENSTOCK_BASE_CGROUP_H

#include <stdint.h>

struct cgroup_map;

/* Where version 2 is mounted: /sys/fs/cgroup, or its directory unified beside version 1. NULL: nowhere. */
const char *cgroup_root(void);

/* Reads the tree below root, at most 65536 groups, which takes some milliseconds; not after the sandbox, as it opens
 * files. NULL: errno tells. */
struct cgroup_map *cgroup_map_read(const char *root);
void cgroup_map_free(struct cgroup_map *map); /* takes NULL */

/* The innermost service, scope or slice that the group is in or is; NULL: none, or an id that was not there. Lives as
 * long as the map. */
const char *cgroup_map_unit(const struct cgroup_map *map, uint64_t id);

/* The one of the system's own service manager: the first that is no slice, seen from the root, or where there is none
 * the last slice. Below it, whoever the group is delegated to may make groups of any name. NULL: none, or something
 * else than slices stands around it. */
const char *cgroup_map_system_unit(const struct cgroup_map *map, uint64_t id);

#endif
