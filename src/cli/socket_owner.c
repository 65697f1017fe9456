/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/socket_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_WAIT_S 2

/* ---- the kernel: whose socket ---- */

static void put_address(const struct addr *addr, __be32 *ret_words, __be16 *ret_port)
{
    *ret_port = htons(addr_port(addr));
    if (addr->sa.sa_family == AF_INET6)
        memcpy(ret_words, &addr->in6.sin6_addr, sizeof addr->in6.sin6_addr);
    else
        memcpy(ret_words, &addr->in4.sin_addr, sizeof addr->in4.sin_addr);
}

static int open_diag(void)
{
    struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int ask(int fd, uint32_t sequence, const struct socket_owner *who)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 request;
    } message = {
        .header = {.nlmsg_len = sizeof message,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = sequence},
        .request = {.sdiag_family = (uint8_t)who->local.sa.sa_family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = UINT32_MAX,
                    .id = {.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    put_address(&who->local, message.request.id.idiag_src, &message.request.id.idiag_sport);
    put_address(&who->peer, message.request.id.idiag_dst, &message.request.id.idiag_dport);
    if (sendto(fd, &message, sizeof message, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0)
        return -errno;
    return 0;
}

/* A closed connection makes the kernel look for a listener instead: only the port asked for is an answer. */
static void take(const struct nlmsghdr *header, struct socket_owner *who)
{
    const struct inet_diag_msg *found = NLMSG_DATA(header);
    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof *found) ||
        found->id.idiag_dport != htons(addr_port(&who->peer)) || found->idiag_inode == 0)
        return;
    who->found = true;
    who->uid = found->idiag_uid;
    who->inode = found->idiag_inode;
}

static int receive(int fd, uint32_t sequence, struct socket_owner *who)
{
    union {
        struct nlmsghdr header;
        char bytes[8192];
    } answer;

    for (;;) {
        ssize_t n = recv(fd, &answer, sizeof answer, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (!NLMSG_OK(&answer.header, (size_t)n) || answer.header.nlmsg_seq != sequence)
            continue;
        take(&answer.header, who); /* or an error: there is no such socket (here) */
        return 0;
    }
}

static int ask_kernel(struct socket_owner *whos, size_t n)
{
    int fd = open_diag();
    int error = fd < 0 ? fd : 0;
    for (size_t i = 0; i < n && error == 0; i++) {
        if (whos[i].local.sa.sa_family != whos[i].peer.sa.sa_family ||
            (whos[i].local.sa.sa_family != AF_INET && whos[i].local.sa.sa_family != AF_INET6))
            continue;
        error = ask(fd, (uint32_t)i + 1, &whos[i]);
        if (error == 0)
            error = receive(fd, (uint32_t)i + 1, &whos[i]);
    }
    if (fd >= 0)
        close(fd);
    return error;
}

/* ---- /proc: which process, which unit ---- */

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

static bool names_unit(const char *component, size_t length)
{
    static const char *const endings[] = {".service", ".scope", ".slice"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);

        if (length > ending && memcmp(component + length - ending, endings[i], ending) == 0)
            return true;
    }
    return false;
}

static bool last_unit(const char *path, size_t length, char *ret_unit, size_t size)
{
    while (length > 0) {
        size_t start = length;
        while (start > 0 && path[start - 1] != '/')
            start--;
        if (names_unit(path + start, length - start)) {
            snprintf(ret_unit, size, "%.*s", (int)(length - start), path + start);
            return true;
        }
        length = start > 0 ? start - 1 : 0;
    }
    return false;
}

/* Lines are ID:CONTROLLERS:PATH; systemd's are "0::" (unified) and "…:name=systemd:", others repeat them. */
bool socket_owner_unit(const char *cgroups, char *ret_unit, size_t size)
{
    while (*cgroups) {
        size_t length = strcspn(cgroups, "\n");
        const char *path = memchr(cgroups, '/', length);
        if (path && last_unit(path, length - (size_t)(path - cgroups), ret_unit, size))
            return true;
        cgroups += length + (cgroups[length] == '\n');
    }
    return false;
}

static void describe(int dir, pid_t pid, struct socket_owner *who)
{
    char cgroups[4096];
    who->pid = pid;
    if (read_small(dir, "comm", who->process, sizeof who->process))
        who->process[strcspn(who->process, "\n")] = '\0';
    if (read_small(dir, "cgroup", cgroups, sizeof cgroups))
        socket_owner_unit(cgroups, who->unit, sizeof who->unit);
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
