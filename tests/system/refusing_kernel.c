/* SPDX-License-Identifier: GPL-2.0-or-later */
/* To be preloaded (LD_PRELOAD): the kernel refuses expressions of nf_tables as if their modules were missing, for it
 * gets names that it does not know, and says so itself. The file in REFUSED_EXPRESSIONS has the names, a word each; it
 * may change, or go, at any time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct mnl_socket;
typedef ssize_t send_fn(const struct mnl_socket *, const void *, size_t);

ssize_t mnl_socket_sendto(const struct mnl_socket *socket, const void *data, size_t size);

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
    const char *path = getenv("REFUSED_EXPRESSIONS");
    FILE *file = path ? fopen(path, "re") : NULL;
    char *bytes = malloc(size), name[32];
    ssize_t sent;
    memcpy(bytes, data, size);
    while (file && fscanf(file, "%31s", name) == 1)
        spoil(bytes, size, name);
    if (file)
        fclose(file);
    sent = real(socket, bytes, size);
    free(bytes);
    return sent;
}
