/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/socket_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/sockdiag.h"

/* ---- the kernel: whose socket ---- */

static int ask_kernel(struct socket_owner *whos, size_t n)
{
    const char *root = cgroup_root();
    struct cgroup_map *units = root ? cgroup_map_read(root) : NULL;
    int fd = sockdiag_open();
    struct sockdiag_socket socket;
    for (size_t i = 0; i < n; i++) {
        /* One that nobody has open any more has no owner. */
        if (!sockdiag_ask(fd, &whos[i].local, &whos[i].peer, &socket) || socket.inode == 0)
            continue;
        whos[i].found = true;
        whos[i].uid = socket.uid;
        whos[i].inode = socket.inode;
        const char *unit = units ? cgroup_map_unit(units, socket.cgroup) : NULL;
        snprintf(whos[i].unit, sizeof whos[i].unit, "%s", unit ? unit : "");
    }
    cgroup_map_free(units);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* ---- /proc: which process ---- */

static bool read_small(int dir, const char *name, char *buf, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    buf[n] = '\0';
    return true;
}

static void describe(int dir, pid_t pid, struct socket_owner *who)
{
    who->pid = pid;
    if (read_small(dir, "comm", who->process, sizeof who->process))
        who->process[strcspn(who->process, "\n")] = '\0';
}

static int by_inode(const void *a, const void *b)
{
    const struct socket_owner *const *first = a, *const *second = b;
    return (*first)->inode < (*second)->inode ? -1 : (*first)->inode > (*second)->inode;
}

static void scan_process(int proc, const char *name, struct socket_owner **wanted, size_t n)
{
    char path[300], target[64];
    struct dirent *entry;
    DIR *fds;
    int dir;
    snprintf(path, sizeof path, "%s/fd", name);
    dir = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds = dir < 0 ? NULL : fdopendir(dir);
    if (!fds) {
        if (dir >= 0)
            close(dir);
        return;
    }
    while ((entry = readdir(fds))) {
        ssize_t length = readlinkat(dir, entry->d_name, target, sizeof target - 1);
        struct socket_owner key = {.inode = 0}, *key_p = &key, **hit;

        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%" SCNu32 "]", &key.inode) != 1)
            continue;
        hit = bsearch(&key_p, wanted, n, sizeof *wanted, by_inode);
        if (hit && (*hit)->pid == 0) {
            int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

            if (process >= 0) {
                describe(process, (pid_t)atol(name), *hit);
                close(process);
            }
        }
    }
    closedir(fds);
}

static void scan_proc(struct socket_owner **wanted, size_t n)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    if (!proc)
        return;
    while ((entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]))
            scan_process(dirfd(proc), entry->d_name, wanted, n);
    closedir(proc);
}

int socket_owner_find(struct socket_owner *whos, size_t n)
{
    struct socket_owner **wanted = calloc(n > 0 ? n : 1, sizeof(struct socket_owner *));
    size_t n_wanted = 0;
    int error;
    if (!wanted)
        return -ENOMEM;
    error = ask_kernel(whos, n);
    for (size_t i = 0; i < n; i++)
        if (whos[i].found)
            wanted[n_wanted++] = &whos[i];
    qsort(wanted, n_wanted, sizeof *wanted, by_inode);
    if (n_wanted > 0)
        scan_proc(wanted, n_wanted);
    free(wanted);
    return error;
}
