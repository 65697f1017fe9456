/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/group.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conf/value.h"

#define SIZE_MIN 16

struct conf_group *conf_group_new(void)
{
    return calloc(1, sizeof(struct conf_group));
}

void conf_group_free(struct conf_group *group)
{
    if (!group)
        return;
    conf_group_free(group->before);
    free(group->uids);
    free(group);
}

const struct conf_group *conf_group_in_force(const struct conf_group *group)
{
    return group->known ? group : group->before;
}

bool conf_group_keep(struct conf_group *group, const struct conf_group *old)
{
    const struct conf_group *list = conf_group_in_force(old);
    struct conf_group *copy = list ? conf_group_new() : NULL;
    conf_group_free(group->before);
    group->before = NULL;
    for (size_t i = 0; copy && i < list->n; i++)
        if (!conf_group_add(copy, list->uids[i])) {
            conf_group_free(copy);
            return false;
        }
    if (copy)
        copy->known = true;
    group->before = copy;
    return copy || !list;
}

void conf_group_complete(struct conf_group *group)
{
    group->known = true;
    conf_group_free(group->before);
    group->before = NULL;
}

bool conf_group_add(struct conf_group *group, uid_t uid)
{
    const size_t size = group->size > 0 ? 2 * group->size : SIZE_MIN;
    uid_t *uids;
    if (group->n == CONF_GROUP_MEMBERS_MAX)
        return false;
    if (group->n == group->size) {
        uids = reallocarray(group->uids, size, sizeof *uids);
        if (!uids)
            return false;
        group->uids = uids;
        group->size = size;
    }
    group->uids[group->n++] = uid;
    return true;
}

void conf_group_clear(struct conf_group *group)
{
    group->n = 0;
    group->known = false;
}

bool conf_group_has(const struct conf_group *group, uid_t uid)
{
    group = conf_group_in_force(group);
    for (size_t i = 0; group && i < group->n; i++)
        if (group->uids[i] == uid)
            return true;
    return false;
}

/* ---- the files ---- */

/* Of static storage, until the next call of fgetgrent(). */
static const struct group *find(FILE *stream, const char *name)
{
    const struct group *entry;
    uint32_t gid;
    bool number = conf_value_number(name, 0, UINT32_MAX - 1, &gid);
    while ((entry = fgetgrent(stream)))
        if (number ? entry->gr_gid == gid : strcmp(entry->gr_name, name) == 0)
            return entry;
    return NULL;
}

static bool is_listed(const struct group *entry, const char *user)
{
    for (char **name = entry->gr_mem; *name; name++)
        if (strcmp(*name, user) == 0)
            return true;
    return false;
}

/* False: not all who are listed are there. */
static bool add_members(struct conf_group *group, const struct group *entry, FILE *passwd)
{
    const struct passwd *user;
    size_t listed = 0, found = 0;
    for (char **name = entry->gr_mem; *name; name++)
        listed++;
    while ((user = fgetpwent(passwd))) {
        const bool named = is_listed(entry, user->pw_name);
        if ((named || user->pw_gid == entry->gr_gid) && !conf_group_add(group, user->pw_uid))
            return false;
        found += named;
    }
    return found >= listed;
}

void conf_group_read(struct conf_group *group, const char *name)
{
    FILE *groups = fopen("/etc/group", "re"), *passwd = fopen("/etc/passwd", "re");
    const struct group *entry = groups ? find(groups, name) : NULL;
    conf_group_clear(group);
    group->known = entry && passwd && add_members(group, entry, passwd);
    if (groups)
        fclose(groups);
    if (passwd)
        fclose(passwd);
}
