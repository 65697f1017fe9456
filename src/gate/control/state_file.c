/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/control/status.h"

#define NAME "state.json"

static void set_path(char path[static PATH_MAX], const char *control_path)
{
    const char *slash = strrchr(control_path, '/');
    snprintf(path, PATH_MAX, "%.*s" NAME, slash ? (int)(slash - control_path) + 1 : 0, control_path);
}

static bool write_whole(int fd, const char *text)
{
    size_t size = strlen(text);
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR)
            return false;
        text += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Under another name first. O_EXCL: root may write here, in a directory of another user, who can have put a link there.
 * 0 or -errno. */
static int write_file(const char *path, const char *text)
{
    char temporary[PATH_MAX + sizeof ".new"];
    int fd, r = 0;
    snprintf(temporary, sizeof temporary, "%s.new", path);
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, 0644) < 0 || !write_whole(fd, text) || !write_whole(fd, "\n"))
        r = -errno;
    close(fd);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}

static void write_logged(struct state_file *file, const char *text)
{
    int r = text ? write_file(file->path, text) : -ENOMEM;
    if (r < 0 && !file->failed)
        log_warning("%s cannot be written: %s", file->path, strerror(-r));
    file->failed = r < 0;
}

void state_file_settle(struct state_file *file, const struct status_source *source)
{
    char *key, *text;
    key = status_state_key_of(source);
    if (!key || (file->written && strcmp(key, file->written) == 0)) {
        free(key);
        return;
    }
    text = status_state_of(source, NULL);
    write_logged(file, text);
    free(text);
    free(file->written);
    file->written = key;
}

void state_file_end(struct state_file *file, const struct status_source *source, const struct status_end *end)
{
    char *text = status_state_of(source, end);
    write_logged(file, text);
    free(text);
}

/* The directory may not be there yet; then there is nobody who could read it. */
void state_file_end_early(const char *control_path, const struct status_end *end)
{
    char path[PATH_MAX], *text = status_end_json(end);
    set_path(path, control_path);
    if (text)
        (void)write_file(path, text);
    free(text);
}

void state_file_init(struct state_file *file, const char *control_path)
{
    *file = (struct state_file){.written = NULL};
    set_path(file->path, control_path);
}

void state_file_fini(struct state_file *file)
{
    free(file->written);
    file->written = NULL;
}
