/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/change.h"
#include "gate/control/replace.h"
#include "gate/control/server.h"

static void fail(struct history *history, int error)
{
    if (!history->failed)
        log_warning("%s cannot be written: %s; penstock history lacks what follows", history->path, strerror(error));
    history->failed = true;
    if (history->fd >= 0)
        close(history->fd);
    history->fd = -1;
}

/* ---- the file ---- */

/* All of it, with an end; NULL: there is none, or no memory. */
static char *read_all(const char *path, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* also of a FIFO, where others may write */
    char *text = fd >= 0 ? malloc(2 * HISTORY_SIZE_MAX + 1) : NULL;
    size_t size = 0;
    ssize_t n;
    while (text && size < 2 * HISTORY_SIZE_MAX && (n = read(fd, text + size, 2 * HISTORY_SIZE_MAX - size)) > 0)
        size += (size_t)n;
    if (fd >= 0)
        close(fd);
    if (text)
        text[size] = '\0';
    *ret_size = size;
    return text;
}

/* From the first whole line of the newer half. */
static int drop_half(const char *path, const char *text, size_t size)
{
    const char *half = memchr(text + size / 2, '\n', size - size / 2);
    return half ? replace_file(path, half + 1, size - (size_t)(half + 1 - text)) : replace_file(path, "", 0);
}

static uint64_t last_seq(const char *text)
{
    uint64_t seq = 0, last = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (sscanf(line, CHANGES_SEQ "%" SCNu64, &seq) == 1)
            last = seq;
        if (*line == '\0')
            break;
    }
    return last;
}

static bool open_file(struct history *history)
{
    struct stat st;
    history->fd = open(history->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (history->fd < 0 || fchmod(history->fd, 0644) < 0 || fstat(history->fd, &st) < 0) {
        fail(history, errno);
        return false;
    }
    history->size = (size_t)st.st_size;
    return true;
}

static void make_room(struct history *history)
{
    size_t size;
    char *text = read_all(history->path, &size);
    int r = text ? drop_half(history->path, text, size) : -ENOMEM;
    free(text);
    close(history->fd);
    history->fd = -1;
    if (r < 0)
        fail(history, -r);
    else
        open_file(history);
}

/* Takes line over. One write: a reader sees whole lines, and a host that loses power at most a part of the last one. */
static void append(struct history *history, char *line)
{
    size_t length = line ? strlen(line) : 0;
    if (history->fd >= 0 && line) {
        line[length] = '\n'; /* in the place of the end */
        if (write(history->fd, line, length + 1) != (ssize_t)(length + 1))
            fail(history, errno);
        history->size += length + 1;
        history->seq++;
    }
    free(line);
    if (history->fd >= 0 && history->size > HISTORY_SIZE_MAX)
        make_room(history);
}

/* ---- what changes ---- */

static bool is_news(const struct verdict *verdict, const struct verdict *told)
{
    return verdict->kind != told->kind || verdict->cause != told->cause ||
           verdict->fallback_cause != told->fallback_cause || !addr_equal(&verdict->address, &told->address) ||
           strcmp(verdict->server, told->server) != 0;
}

static enum cause cause_of_failure(const struct server_status *server)
{
    const struct test_stage *failure = server_failure(&server->report);
    return failure ? (enum cause)failure->cause : CAUSE_NONE;
}

static bool is_told(const struct history *history, const struct server_status *server)
{
    for (size_t i = 0; i < history->servers.n; i++) {
        const struct server_status *told = &history->servers.list[i];

        if (strcmp(told->report.server, server->report.server) == 0)
            return told->state == server->state && cause_of_failure(told) == cause_of_failure(server);
    }
    return server->state == SERVER_UNTESTED && cause_of_failure(server) == CAUSE_NONE;
}

void history_settle(struct history *history, const struct verdict *verdict, const struct servers *servers)
{
    time_t now = time(NULL);
    bool changed = false;
    if (!history->has_verdict || is_news(verdict, &history->verdict))
        append(history, change_verdict_json(history->seq + 1, now, verdict));
    history->has_verdict = true;
    history->verdict = *verdict;
    for (size_t i = 0; i < servers->n; i++) {
        const struct server_status *server = &servers->list[i];

        if (is_told(history, server))
            continue;
        changed = true;
        if (server->state != SERVER_TESTING)
            append(history, change_server_json(history->seq + 1, now, server));
    }
    if (changed || history->servers.n != servers->n)
        history->servers = *servers;
}

void history_stop(struct history *history, const char *web_traffic)
{
    append(history, change_stop_json(history->seq + 1, time(NULL), web_traffic));
}

void history_init(struct history *history, const char *control_path)
{
    size_t size;
    char *text;
    *history = (struct history){.fd = -1};
    change_path(control_path, CONTROL_DEFAULT_PATH, history->path, sizeof history->path);
    text = read_all(history->path, &size);
    if (text)
        history->seq = last_seq(text);
    if (open_file(history) && size > 0 && text[size - 1] != '\n' && write(history->fd, "\n", 1) != 1)
        fail(history, errno);
    free(text);
    append(history, change_start_json(history->seq + 1, time(NULL)));
}

void history_fini(struct history *history)
{
    if (history->path[0] != '\0' && history->fd >= 0) /* else it was never begun */
        close(history->fd);
    history->fd = -1;
}
