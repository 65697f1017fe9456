/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To be preloaded (LD_PRELOAD): the kernel refuses expressions of nf_tables as if their modules were missing, for it
 * gets names that it does not know, and says so itself. The file in REFUSED_EXPRESSIONS has the names, a word each; it
 * may change, or go, at any time. The word nf_tables means all of it: a subsystem that the kernel does not know; and
 * nfnetlink not even a socket for it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct mnl_socket;
typedef ssize_t send_fn(const struct mnl_socket *, const void *, size_t);

typedef struct mnl_socket *open_fn(int, int);

ssize_t mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t size);
struct mnl_socket *mnl_socket_open2(int bus, int flags);

#define SUBSYSTEM_NF_TABLES 10
#define SUBSYSTEM_NONE      0x7f

static FILE *open_words(void)
{
    const char *path = getenv("REFUSED_EXPRESSIONS");
    return path ? fopen(path, "re") : NULL;
}

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
    open_fn *real = (open_fn *)dlsym(RTLD_NEXT, "mnl_socket_open2");
    FILE *file = bus == NETLINK_NETFILTER ? open_words() : NULL;
    char name[32];
    bool refused = false;
    while (file && fscanf(file, "%31s", name) == 1)
        refused |= strcmp(name, "nfnetlink") == 0;
    if (file)
        fclose(file);
    if (!refused)
        return real(bus, flags);
    errno = EPROTONOSUPPORT;
    return NULL;
}

/* A request, or the first message of a batch, whose own type is none of a subsystem. */
static void spoil_subsystem(char *bytes, size_t size)
{
    struct nlmsghdr *header = (struct nlmsghdr *)(void *)bytes;
    if (size >= sizeof *header && header->nlmsg_type >> 8 == SUBSYSTEM_NF_TABLES)
        header->nlmsg_type = (unsigned short)(SUBSYSTEM_NONE << 8 | (header->nlmsg_type & 0xff));
    else if (size >= sizeof *header + 4)
        bytes[sizeof *header + 3] = SUBSYSTEM_NONE;
}

/* An attribute NFTA_EXPR_NAME: its length, 1, the name with its end. */
static void spoil(char *bytes, size_t size, const char *name)
{
    char attribute[64] = {(char)(4 + strlen(name) + 1), 0, 1, 0};
    size_t length = 4 + strlen(name) + 1;
    memcpy(attribute + 4, name, strlen(name) + 1);
    for (size_t at = 0; at + length <= size; at += 4)
        if (memcmp(bytes + at, attribute, length) == 0)
            bytes[at + 4] = 'X';
}

ssize_t mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t size)
{
    send_fn *real = (send_fn *)dlsym(RTLD_NEXT, "mnl_socket_sendto");
    FILE *file = open_words();
    char *bytes = malloc(size), name[32];
    ssize_t sent;
    memcpy(bytes, data, size);
    while (file && fscanf(file, "%31s", name) == 1) {
        spoil(bytes, size, name);
        if (strcmp(name, "nf_tables") == 0)
            spoil_subsystem(bytes, size);
    }
    if (file)
        fclose(file);
    sent = real(socket, bytes, size);
    free(bytes);
    return sent;
}
