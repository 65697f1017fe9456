/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/member.h"

static void put_line(const json_t *change)
{
    char text[TEXT_MAX], when[32] = "";
    int64_t at;
    time_t t;
    struct tm tm;
    if (text_parse_time(text_at(change, "at"), &at)) {
        t = (time_t)at;
        if (localtime_r(&t, &tm))
            strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    }
    printf("%s  %s\n", when, changes_text(change, text_locale_is_utf8(), text));
    fflush(stdout); /* whoever follows waits for this line */
}

/* What is new; quiet: what was there before is no change that happens. */
static void put_news(const struct cli_options *options, struct changes *changes, bool quiet)
{
    struct error error;
    json_t *change;
    if (!changes_can_read(changes, &error))
        return;
    while ((change = changes_next(changes))) {
        if (!quiet && options->json)
            cli_put_json(change);
        else if (!quiet)
            put_line(change);
        json_decref(change);
    }
}

/* The directory: the file comes and goes, as when its older half is dropped. -1: that has been said. */
static int watch_directory(const char *path)
{
    char directory[PATH_MAX];
    int fd = inotify_init1(IN_CLOEXEC);
    snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    if (fd >= 0 && inotify_add_watch(fd, directory, IN_MODIFY | IN_MOVED_TO | IN_CREATE) >= 0)
        return fd;
    cli_problem("%s: %s%s", directory, strerror(errno), errno == ENOENT ? " (penstockd has not run yet)" : "");
    if (fd >= 0)
        close(fd);
    return -1;
}

int cli_monitor(const struct cli_options *options)
{
    struct changes changes;
    char events[4096];
    int fd;
    changes_init(&changes, options);
    if (!strchr(changes.path, '/'))
        memmove(changes.path + 2, changes.path, strlen(changes.path) + 1), memcpy(changes.path, "./", 2);
    fd = watch_directory(changes.path);
    if (fd < 0)
        return CLI_EXIT_FAILED;
    put_news(options, &changes, true);
    while (!ferror(stdout) && (read(fd, events, sizeof events) > 0 || errno == EINTR))
        put_news(options, &changes, false);
    changes_fini(&changes);
    close(fd);
    return CLI_EXIT_FAILED; /* standard output takes nothing any more */
}
