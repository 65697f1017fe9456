/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/conf/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY_MAX 4096

const char *const conf_system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                           "/etc/ssl/ca-bundle.pem", NULL};
const char conf_system_directory[] = "/etc/ssl/certs";

/* Both ends are programs of one build on one host: numbers as they are in memory. Behind the header, for each file:
 * entry, path with its NUL, bytes with a NUL. */
struct header {
    uint32_t reader;
};

struct entry {
    int32_t error;
    uint32_t path_size;
    uint64_t size;
};

/* ---- reading and writing ---- */

struct writer {
    FILE *stream;
    size_t size;
};

static void put(struct writer *writer, const char *path, int error, const unsigned char *data, size_t size)
{
    struct entry entry = {.error = error, .path_size = (uint32_t)strlen(path) + 1, .size = size};
    fwrite(&entry, sizeof entry, 1, writer->stream);
    fwrite(path, entry.path_size, 1, writer->stream);
    if (size > 0)
        fwrite(data, size, 1, writer->stream);
    putc('\0', writer->stream);
    writer->size += size;
}

/* As many bytes as there are, up to size; -errno. */
static ssize_t read_all(int fd, unsigned char *data, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(fd, data + length, size - length);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count == 0)
            break;
        length += count > 0 ? (size_t)count : 0;
    }
    return (ssize_t)length;
}

static int put_open_file(struct writer *writer, const char *path, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (st.st_size > CONF_FILE_MAX || writer->size + (size_t)st.st_size > CONF_FILES_MAX)
        return -EFBIG;
    size_t size = (size_t)st.st_size;
    unsigned char *data = malloc(size + 1);
    ssize_t length = data ? read_all(fd, data, size) : -ENOMEM;
    if (length >= 0)
        put(writer, path, 0, data, (size_t)length);
    if (data)
        explicit_bzero(data, size);
    free(data);
    return length < 0 ? (int)length : 0;
}

static int put_file(struct writer *writer, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = fd >= 0 ? put_open_file(writer, path, fd) : -errno;
    if (fd >= 0)
        close(fd);
    if (error < 0)
        put(writer, path, error, NULL, 0);
    return error;
}

static void put_directory(struct writer *writer, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    for (size_t n = 0; dir && n < DIRECTORY_MAX && (entry = readdir(dir)); n++) {
        char file[4096];
        if (entry->d_name[0] != '.' && (size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < sizeof file)
            (void)put_file(writer, file);
    }
    if (dir)
        closedir(dir);
}

static void put_path(struct writer *writer, const char *path)
{
    if (put_file(writer, path) == -EISDIR)
        put_directory(writer, path);
}

static void put_system(struct writer *writer)
{
    for (size_t i = 0; conf_system_bundles[i]; i++) {
        if (put_file(writer, conf_system_bundles[i]) == 0)
            return;
    }
    put_path(writer, conf_system_directory);
}

void conf_files_write(const struct conf *conf, FILE *stream)
{
    struct writer writer = {.stream = stream};
    struct header header = {.reader = geteuid()};
    fwrite(&header, sizeof header, 1, stream);
    if (conf->system_ca)
        put_system(&writer);
    for (size_t i = 0; i < conf->n_ca_paths; i++)
        put_path(&writer, conf->ca_paths[i]);
    if (conf->certificate)
        (void)put_file(&writer, conf->certificate);
    if (conf->private_key)
        (void)put_file(&writer, conf->private_key);
}

/* ---- what was read ---- */

struct conf_files {
    uid_t reader;
    unsigned char *bytes;
    size_t size;
    struct conf_file *files;
    size_t n;
};

/* The file at *at, which moves on. False: there is none. */
static bool parse_one(const struct conf_files *files, size_t *at, struct conf_file *ret_file)
{
    struct entry entry;
    size_t left = files->size - *at;
    if (left < sizeof entry)
        return false;
    memcpy(&entry, files->bytes + *at, sizeof entry);
    left -= sizeof entry;
    if (entry.path_size == 0 || entry.path_size > left || entry.size >= left - entry.path_size)
        return false;
    const unsigned char *path = files->bytes + *at + sizeof entry, *data = path + entry.path_size;
    if (path[entry.path_size - 1] != '\0' || data[entry.size] != '\0')
        return false;
    *ret_file =
        (struct conf_file){.path = (const char *)path, .error = entry.error, .data = data, .size = (size_t)entry.size};
    *at += sizeof entry + entry.path_size + (size_t)entry.size + 1;
    return true;
}

static bool parse_all(struct conf_files *files)
{
    size_t at = sizeof(struct header), room = 0;
    struct header header;
    if (files->size < sizeof header)
        return false;
    memcpy(&header, files->bytes, sizeof header);
    files->reader = header.reader;
    while (at < files->size) {
        if (files->n == room) {
            struct conf_file *more = reallocarray(files->files, room = room * 2 + 8, sizeof *more);
            if (!more)
                return false;
            files->files = more;
        }
        if (!parse_one(files, &at, &files->files[files->n]))
            return false;
        files->n++;
    }
    return true;
}

struct conf_files *conf_files_parse(unsigned char *bytes, size_t size)
{
    struct conf_files *files = calloc(1, sizeof *files);
    if (!files) {
        explicit_bzero(bytes, size);
        free(bytes);
        return NULL;
    }
    files->bytes = bytes;
    files->size = size;
    if (parse_all(files))
        return files;
    conf_files_free(files);
    return NULL;
}

struct conf_files *conf_files_load(const struct conf *conf)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&bytes, &size);
    bool good;
    if (!stream)
        return NULL;
    conf_files_write(conf, stream);
    good = !ferror(stream);
    if (fclose(stream) == 0 && good)
        return conf_files_parse((unsigned char *)bytes, size);
    free(bytes);
    return NULL;
}

void conf_files_free(struct conf_files *files)
{
    if (!files)
        return;
    if (files->bytes)
        explicit_bzero(files->bytes, files->size);
    free(files->bytes);
    free(files->files);
    free(files);
}

const struct conf_file *conf_files_find(const struct conf_files *files, const char *path)
{
    for (size_t i = 0; i < files->n; i++) {
        if (strcmp(files->files[i].path, path) == 0)
            return &files->files[i];
    }
    return NULL;
}

const struct conf_file *conf_files_in(const struct conf_files *files, const char *directory, size_t *at)
{
    size_t length = strlen(directory);
    while (*at < files->n) {
        const struct conf_file *file = &files->files[(*at)++];
        if (strncmp(file->path, directory, length) == 0 && file->path[length] == '/' &&
            !strchr(file->path + length + 1, '/'))
            return file;
    }
    return NULL;
}

uid_t conf_files_reader(const struct conf_files *files)
{
    return files->reader;
}
