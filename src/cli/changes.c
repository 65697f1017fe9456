/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/changes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/member.h"
#include "control/change.h"
#include "model/addr.h"

#define LINE_SIZE 8192

void changes_init(struct changes *changes, const struct cli_options *options)
{
    *changes = (struct changes){.file = NULL};
    change_path(options->control_path, CLI_CONTROL_PATH, changes->path, sizeof changes->path);
}

void changes_fini(struct changes *changes)
{
    if (changes->file)
        fclose(changes->file);
    changes->file = NULL;
}

/* The name leads to another file now: the older half has gone from it. */
static bool is_replaced(const struct changes *changes)
{
    struct stat open, named;
    return fstat(fileno(changes->file), &open) < 0 || stat(changes->path, &named) < 0 || open.st_ino != named.st_ino ||
           open.st_dev != named.st_dev;
}

bool changes_can_read(struct changes *changes, struct error *ret_error)
{
    if (changes->file && is_replaced(changes))
        changes_fini(changes);
    if (!changes->file)
        changes->file = fopen(changes->path, "re");
    if (!changes->file)
        error_set(ret_error, -errno, CAUSE_NONE, "%s: %s%s", changes->path, strerror(errno),
                  errno == ENOENT ? " (penstockd has not run yet)" : "");
    return changes->file;
}

/* False: there is no whole line. */
static bool read_line(FILE *file, char line[static LINE_SIZE])
{
    long at = ftell(file);
    clearerr(file); /* what was the end may not be any more */
    if (fgets(line, LINE_SIZE, file) && strchr(line, '\n'))
        return true;
    if (strlen(line) + 1 < LINE_SIZE && at >= 0)
        fseek(file, at, SEEK_SET);
    return false;
}

json_t *changes_next(struct changes *changes)
{
    char line[LINE_SIZE] = "";
    while (changes->file && read_line(changes->file, line)) {
        json_t *change = json_loads(line, 0, NULL);
        uint64_t seq = count_at(change, "seq");

        if (json_is_object(change) && seq > changes->seq) {
            changes->seq = seq;
            return change;
        }
        json_decref(change);
    }
    return NULL;
}

/* From the end of the file: its beginning is of no interest. */
json_t *changes_last(const struct cli_options *options, size_t n)
{
    json_t *last = json_array(), *change;
    struct changes changes;
    struct error error;
    char line[LINE_SIZE];
    changes_init(&changes, options);
    if (changes_can_read(&changes, &error) && fseek(changes.file, -(long)(n * LINE_SIZE), SEEK_END) == 0 &&
        !fgets(line, sizeof line, changes.file)) /* the rest of a line */
        rewind(changes.file);
    while ((change = changes_next(&changes))) {
        json_array_append_new(last, change);
        if (json_array_size(last) > n)
            json_array_remove(last, 0);
    }
    changes_fini(&changes);
    return last;
}

const char *changes_text(const json_t *change, bool utf8, char buf[static TEXT_MAX])
{
    const char *type = text_at(change, "type"), *detail = text_at(change, "detail");
    const char *server = text_at(change, "server"), *address = text_at(change, "address");
    const char *status = text_at(change, "status"), *state = text_at(change, "state");
    const char *traffic = text_at(change, "web_traffic");
    char raw[TEXT_MAX];
    if (type && strcmp(type, "verdict") == 0)
        snprintf(raw, sizeof raw, "%.100s%s%.200s%s%.80s%s%.400s", status ? status : "unknown", address ? ", by " : "",
                 address && server ? server : "", address ? " at " : "", address ? address : "", detail ? ": " : "",
                 detail ? detail : "");
    else if (type && strcmp(type, "server") == 0)
        snprintf(raw, sizeof raw, "server %.200s is %.40s%s%.400s", server ? server : "-", state ? state : "unknown",
                 detail ? ": " : "", detail ? detail : "");
    else if (type && strcmp(type, "start") == 0)
        snprintf(raw, sizeof raw, "penstockd has started");
    else if (type && strcmp(type, "stop") == 0)
        snprintf(raw, sizeof raw, "penstockd has stopped, web traffic is %.40s", traffic ? traffic : "as it was");
    else
        snprintf(raw, sizeof raw, "%.40s", type ? type : "unknown");
    return text_clean(raw, utf8, buf, TEXT_MAX);
}
