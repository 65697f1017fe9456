/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/children/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/ipc.h"
#include "base/log.h"

/* A handler of the gate that ran between fork and exec would act on what both processes share. */
static void forget_handlers(void)
{
    struct sigaction action;
    for (int number = 1; number < NSIG; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            signal(number, SIG_DFL);
    }
}

/* In the forked process, which has one thread; all signals are blocked until the handlers are gone. */
static void __attribute__((noreturn)) become_child(const char *program, const char *role, int ipc_fd, int stats_fd)
{
    char argument[32];
    /* Above the fixed numbers, so that moving one cannot overwrite the other. */
    int ipc = fcntl(ipc_fd, F_DUPFD, 10);
    int stats = stats_fd >= 0 ? fcntl(stats_fd, F_DUPFD, 10) : -1;
    sigset_t none;
    if (ipc < 0 || dup2(ipc, IPC_FD) < 0 || (stats >= 0 && dup2(stats, IPC_STATS_FD) < 0))
        _exit(1);
    close_range(stats >= 0 ? IPC_STATS_FD + 1 : IPC_FD + 1, ~0U, 0);
    forget_handlers();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* The service manager listens to the gate alone. */
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    snprintf(argument, sizeof argument, "--child=%s", role);
    execl(program, "penstockd", argument, (char *)NULL);
    _exit(1);
}

int spawn_child(const char *program, const char *role, int stats_fd, pid_t *ret_pid, int *ret_fd)
{
    int fds[2];
    int r = ipc_pair(fds);
    sigset_t all, before;
    pid_t pid;
    if (r < 0)
        return r;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0)
        become_child(program, role, fds[1], stats_fd);
    r = pid < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fds[1]);
    if (r < 0) {
        close(fds[0]);
        return r;
    }
    *ret_pid = pid;
    *ret_fd = fds[0];
    return 0;
}

void spawn_log_end(const char *name, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        log_error("%s (pid %d) was ended by signal %d (%s)", name, (int)pid, WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
    else
        log_error("%s (pid %d) ended with status %d", name, (int)pid, WEXITSTATUS(status));
}

int64_t spawn_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void spawn_reap(pid_t pid, int64_t deadline)
{
    struct pollfd ended = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    int64_t left = deadline - spawn_now_ms();
    if (ended.fd < 0 || left <= 0 || poll(&ended, 1, (int)left) != 1)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (ended.fd >= 0)
        close(ended.fd);
}
