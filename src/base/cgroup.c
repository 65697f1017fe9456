/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define GROUPS_MAX 65536
#define DEPTH_MAX  64
#define NONE       SIZE_MAX

struct group {
    uint64_t id;
    char *unit; /* if its own directory is one's; NULL: then that of parent */
    size_t parent;
};

struct cgroup_map {
    struct group *groups; /* in the order of the walk: a parent stands before its children */
    size_t n, size;
    size_t *by_id;
};

const char *cgroup_root(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct statfs status;
    for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
        if (statfs(roots[i], &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC)
            return roots[i];
    }
    return NULL;
}

static bool names_unit(const char *name)
{
    static const char *const endings[] = {".service", ".scope", ".slice"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Returns its index; NONE: errno tells. */
static size_t add(struct cgroup_map *map, uint64_t id, const char *name, size_t parent)
{
    struct group group = {.id = id, .parent = parent};
    if (map->n == map->size) {
        size_t size = map->size > 0 ? 2 * map->size : 256;
        struct group *groups = reallocarray(map->groups, size, sizeof *groups);
        if (!groups)
            return NONE;
        map->groups = groups;
        map->size = size;
    }
    /* systemd puts '_' before names that would mean something to the kernel. */
    if (names_unit(name) && !(group.unit = strdup(name[0] == '_' ? name + 1 : name)))
        return NONE;
    map->groups[map->n] = group;
    return map->n++;
}

/* Closes fd, a directory's. A group that vanishes meanwhile has no sockets to ask about. */
static bool walk(struct cgroup_map *map, int fd, size_t parent, unsigned depth)
{
    DIR *directory = fdopendir(fd);
    const struct dirent *entry;
    struct stat status;
    bool good = true;
    if (!directory) {
        close(fd);
        return false;
    }
    while (good && map->n < GROUPS_MAX && (entry = readdir(directory))) {
        int child = entry->d_type != DT_DIR || entry->d_name[0] == '.'
                        ? -1
                        : openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0)
            continue;
        if (depth == DEPTH_MAX || fstat(child, &status) < 0) {
            close(child);
            continue;
        }
        size_t index = add(map, status.st_ino, entry->d_name, parent);
        if (index == NONE)
            close(child);
        good = index != NONE && walk(map, child, index, depth + 1);
    }
    closedir(directory);
    return good;
}

static int by_id(const void *a, const void *b, void *data)
{
    const struct group *groups = data;
    const uint64_t first = groups[*(const size_t *)a].id, second = groups[*(const size_t *)b].id;
    return first < second ? -1 : first > second;
}

static bool sort(struct cgroup_map *map)
{
    map->by_id = calloc(map->n + 1, sizeof *map->by_id);
    if (!map->by_id)
        return false;
    for (size_t i = 0; i < map->n; i++)
        map->by_id[i] = i;
    qsort_r(map->by_id, map->n, sizeof *map->by_id, by_id, map->groups);
    return true;
}

struct cgroup_map *cgroup_map_read(const char *root)
{
    struct cgroup_map *map = calloc(1, sizeof *map);
    int fd = map ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0 && walk(map, fd, NONE, 0) && sort(map))
        return map;
    int saved = errno;
    cgroup_map_free(map);
    errno = saved;
    return NULL;
}

void cgroup_map_free(struct cgroup_map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->n; i++)
        free(map->groups[i].unit);
    free(map->groups);
    free(map->by_id);
    free(map);
}

static size_t find(const struct cgroup_map *map, uint64_t id)
{
    size_t low = 0, high = map->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map->groups[map->by_id[middle]].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->n && map->groups[map->by_id[low]].id == id ? map->by_id[low] : NONE;
}

static bool is_slice(const char *unit)
{
    const size_t length = strlen(unit), ending = strlen(".slice");
    return length > ending && strcmp(unit + length - ending, ".slice") == 0;
}

/* From the inside out: each that is no slice takes the place of what was found below it. */
const char *cgroup_map_system_unit(const struct cgroup_map *map, uint64_t id)
{
    const char *unit = NULL;
    bool innermost = true;
    for (size_t i = find(map, id); i != NONE; i = map->groups[i].parent, innermost = false) {
        const char *own = map->groups[i].unit;
        if (innermost || !own || !is_slice(own))
            unit = own;
    }
    return unit;
}

const char *cgroup_map_unit(const struct cgroup_map *map, uint64_t id)
{
    size_t index = find(map, id);
    while (index != NONE && !map->groups[index].unit)
        index = map->groups[index].parent;
    return index != NONE ? map->groups[index].unit : NULL;
}
