/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that looks up names of users: without any privilege, but with the host's NSS modules in it, which is why
 * it has no filter of system calls, lives for one question and is believed nothing but what it was asked for. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/members.h"
#include "base/sandbox.h"
#include "gate/host/users.h"
#include "gate/host/users_wire.h"

/* The gate waits for an answer, not for its delivery. */
static bool say(const char *name, uint32_t uid, bool failed)
{
    struct users_answer answer = {.uid = uid, .failed = failed};
    strcpy(answer.name, name);
    return send(IPC_FD, &answer, sizeof answer, MSG_NOSIGNAL) == (ssize_t)sizeof answer;
}

static bool say_member(uid_t uid, void *data)
{
    return say(data, uid, false);
}

static bool answer_group(const char *name)
{
    return !members_list(name + 1, say_member, (void *)name) || say(name, CONF_UID_UNKNOWN, false);
}

static bool answer_name(const char *name)
{
    if (name[0] == '@')
        return answer_group(name);
    const struct passwd *user = getpwnam(name);
    return !user || say(name, user->pw_uid, false);
}

/* getpwuid(3) has these for "there is none". Of anything else nobody knows whether there is one. */
static bool is_none(int error)
{
    return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM;
}

static bool answer_uid(uint32_t uid)
{
    errno = 0;
    const struct passwd *user = getpwuid(uid);
    if (!user)
        return say("", uid, !is_none(errno));
    return say(strlen(user->pw_name) < CONF_USER_NAME_SIZE ? user->pw_name : "", uid, false);
}

static bool answer_all(const struct users_question *question)
{
    for (uint32_t i = 0; i < question->n_uids && i < USERS_UIDS_MAX; i++) {
        if (!answer_uid(question->uids[i]))
            return false;
    }
    for (uint32_t i = 0; i < question->n && i < CONF_UNKNOWN_USERS_MAX; i++) {
        if (!answer_name(question->names[i]))
            return false;
    }
    return true;
}

int users_main(void)
{
    struct users_question question = {.n = 0};
    log_init("users", LOG_LEVEL_INFO);
    int r = sandbox_drop_all();
    if (r < 0) {
        log_error("privileges cannot be dropped: %s", strerror(-r));
        return EX_OSERR;
    }
    /* The gate asks as soon as it has started us; here it is waited for. */
    if (fcntl(IPC_FD, F_SETFL, 0) < 0 || recv(IPC_FD, &question, sizeof question, 0) <= 0)
        return EX_IOERR;
    return answer_all(&question) ? EX_OK : EX_IOERR;
}
