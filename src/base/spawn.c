/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/spawn.h"

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

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"

#define FDS_FREE 10 /* from here on: no fixed number of ipc.h */

/* Above the fixed numbers of a child. */
static int open_program(const char *path)
{
    int low = open(path, O_PATH | O_CLOEXEC);
    int fd = low >= 0 ? fcntl(low, F_DUPFD_CLOEXEC, FDS_FREE) : -1;
    if (low >= 0)
        close(low);
    return fd;
}

int spawn_open_worker(char ret_path[static PATH_MAX])
{
    static const char name[] = "penstock-worker";
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - sizeof name);
    int fd = -1;
    if (length > 0) {
        own[length] = '\0';
        strcpy(strrchr(own, '/') + 1, name);
        fd = open_program(own);
    }
    if (fd < 0)
        fd = open_program(WORKER_DIR "/penstock-worker");
    if (fd < 0) {
        int error = errno;
        snprintf(ret_path, PATH_MAX, "%s/%s", WORKER_DIR, name);
        return -error;
    }
    snprintf(ret_path, PATH_MAX, "/proc/self/fd/%d", fd);
    return fd;
}

/* A handler of the gate that ran between fork and exec would act on what both processes share. */
static void forget_handlers(void)
{
    struct sigaction action;
    for (int number = 1; number < NSIG; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            signal(number, SIG_DFL);
    }
}

/* Closes all others, but not before exec: program may be the path of one of them. */
static void move_descriptors(int ipc_fd, const int fds[static SPAWN_FDS])
{
    int moved[SPAWN_FDS], ipc = fcntl(ipc_fd, F_DUPFD, FDS_FREE);
    /* Above the fixed numbers first, so that moving one cannot overwrite another. */
    for (int i = 0; i < SPAWN_FDS; i++)
        moved[i] = fds[i] >= 0 ? fcntl(fds[i], F_DUPFD, FDS_FREE) : -1;
    if (ipc < 0 || dup2(ipc, IPC_FD) < 0)
        _exit(1);
    for (int i = 0; i < SPAWN_FDS; i++) {
        if (fds[i] < 0)
            close(IPC_STATS_FD + i);
        else if (moved[i] < 0 || dup2(moved[i], IPC_STATS_FD + i) < 0)
            _exit(1);
    }
    close_range(IPC_STATS_FD + SPAWN_FDS, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* In the forked process, which has one thread; all signals are blocked until the handlers are gone. */
static void __attribute__((noreturn))
become_child(const char *program, const char *role, int ipc_fd, const int fds[static SPAWN_FDS])
{
    char argument[32];
    sigset_t none;
    move_descriptors(ipc_fd, fds);
    forget_handlers();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* The service manager listens to the gate alone. */
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    snprintf(argument, sizeof argument, "--child=%s", role);
    execl(program, "penstock-worker", argument, "--for=" PACKAGE_VERSION, (char *)NULL);
    log_error("penstock-worker cannot be run: %s", strerror(errno));
    _exit(1);
}

int spawn_child(const char *program, const char *role, const int fds[static SPAWN_FDS], pid_t *ret_pid, int *ret_fd)
{
    int pair[2];
    int r = ipc_pair(pair);
    sigset_t all, before;
    pid_t pid;
    if (r < 0)
        return r;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0)
        become_child(program, role, pair[1], fds);
    r = pid < 0 ? -errno : 0;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(pair[1]);
    if (r < 0) {
        close(pair[0]);
        return r;
    }
    *ret_pid = pid;
    *ret_fd = pair[0];
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

void spawn_reap(pid_t pid, int64_t deadline)
{
    struct pollfd ended = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    int64_t left = deadline - clock_ms();
    if (ended.fd < 0 || left <= 0 || poll(&ended, 1, (int)left) != 1)
        kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (ended.fd >= 0)
        close(ended.fd);
}
