/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that looks up names of users: without any privilege, but with the host's NSS modules in it, which is why
 * it has no filter of system calls, lives for one question and is believed nothing but numbers. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "gate/host/users.h"
#include "gate/host/users_wire.h"

/* The gate waits for an answer, not for its delivery. */
static bool answer(const char *name)
{
    const struct passwd *user = getpwnam(name);
    struct users_answer answer = {.uid = user ? user->pw_uid : CONF_UID_UNKNOWN};
    if (!user)
        return true;
    strcpy(answer.name, name);
    return send(IPC_FD, &answer, sizeof answer, MSG_NOSIGNAL) == (ssize_t)sizeof answer;
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
    for (uint32_t i = 0; i < question.n && i < CONF_UNKNOWN_USERS_MAX; i++) {
        if (!answer(question.names[i]))
            return EX_IOERR;
    }
    return EX_OK;
}
