/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The members of a group that a list of users names: those that the group's line has, and those whose own group it is.
 * Rules know users alone. */
#ifndef PENSTOCK_MODEL_CONF_GROUP_H
#define PENSTOCK_MODEL_CONF_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CONF_GROUP_MEMBERS_MAX 65536

struct conf_group {
    bool known; /* the list is whole; before that it matches nobody */
    uid_t *uids;
    size_t n, size;
    struct conf_group *before; /* the whole list of an earlier lookup, which counts until this one is; NULL: none */
};

/* NULL: out of memory. */
struct conf_group *conf_group_new(void);
void conf_group_free(struct conf_group *group); /* takes NULL */

/* False: there is no room, or no memory. */
bool conf_group_add(struct conf_group *group, uid_t uid);
/* Takes the list that counts in old as the one before. False: out of memory, and nobody is in the group until it is
 * known. */
bool conf_group_keep(struct conf_group *group, const struct conf_group *old);
/* The list is whole. */
void conf_group_complete(struct conf_group *group);
/* The list that counts; NULL: none does. */
const struct conf_group *conf_group_in_force(const struct conf_group *group);
/* Nobody, and not known. */
void conf_group_clear(struct conf_group *group);
bool conf_group_has(const struct conf_group *group, uid_t uid);

/* From /etc/group and /etc/passwd alone, by name or number; known afterwards, unless the group or one of its members is
 * not there. */
void conf_group_read(struct conf_group *group, const char *name);

#endif
