/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/members.h"

#include <grp.h>
#include <pwd.h>
#include <stdint.h>

#include "model/conf/value.h"

static const struct group *find(const char *name)
{
    uint32_t gid;
    return conf_value_number(name, 0, UINT32_MAX - 1, &gid) ? getgrgid(gid) : getgrnam(name);
}

static bool list_named(const struct group *group, members_cb *cb, void *data)
{
    for (char **name = group->gr_mem; *name; name++) {
        const struct passwd *user = getpwnam(*name);
        if (!user || !cb(user->pw_uid, data))
            return false;
    }
    return true;
}

/* Those whose own group it is, as far as the host's sources list their users. */
static bool list_own(gid_t gid, members_cb *cb, void *data)
{
    const struct passwd *user;
    bool more = true;
    setpwent();
    while (more && (user = getpwent()))
        more = user->pw_gid != gid || cb(user->pw_uid, data);
    endpwent();
    return more;
}

bool members_list(const char *name, members_cb *cb, void *data)
{
    const struct group *group = find(name);
    return group && list_named(group, cb, data) && list_own(group->gr_gid, cb, data);
}
