/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "gate/rules/encode/digest.h"
#include "model/conf/files.h"

#define ENTRIES_MAX 4096 /* of a directory */
#define CHANGES                                                                                                        \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

static const struct file_watch_timing usual = {.delay = 0.5, .rest = 60.};

typedef void path_fn(const char *path, void *data);

/* The bundle that conf_files_write() takes; where there is none, the directory. */
static const char *system_path(void)
{
    struct stat st;
    for (size_t i = 0; conf_system_bundles[i]; i++)
        if (stat(conf_system_bundles[i], &st) == 0)
            return conf_system_bundles[i];
    return conf_system_directory;
}

static void for_each_path(const struct conf *conf, path_fn *fn, void *data)
{
    if (!conf->secure)
        return;
    if (conf->system_ca)
        fn(system_path(), data);
    for (size_t i = 0; i < conf->n_ca_paths; i++)
        fn(conf->ca_paths[i], data);
    if (conf->certificate)
        fn(conf->certificate, data);
    if (conf->private_key)
        fn(conf->private_key, data);
}

/* ---- what they are ---- */

struct look {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec written, changed;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    int error;
};

static uint64_t look_at(const char *path, uint64_t digest, bool *ret_directory)
{
    struct look look;
    struct stat st;
    memset(&look, 0, sizeof look); /* its padding counts, too */
    if (stat(path, &st) < 0) {
        look.error = errno;
        memset(&st, 0, sizeof st);
    }
    look.dev = st.st_dev;
    look.ino = st.st_ino;
    look.size = st.st_size;
    look.written = st.st_mtim;
    look.changed = st.st_ctim;
    look.mode = st.st_mode;
    look.uid = st.st_uid;
    look.gid = st.st_gid;
    *ret_directory = S_ISDIR(st.st_mode);
    return digest_bytes(digest_bytes(digest, path, strlen(path)), &look, sizeof look);
}

/* In whatever order they are listed. */
static uint64_t look_into(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    uint64_t sum = 0;
    for (size_t n = 0; dir && n < ENTRIES_MAX && (entry = readdir(dir)); n++) {
        char path[PATH_MAX];
        bool is_directory;
        if (entry->d_name[0] != '.' &&
            (size_t)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) < sizeof path)
            sum += look_at(path, DIGEST_BASIS, &is_directory);
    }
    if (dir)
        closedir(dir);
    return sum;
}

static void add_look(const char *path, void *data)
{
    uint64_t *digest = data;
    bool is_directory;
    *digest = look_at(path, *digest, &is_directory);
    if (is_directory) {
        uint64_t entries = look_into(path);
        *digest = digest_bytes(*digest, &entries, sizeof entries);
    }
}

uint64_t file_watch_look(const struct conf *conf)
{
    uint64_t digest = DIGEST_BASIS;
    for_each_path(conf, add_look, &digest);
    return digest;
}

/* ---- inotify ---- */

/* The directory of a path, or the nearest one that is there. */
static void watch_directory_of(int fd, const char *path)
{
    char directory[PATH_MAX], *slash;
    if ((size_t)snprintf(directory, sizeof directory, "%s", path) >= sizeof directory)
        return;
    while ((slash = strrchr(directory, '/'))) {
        slash[slash == directory ? 1 : 0] = '\0';
        if (inotify_add_watch(fd, directory, CHANGES | IN_ONLYDIR) >= 0 || strcmp(directory, "/") == 0)
            return;
    }
}

/* Also that of what a symbolic link leads to. That one is watched already is no error. */
static void add_watches(const char *path, void *data)
{
    const struct file_watch *watch = data;
    char *real = realpath(path, NULL);
    (void)inotify_add_watch(watch->io.fd, path, CHANGES | IN_ONLYDIR);
    watch_directory_of(watch->io.fd, path);
    if (real && strcmp(real, path) != 0)
        watch_directory_of(watch->io.fd, real);
    free(real);
}

static void open_inotify(struct file_watch *watch)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) {
        log_warning("files of [SecureChannel] are looked at once a minute only: inotify: %s", strerror(errno));
        return;
    }
    ev_io_set(&watch->io, fd, EV_READ);
    ev_io_start(watch->loop, &watch->io);
}

static void close_inotify(struct file_watch *watch)
{
    if (watch->io.fd < 0)
        return;
    ev_io_stop(watch->loop, &watch->io);
    close(watch->io.fd);
    ev_io_set(&watch->io, -1, EV_READ);
}

/* What happened does not matter, only that something did. */
static void changed_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct file_watch *watch = watcher->data;
    char buf[4096];
    while (read(watcher->fd, buf, sizeof buf) > 0)
        ;
    if (ev_timer_remaining(loop, &watch->timer) > watch->timing.delay)
        timer_arm(loop, &watch->timer, watch->timing.delay);
}

static void timer_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct file_watch *watch = watcher->data;
    const struct event event = {.type = EVENT_FILES_CHANGED};
    uint64_t now;
    if (watch->io.fd >= 0)
        for_each_path(watch->conf, add_watches, watch); /* of directories that have come meanwhile */
    now = file_watch_look(watch->conf);
    timer_arm(loop, watcher, watch->timing.rest);
    if (now == watch->seen)
        return;
    watch->seen = now;
    watch->sink.event_cb(&event, watch->sink.data);
}

/* ---- the object ---- */

void file_watch_set_conf(struct file_watch *watch, const struct conf *conf)
{
    close_inotify(watch); /* with the watches for the old one */
    watch->conf = conf;
    open_inotify(watch);
    if (watch->io.fd >= 0)
        for_each_path(watch->conf, add_watches, watch);
    watch->seen = file_watch_look(conf);
    timer_arm(watch->loop, &watch->timer, watch->timing.rest);
}

void file_watch_init(struct file_watch *watch, struct ev_loop *loop, const struct event_sink *sink)
{
    *watch = (struct file_watch){.loop = loop, .timing = usual, .sink = *sink};
    ev_io_init(&watch->io, changed_cb, -1, EV_READ);
    watch->io.data = watch;
    ev_timer_init(&watch->timer, timer_cb, 0., 0.);
    watch->timer.data = watch;
}

void file_watch_fini(struct file_watch *watch)
{
    if (!watch->loop)
        return;
    close_inotify(watch);
    ev_timer_stop(watch->loop, &watch->timer);
}
