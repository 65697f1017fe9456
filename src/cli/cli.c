/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/members.h"
#include "cli/text.h"
#include "model/verdict.h"

void cli_problem(const char *format, ...)
{
    char raw[1024], clean[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    fprintf(stderr, "penstock: %s\n", text_clean(raw, text_locale_is_utf8(), clean, sizeof clean));
}

void cli_mistake(const char *text)
{
    char clean[TEXT_MAX];
    fprintf(stderr, "%s\n", text_clean(text, text_locale_is_utf8(), clean, sizeof clean));
}

json_t *cli_json_text(const char *text)
{
    char clean[TEXT_MAX];
    return json_string(text_clean(text, true, clean, sizeof clean));
}

void cli_put_json(const json_t *object)
{
    json_dumpf(object, stdout, CLI_JSON_FLAGS);
    putchar('\n');
    fflush(stdout); /* whoever follows test --json or status --watch --json waits for this line */
}

/* A verdict that this version does not know has its mode. */
static enum cli_exit exit_of_mode(const json_t *status)
{
    enum verdict_mode mode;
    if (!verdict_mode_of(json_string_value(json_object_get(status, "mode")), &mode))
        return CLI_EXIT_FAILED;
    switch (mode) {
    case VERDICT_MODE_SECURE:
        return CLI_EXIT_SECURE;
    case VERDICT_MODE_PLAIN:
        return CLI_EXIT_PLAIN;
    case VERDICT_MODE_DIRECT:
        return CLI_EXIT_DIRECT;
    case VERDICT_MODE_OPEN:
        return CLI_EXIT_OPEN;
    case VERDICT_MODE_BLOCKED:
        return CLI_EXIT_BLOCKED;
    }
    return CLI_EXIT_FAILED;
}

int cli_exit_of(const json_t *status)
{
    enum verdict_kind kind = verdict_of(json_string_value(json_object_get(status, "verdict")));
    return kind != VERDICT_COUNT ? verdict_exit(kind) : (int)exit_of_mode(status);
}

int cli_conclude(const json_t *status)
{
    int result = cli_exit_of(status);
    if (result == CLI_EXIT_FAILED)
        cli_problem("the daemon's answer has no mode that this version knows");
    return result;
}

static bool add_member(uid_t uid, void *data)
{
    return conf_group_add(data, uid);
}

bool cli_look_up_user(struct conf_user *user)
{
    const struct passwd *entry = user->group ? NULL : getpwnam(user->name);
    if (entry)
        user->uid = entry->pw_uid;
    if (!user->group)
        return entry;
    conf_group_clear(user->group);
    user->group->known = members_list(user->name + 1, add_member, user->group);
    return user->group->known;
}

static bool connect_to(struct cli_client *client, const char *path, unsigned wait_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = (time_t)wait_s};
    if (strlen(path) >= sizeof address.sun_path) {
        error_set(&client->error, -EIO, CAUSE_NONE, "%s: path of a socket can have at most %zu bytes", path,
                  sizeof address.sun_path - 1);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A full backlog lets connect() wait; SO_SNDTIMEO bounds that and the write of the request. */
    if (client->fd >= 0 && setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(client->fd, (struct sockaddr *)&address, sizeof address) == 0)
        return true;
    client->gone = errno == ENOENT || errno == ECONNREFUSED;
    error_set(&client->error, -EIO, CAUSE_NONE, "the daemon does not answer: connect to %s: %s%s", path,
              errno == EAGAIN ? "timed out" : strerror(errno), client->gone ? " (is penstockd running?)" : "");
    return false;
}

bool cli_client_open(struct cli_client *client, const char *path, enum verb verb, unsigned wait_s, int stop_fd)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s\n", verb_word(verb));
    *client = (struct cli_client){.fd = -1, .stop_fd = stop_fd, .deadline_ms = clock_ms() + (int64_t)wait_s * 1000};
    if (!connect_to(client, path, wait_s))
        return false;
    if (send(client->fd, line, (size_t)length, MSG_NOSIGNAL) == length)
        return true;
    error_set(&client->error, -EIO, CAUSE_NONE, "the daemon does not answer: %s", strerror(errno));
    return false;
}

void cli_client_close(struct cli_client *client)
{
    if (client->fd >= 0)
        close(client->fd);
    free(client->buf);
    client->fd = -1;
    client->buf = NULL;
}

