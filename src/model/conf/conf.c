/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/conf.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/conf/files.h"
#include "model/conf/header.h"
#include "model/conf/keys.h"
#include "model/conf/reader.h"

#define DROP_INS_MAX 256

/* ---- what is true when nothing is set ---- */

/* False when out of memory. */
static bool set_defaults(struct conf *conf)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    char why[CONF_WHY_MAX];
    for (size_t i = 0; i < count; i++) {
        if (keys[i].initial && !conf_key_set(&keys[i], conf, keys[i].initial, true, why))
            return false;
    }
    return true;
}

/* ---- checks across keys ---- */

static bool has_port(const uint16_t *ports, size_t count, uint16_t port)
{
    for (size_t i = 0; i < count; i++) {
        if (ports[i] == port)
            return true;
    }
    return false;
}

static void check_secure(struct conf_reader *reader, const struct conf *conf, const char *file)
{
    if (conf->secure_port == 0 && !conf_reader_is_bad(reader, "Proxy", "SecurePort"))
        conf_reader_mistake(reader, file,
                            "SecurePort= is missing in [Proxy], which Enabled=yes in [SecureChannel] needs");
    if (conf->secure_port == conf->port && !conf_reader_is_bad(reader, "Proxy", "Port"))
        conf_reader_mistake_at(reader, "Proxy", "SecurePort", file,
                               "SecurePort=%u: must differ from Port=", conf->secure_port);
    if (!conf->system_ca && conf->n_ca_paths == 0 && !conf_reader_is_bad(reader, "SecureChannel", "TrustedCA"))
        conf_reader_mistake_at(reader, "SecureChannel", "TrustedCA", file,
                               "TrustedCA=: without any, no proxy can be trusted");
}

static void check_headers(struct conf_reader *reader, const struct conf *conf, const char *file)
{
    size_t bytes = 0, specifiers = 0;
    for (size_t i = 0; i < conf->n_headers; i++) {
        bytes += strlen(conf->headers[i]) + 2;
        specifiers += header_count(conf->headers[i]);
    }
    if (bytes > CONF_HEADERS_BYTES_MAX)
        conf_reader_mistake_at(reader, "Proxy", "Header", file,
                               "Header=: all headers together are longer than %d bytes", CONF_HEADERS_BYTES_MAX);
    if (specifiers > CONF_SPECIFIERS_MAX)
        conf_reader_mistake_at(reader, "Proxy", "Header", file, "Header=: more than %d specifiers in all headers",
                               CONF_SPECIFIERS_MAX);
}

static void check(struct conf_reader *reader, const struct conf *conf, const char *file)
{
    if (conf->n_servers == 0 && !conf_reader_is_bad(reader, "Proxy", "Servers"))
        conf_reader_mistake_at(reader, "Proxy", "Servers", file, "Servers= is missing in [Proxy]");
    if (conf->secure)
        check_secure(reader, conf, file);
    check_headers(reader, conf, file);
    if (conf->n_ports == 0 && !conf_reader_is_bad(reader, "Redirect", "Ports"))
        conf_reader_mistake_at(reader, "Redirect", "Ports", file, "Ports=: without any, nothing is redirected");
    if (has_port(conf->ports, conf->n_ports, conf->listen_port))
        conf_reader_mistake_at(reader, "Redirect", "ListenPort", file,
                               "ListenPort=%u: must not be one of the redirected Ports=", conf->listen_port);
}

/* ---- files ---- */

/* Opens files alone: a FIFO would be waited for. */
static FILE *open_file(const char *path, struct stat *ret_status, const char **ret_why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    FILE *stream = NULL;
    if (fd < 0 || fstat(fd, ret_status) < 0)
        *ret_why = strerror(errno);
    else if (S_ISDIR(ret_status->st_mode))
        *ret_why = strerror(EISDIR);
    else if (!S_ISREG(ret_status->st_mode))
        *ret_why = "is not a regular file";
    else if (!(stream = fdopen(fd, "r")))
        *ret_why = strerror(errno);
    if (!stream && fd >= 0)
        close(fd);
    return stream;
}

