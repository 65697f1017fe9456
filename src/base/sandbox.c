/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The leak checker of a sanitizer build traces its own process. */
#if defined(PENSTOCK_SANITIZERS)
#define SANITIZERS 1
#else
#define SANITIZERS 0
#endif

/* ---- identity and capabilities ---- */

/* Not dumpable: no core with keys in it, and no other process of the same user may look inside. Every change of
 * credentials sets this anew, so it comes after them. */
static int hide_memory(void)
{
    return prctl(PR_SET_DUMPABLE, SANITIZERS, 0, 0, 0) < 0 ? -errno : 0;
}

static bool may_drop_bounding(void)
{
    return capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
}

static bool capabilities_are(uint32_t wanted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[0].permitted == wanted && data[0].effective == wanted && data[1].permitted == 0 &&
           data[1].effective == 0;
}

/* capng_update() has been told what to keep. Ambient and inheritable sets end up empty; the inheritable one stays where
 * the service manager forbids capset() after it has prepared the rest: it counts for files with capabilities alone, and
 * under no_new_privs not even there. */
static int apply_capabilities(bool bounding, uint32_t wanted)
{
    if (bounding && capng_apply(CAPNG_SELECT_BOUNDS) < 0)
        return -EPERM;
    if (capng_apply(CAPNG_SELECT_CAPS) < 0 && !capabilities_are(wanted))
        return -EPERM;
    /* Not left to the kernel's rule that ambient follows inheritable: a child must not get it by exec. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int become_user(const char *user, uid_t *ret_uid)
{
    const struct passwd *entry;
    bool bounding = may_drop_bounding();
    int result;
    if (!user)
        return -EINVAL;
    entry = getpwnam(user);
    if (!entry)
        return -ENOENT;
    /* Its own connections to the proxies are exempt from the rules by uid: for root, those of all its programs. */
    if (entry->pw_uid == 0)
        return -EINVAL;
    *ret_uid = entry->pw_uid;
    capng_clear(CAPNG_SELECT_BOTH);
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
    result = capng_change_id((int)entry->pw_uid, (int)entry->pw_gid,
                             CAPNG_INIT_SUPP_GRP | (bounding ? CAPNG_CLEAR_BOUNDING : 0));
    return result < 0 ? -EPERM : apply_capabilities(false, UINT32_C(1) << CAP_NET_ADMIN);
}

static int stay_user(const char *user, uid_t *ret_uid)
{
    const struct passwd *entry = user ? getpwnam(user) : NULL;
    bool bounding = may_drop_bounding();
    if (user && !entry)
        return -ENOENT;
    if (user && entry->pw_uid != geteuid())
        return -EPERM;
    *ret_uid = geteuid();
    capng_clear(CAPNG_SELECT_BOTH);
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
    return apply_capabilities(bounding, UINT32_C(1) << CAP_NET_ADMIN);
}

int sandbox_become_gate(const char *user, uid_t *ret_uid)
{
    uid_t uid;
    int result;
    if (capng_get_caps_process() < 0 || capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN) == 0)
        return -EPERM;
    result = geteuid() == 0 ? become_user(user, &uid) : stay_user(user, &uid);
    if (result == 0)
        result = hide_memory();
    if (result == 0)
        *ret_uid = uid;
    return result;
}

int sandbox_drop_all(void)
{
    const struct rlimit none = {0, 0};
    int result;
    bool bounding;
    if (capng_get_caps_process() < 0)
        return -EPERM;
    bounding = may_drop_bounding();
    capng_clear(CAPNG_SELECT_BOTH);
    result = apply_capabilities(bounding, 0);
    if (result < 0)
        return result;
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -errno;
    return hide_memory();
}

unsigned sandbox_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
            return 0;
    }
    return limit.rlim_cur < UINT32_MAX ? (unsigned)limit.rlim_cur : UINT32_MAX;
}
