/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/state_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gate/control/replace.h"
#include "gate/control/status.h"

#define NAME "state.json"

static void set_path(char path[static PATH_MAX], const char *control_path)
{
    const char *slash = strrchr(control_path, '/');
    snprintf(path, PATH_MAX, "%.*s" NAME, slash ? (int)(slash - control_path) + 1 : 0, control_path);
}

static void write_logged(struct state_file *file, const char *text)
{
    int r = text ? replace_file(file->path, text, strlen(text)) : -ENOMEM;
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
        (void)replace_file(path, text, strlen(text));
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