/* Somebody who writes it in place may have written only half of it: that is another configuration. */
static bool has_changed(FILE *stream, const struct stat *before)
{
    struct stat now;
    return fstat(fileno(stream), &now) < 0 || now.st_size != before->st_size ||
           now.st_mtim.tv_sec != before->st_mtim.tv_sec || now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

/* False: it could not be read to its end. */
static bool read_file(struct conf_reader *reader, const char *path)
{
    struct stat before;
    const char *why;
    FILE *stream = open_file(path, &before, &why);
    bool whole;
    if (!stream) {
        conf_reader_mistake(reader, path, "%s", why);
        return false;
    }
    whole = conf_reader_stream(reader, stream, path);
    if (whole && has_changed(stream, &before)) {
        conf_reader_mistake(reader, path, "was changed while it was read");
        whole = false;
    }
    fclose(stream);
    return whole;
}

static int is_drop_in(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* By bytes: alphasort() would let the locale decide. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* False: not all of them could be read to their ends. */
static bool read_drop_ins(struct conf_reader *reader, const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, is_drop_in, by_name);
    bool whole = true;
    if (count < 0) {
        if (errno == ENOENT)
            return true;
        conf_reader_mistake(reader, directory, "%s", strerror(errno));
        return false;
    }
    if (count > DROP_INS_MAX)
        conf_reader_mistake(reader, directory, "more than %d files", DROP_INS_MAX);
    for (int i = 0; i < count; i++) {
        char *path;

        if (i < DROP_INS_MAX && asprintf(&path, "%s/%s", directory, entries[i]->d_name) >= 0) {
            whole &= read_file(reader, path);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    return whole;
}

static void read_all(struct conf_reader *reader, struct conf *conf, const char *path)
{
    bool whole = read_file(reader, path);
    char *directory;
    if (!whole && (access(path, F_OK) == 0 || errno != ENOENT))
        conf->unread = true;
    if (asprintf(&directory, "%s.d", path) < 0) {
        conf_reader_mistake(reader, path, "out of memory");
        return;
    }
    if (!read_drop_ins(reader, directory))
        conf->unread = true;
    free(directory);
    /* What is missing then may stand in the file that could not be read. */
    if (whole && !conf->unread)
        check(reader, conf, path);
}

/* ---- doors ---- */

/* From stream, or from path and its drop-ins when stream is NULL. With mistakes it is what could be made of it, and
 * *ret_good false. NULL: out of memory. */
static struct conf *load_partly(FILE *stream, const char *path, conf_error_cb *error_cb, void *data, bool *ret_good)
{
    struct conf *conf = calloc(1, sizeof *conf);
    struct conf_reader *reader = conf ? conf_reader_new(conf, error_cb, data) : NULL;
    if (!reader || !set_defaults(conf)) {
        error_cb("out of memory", data);
        conf_reader_free(reader);
        conf_free(conf);
        return NULL;
    }
    if (!stream)
        read_all(reader, conf, path);
    else if (conf_reader_stream(reader, stream, path))
        check(reader, conf, path);
    *ret_good = conf_reader_end(reader, path);
    conf_reader_free(reader);
    return conf;
}

static int load(FILE *stream, const char *path, conf_error_cb *error_cb, void *data, struct conf **ret_conf)
{
    bool good = false;
    struct conf *conf = load_partly(stream, path, error_cb, data, &good);
    if (!good) {
        conf_free(conf);
        return -EINVAL;
    }
    *ret_conf = conf;
    return 0;
}

int conf_load(const char *path, conf_error_cb *error_cb, void *data, struct conf **ret_conf)
{
    return load(NULL, path ? path : CONF_DEFAULT_PATH, error_cb, data, ret_conf);
}

static void ignore_mistake(const char *text, void *data)
{
}

struct conf *conf_load_partly(const char *path)
{
    bool good;
    struct conf *conf = load_partly(NULL, path ? path : CONF_DEFAULT_PATH, ignore_mistake, NULL, &good);
    if (!conf)
        return NULL;
    if (conf->n_ports == 0) {
        conf->ports[conf->n_ports++] = 80;
        conf->ports[conf->n_ports++] = 443;
    }
    return conf;
}

int conf_read(FILE *stream, const char *name, conf_error_cb *error_cb, void *data, struct conf **ret_conf)
{
    return load(stream, name, error_cb, data, ret_conf);
}

/* All users of all lists, one after another; NULL: index is behind the last. */
static struct conf_user *user_at(struct conf *conf, size_t index)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    for (size_t i = 0; i < count; i++) {
        size_t n = keys[i].kind == CONF_KIND_USERS ? conf_key_entries(&keys[i], conf) : 0;
        if (index < n)
            return (struct conf_user *)((char *)conf + keys[i].offset) + index;
        index -= n;
    }
    return NULL;
}

static bool is_known(const struct conf_user *user)
{
    return user->group ? user->group->known : user->uid != CONF_UID_UNKNOWN;
}

bool conf_user_has(const struct conf_user *user, uid_t uid)
{
    return user->group ? conf_group_has(user->group, uid) : user->uid == uid;
}

struct conf_user *conf_next_unknown_user(struct conf *conf, const struct conf_user *after)
{
    struct conf_user *user;
    for (size_t i = 0; (user = user_at(conf, i)); i++) {
        if (!after && !is_known(user))
            return user;
        if (after == user)
            after = NULL;
    }
    return NULL;
}

bool conf_user_counts(const struct conf_user *user)
{
    if (user->group)
        return conf_group_in_force(user->group);
    return user->uid != CONF_UID_UNKNOWN;
}

static struct conf_user *user_that_counts(struct conf *conf, const char *name)
{
    struct conf_user *user;
    for (size_t i = 0; (user = user_at(conf, i)); i++)
        if (conf_user_counts(user) && strcmp(user->name, name) == 0)
            return user;
    return NULL;
}

void conf_keep_users(struct conf *conf, struct conf *old)
{
    struct conf_user *user = NULL;
    const struct conf_user *known;
    while ((user = conf_next_unknown_user(conf, user))) {
        known = user_that_counts(old, user->name);
        if (known && user->group)
            (void)conf_group_keep(user->group, known->group);
        else if (known)
            user->uid = known->uid;
    }
}

bool conf_origin(const struct conf *conf, const char *section, const char *name, size_t entry, const char **ret_file,
                 unsigned *ret_line)
{
    const struct conf_key *key = conf_keys_find(section, name);
    const struct conf_origin *origin = conf_origins_find(&conf->origins, key, entry);
    assert(key);
    if (!origin)
        return false;
    *ret_file = origin->file;
    *ret_line = origin->line;
    return true;
}

void conf_drop_files(struct conf *conf)
{
    conf_files_free(conf->files);
    conf->files = NULL;
}

void conf_free(struct conf *conf)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    if (!conf)
        return;
    for (size_t i = 0; i < count; i++) {
        if (conf_key_is_list(&keys[i]))
            conf_key_clear(&keys[i], conf);
    }
    free(conf->server_name);
    free(conf->auth_url.text);
    free(conf->auth_url.host);
    free(conf->test_target.text);
    free(conf->test_target.host);
    free(conf->certificate);
    free(conf->private_key);
    conf_origins_fini(&conf->origins);
    conf_drop_files(conf);
    free(conf);
}

/* Static initialisers know no htonl(). */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NETWORK_ORDER(host) __builtin_bswap32(host)
#else
#define NETWORK_ORDER(host) (host)
#endif
#define IN4(host, bits)                                                                                                \
    {                                                                                                                  \
        {.in4 = {.sin_family = AF_INET, .sin_addr = {NETWORK_ORDER(host)}}}, bits                                      \
    }
#define IN6(first, second, last, bits)                                                                                 \
    {                                                                                                                  \
        {.in6 = {.sin6_family = AF_INET6, .sin6_addr = {.s6_addr = {[0] = first, [1] = second, [15] = last}}}}, bits   \
    }

const struct prefix *conf_local_networks(size_t *ret_count)
{
    static const struct prefix networks[] = {
        IN4(0x7f000000, 8),     /* 127.0.0.0/8 loopback */
        IN4(0xa9fe0000, 16),    /* 169.254.0.0/16 link-local, with the clouds' metadata service 169.254.169.254 */
        IN4(0xe0000000, 4),     /* 224.0.0.0/4 multicast */
        IN4(0xffffffff, 32),    /* broadcast */
        IN4(0x0a000000, 8),     /* 10.0.0.0/8 RFC 1918 */
        IN4(0xac100000, 12),    /* 172.16.0.0/12 */
        IN4(0xc0a80000, 16),    /* 192.168.0.0/16 */
        IN4(0xa83f8110, 32),    /* 168.63.129.16, the host of an Azure machine */
        IN6(0, 0, 1, 128),      /* ::1 loopback */
        IN6(0xfe, 0x80, 0, 10), /* fe80::/10 link-local */
        IN6(0xff, 0, 0, 8),     /* ff00::/8 multicast */
        IN6(0xfc, 0, 0, 7),     /* fc00::/7 unique local, RFC 4193 */
    };
    *ret_count = sizeof networks / sizeof networks[0];
    return networks;
}
