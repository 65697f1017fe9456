/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files that [SecureChannel] names (CA certificates, certificate, private key), as they were when they were read:
 * their bytes, or why there are none. Who may read them does, and hands them over with the configuration; who needs
 * them opens nothing. */
#ifndef PENSTOCK_MODEL_CONF_FILES_H
#define PENSTOCK_MODEL_CONF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "model/conf/conf.h"

#define CONF_FILE_MAX  (4 << 20)  /* bytes of one; a larger one is -EFBIG */
#define CONF_FILES_MAX (64 << 20) /* bytes of all; those that come then are -EFBIG, too */

struct conf_files;

struct conf_file {
    const char *path;
    int error; /* 0, or the -errno of reading it; -EISDIR: its files follow */
    const unsigned char *data;
    size_t size; /* a NUL stands behind them */
};

/* Where distributions keep the public CAs: bundles, of which one will do, and a directory. NULL ends the list. */
extern const char *const conf_system_bundles[];
extern const char conf_system_directory[];

/* Reads what conf names and writes it to stream, whose error indicator tells of failure. */
void conf_files_write(const struct conf *conf, FILE *stream);
/* What conf_files_write() wrote; bytes (of malloc) are taken over, and wiped in the end. NULL: memory, or something
 * else. */
struct conf_files *conf_files_parse(unsigned char *bytes, size_t size);
/* Both at once, for who needs no other process. NULL: out of memory. */
struct conf_files *conf_files_load(const struct conf *conf);
void conf_files_free(struct conf_files *files); /* takes NULL */

/* NULL: it was not read. */
const struct conf_file *conf_files_find(const struct conf_files *files, const char *path);
/* The files of a directory, from *at = 0 on; NULL: no more. */
const struct conf_file *conf_files_in(const struct conf_files *files, const char *directory, size_t *at);
/* Who read them, for messages about permissions. */
uid_t conf_files_reader(const struct conf_files *files);

#endif
