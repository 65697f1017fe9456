/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/conf/files.h"

/* ---- in ---- */

static void write_string(const char *string, FILE *stream)
{
    fwrite(string, 1, strlen(string) + 1, stream);
}

/* What a worker cannot ask the host itself. */
static void write_host(FILE *stream)
{
    char name[CONF_HOST_NAME_SIZE] = "", id[CONF_MACHINE_ID_SIZE] = "";
    FILE *file = fopen("/etc/machine-id", "re");
    if (gethostname(name, sizeof name) < 0)
        name[0] = '\0';
    name[sizeof name - 1] = '\0';
    if (!file || !fgets(id, sizeof id, file) || strspn(id, "0123456789abcdef") != sizeof id - 1)
        id[0] = '\0';
    if (file)
        fclose(file);
    write_string(name, stream);
    write_string(id, stream);
}

/* Each text ends with a NUL. 0 or -errno. */
static int write_all(const struct conf *conf, int fd)
{
    char buffer[8192];
    FILE *stream;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bool good;
    if (copy < 0)
        return -errno;
    stream = fdopen(copy, "w");
    if (!stream) {
        close(copy);
        return -ENOMEM;
    }
    setvbuf(stream, buffer, _IOFBF, sizeof buffer);
    conf_print(conf, stream);
    putc('\0', stream);
    write_host(stream);
    if (conf->secure)
        conf_files_write(conf, stream);
    good = !ferror(stream);
    good = fclose(stream) == 0 && good;
    explicit_bzero(buffer, sizeof buffer); /* the private key went through it */
    return good ? 0 : -ENOMEM;
}

int handover_write(const struct conf *conf, int *ret_fd)
{
    int fd = memfd_create("penstock-conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result;
    if (fd < 0)
        return -errno;
    result = write_all(conf, fd);
    if (result == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        result = -errno;
    if (result < 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}

/* ---- out ---- */

/* All bytes of the file, of malloc. */
static unsigned char *read_all(int fd, size_t *ret_size)
{
    struct stat st;
    unsigned char *bytes;
    size_t size, length = 0;
    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        return NULL;
    size = (size_t)st.st_size;
    bytes = malloc(size);
    while (bytes && length < size) {
        ssize_t count = pread(fd, bytes + length, size - length, (off_t)length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            free(bytes);
            return NULL;
        }
        length += (size_t)count;
    }
    *ret_size = size;
    return bytes;
}

/* The first mistake; who wrote it has found all of them before. */
static void first_error_cb(const char *text, void *data)
{
    char *error = data;
    if (!error[0])
        snprintf(error, DETAIL_MAX, "%s", text);
}

static struct conf *read_text(char *text, size_t size, char *error)
{
    struct conf *conf = NULL;
    FILE *stream = fmemopen(text, size, "r");
    if (!stream || conf_read(stream, "configuration", first_error_cb, error, &conf) < 0)
        conf = NULL;
    if (stream)
        fclose(stream);
    return conf;
}

/* Takes a string of at most size - 1 characters off the bytes. False: there is none. */
static bool take_string(const unsigned char **bytes, size_t *left, char *ret_string, size_t size)
{
    size_t length = strnlen((const char *)*bytes, *left);
    if (length == *left || length >= size)
        return false;
    memcpy(ret_string, *bytes, length + 1);
    *bytes += length + 1;
    *left -= length + 1;
    return true;
}

static struct conf_files *read_files(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size + 1);
    if (copy)
        memcpy(copy, bytes, size);
    return copy ? conf_files_parse(copy, size) : NULL;
}

/* What stands behind the text. */
static bool read_rest(struct conf *conf, const unsigned char *bytes, size_t left)
{
    if (!take_string(&bytes, &left, conf->host_name, sizeof conf->host_name) ||
        !take_string(&bytes, &left, conf->machine_id, sizeof conf->machine_id))
        return false;
    if (conf->secure)
        conf->files = read_files(bytes, left);
    return !conf->secure || conf->files;
}

struct conf *handover_read(int fd, char ret_error[static DETAIL_MAX])
{
    size_t size = 0, length;
    unsigned char *bytes = read_all(fd, &size);
    struct conf *conf = NULL;
    ret_error[0] = '\0';
    close(fd);
    length = bytes ? strnlen((char *)bytes, size) : 0;
    if (length > 0 && length < size)
        conf = read_text((char *)bytes, length, ret_error);
    if (conf && !read_rest(conf, bytes + length + 1, size - length - 1)) {
        conf_free(conf);
        conf = NULL;
    }
    if (bytes)
        explicit_bzero(bytes, size);
    free(bytes);
    if (!conf && !ret_error[0])
        snprintf(ret_error, DETAIL_MAX, "the configuration did not arrive whole");
    return conf;
}