/* Room for more bytes behind end. */
static bool make_room(struct cli_client *client)
{
    size_t size = client->size ? client->size * 2 : 4096;
    char *buf;
    if (client->start > 0) {
        memmove(client->buf, client->buf + client->start, client->end - client->start);
        client->end -= client->start;
        client->start = 0;
    }
    if (client->end < client->size)
        return true;
    buf = realloc(client->buf, size);
    if (!buf) {
        error_set(&client->error, -EIO, CAUSE_NONE, "out of memory");
        return false;
    }
    client->buf = buf;
    client->size = size;
    return true;
}

/* CLI_ANSWER_OBJECT: readable. */
static enum cli_answer wait_readable(struct cli_client *client)
{
    struct pollfd fds[2] = {{.fd = client->fd, .events = POLLIN}, {.fd = client->stop_fd, .events = POLLIN}};
    int64_t left = client->deadline_ms - clock_ms();
    int n = left > 0 ? poll(fds, 2, (int)left) : 0;
    if (n < 0 && errno != EINTR) {
        error_set(&client->error, -EIO, CAUSE_NONE, "poll: %s", strerror(errno));
        return CLI_ANSWER_ERROR;
    }
    if (n > 0 && fds[1].revents)
        return CLI_ANSWER_STOPPED;
    if (n > 0)
        return CLI_ANSWER_OBJECT;
    if (client->deadline_ms > clock_ms())
        return wait_readable(client); /* EINTR, or poll woke early */
    error_set(&client->error, -EIO, CAUSE_NONE, "the daemon did not answer in time");
    return CLI_ANSWER_ERROR;
}

/* CLI_ANSWER_OBJECT: there are more bytes. CLI_ANSWER_END: there will be none. */
static enum cli_answer fill(struct cli_client *client)
{
    enum cli_answer ready = wait_readable(client);
    ssize_t n;
    if (ready != CLI_ANSWER_OBJECT)
        return ready;
    if (!make_room(client))
        return CLI_ANSWER_ERROR;
    n = recv(client->fd, client->buf + client->end, client->size - client->end, MSG_DONTWAIT);
    if (n == 0)
        return CLI_ANSWER_END;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return CLI_ANSWER_OBJECT;
    if (n < 0) {
        error_set(&client->error, -EIO, CAUSE_NONE, "the daemon went away: %s", strerror(errno));
        return CLI_ANSWER_ERROR;
    }
    client->end += (size_t)n;
    client->total += (size_t)n;
    if (client->total <= CLI_ANSWER_MAX)
        return CLI_ANSWER_OBJECT;
    error_set(&client->error, -EIO, CAUSE_NONE, "the daemon's answer is larger than %u MiB", CLI_ANSWER_MAX >> 20);
    return CLI_ANSWER_ERROR;
}

static enum cli_answer parse(struct cli_client *client, const char *line, size_t length, json_t **ret_object)
{
    json_error_t why;
    json_t *object = json_loadb(line, length, 0, &why);
    const char *error = json_string_value(json_object_get(object, "error"));
    if (!json_is_object(object))
        error_set(&client->error, -EIO, CAUSE_NONE, "the daemon's answer is not understood%s%s", object ? "" : ": ",
                  object ? "" : why.text);
    else if (error)
        error_set(&client->error, -EIO, CAUSE_NONE, "%s", error);
    if (json_is_object(object) && !error) {
        *ret_object = object;
        return CLI_ANSWER_OBJECT;
    }
    json_decref(object);
    return CLI_ANSWER_ERROR;
}

enum cli_answer cli_client_next(struct cli_client *client, json_t **ret_object)
{
    size_t searched = 0;
    for (;;) {
        size_t held = client->end - client->start;
        const char *line = held > 0 ? client->buf + client->start : "";
        const char *newline = memchr(line + searched, '\n', held - searched);
        enum cli_answer more;
        if (newline) {
            client->start += (size_t)(newline - line) + 1;
            return parse(client, line, (size_t)(newline - line), ret_object);
        }
        searched = held;
        more = fill(client);
        if (more == CLI_ANSWER_END && held > 0) {
            error_set(&client->error, -EIO, CAUSE_NONE, "the daemon's answer ended in the middle of a line");
            return CLI_ANSWER_ERROR;
        }
        if (more != CLI_ANSWER_OBJECT)
            return more;
    }
}

json_t *cli_ask(const struct cli_options *options, enum verb verb, unsigned wait_s)
{
    struct cli_client client;
    json_t *object = NULL;
    if (cli_client_open(&client, options->control_path, verb, wait_s, -1) &&
        cli_client_next(&client, &object) == CLI_ANSWER_END)
        error_set(&client.error, -EIO, CAUSE_NONE, "the daemon closed the connection without an answer");
    if (!object)
        cli_problem("%s", client.error.text);
    cli_client_close(&client);
    return object;
}
