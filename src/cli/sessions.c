/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/member.h"
#include "cli/socket_owner.h"
#include "cli/text.h"

enum column {
    COLUMN_USER,
    COLUMN_PROCESS,
    COLUMN_UNIT,
    COLUMN_DESTINATION,
    COLUMN_NAME,
    COLUMN_BY,
    COLUMN_ROUTE,
    COLUMN_STATE,
    COLUMN_UP,
    COLUMN_DOWN,
    COLUMN_AGE,
    COLUMN_COUNT
};

#define CELL_MAX    256
#define GAP         2 /* between columns */
#define SHRUNK_MIN  8 /* columns that a cut column keeps; but for "na…[4194304]" */
#define PROCESS_MIN 12

static const struct {
    const char *title;
    bool may_shrink;
} columns[COLUMN_COUNT] = {
    [COLUMN_USER] = {"USER", false},   [COLUMN_PROCESS] = {"PROCESS", true},
    [COLUMN_UNIT] = {"UNIT", true},    [COLUMN_DESTINATION] = {"DESTINATION", true},
    [COLUMN_NAME] = {"NAME", true},    [COLUMN_BY] = {"BY", false},
    [COLUMN_ROUTE] = {"ROUTE", false}, [COLUMN_STATE] = {"STATE", false},
    [COLUMN_UP] = {"UP", false},       [COLUMN_DOWN] = {"DOWN", false},
    [COLUMN_AGE] = {"AGE", false},
};

/* "192.0.2.7:443" or "[2001:db8::1]:443" */
static bool parse_endpoint(const char *text, struct addr *ret_addr)
{
    const char *colon = text ? strrchr(text, ':') : NULL;
    char host[ADDR_TEXT_MAX], *end;
    unsigned long port;
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    port = strtoul(colon + 1, &end, 10);
    return *end == '\0' && port <= UINT16_MAX && addr_parse(host, (uint16_t)port, ret_addr);
}

/* All objects of the answer as an array; NULL: the problem has been written. */
static json_t *fetch(const struct cli_options *options, enum verb verb)
{
    struct cli_client client;
    json_t *sessions = json_array(), *session;
    enum cli_answer answer = CLI_ANSWER_ERROR;
    if (cli_client_open(&client, options->control_path, verb, CLI_STATUS_WAIT_S, -1))
        while ((answer = cli_client_next(&client, &session)) == CLI_ANSWER_OBJECT)
            json_array_append_new(sessions, session);
    if (answer == CLI_ANSWER_ERROR)
        cli_problem("%s", client.error.text);
    cli_client_close(&client);
    if (answer == CLI_ANSWER_END)
        return sessions;
    json_decref(sessions);
    return NULL;
}

static double age_of(const json_t *session)
{
    return json_number_value(json_object_get(session, "age_ms"));
}

/* The keys of --sort. Numbers: the largest first; texts: by alphabet, what is not known last. */
static const struct sort_key {
    const char *name, *object, *member;
    bool number;
} sort_keys[] = {{"age", NULL, "age_ms", true},       {"up", "bytes", "up", true},
                 {"down", "bytes", "down", true},     {"user", NULL, "user", false},
                 {"process", NULL, "process", false}, {"unit", NULL, "unit", false},
                 {"name", NULL, "name", false},       {"destination", NULL, "destination", false},
                 {"route", NULL, "route", false},     {"state", NULL, "state", false}};

#define SORT_KEYS (sizeof sort_keys / sizeof sort_keys[0])

/* NULL: there is no such key, and that has been said. */
static const struct sort_key *find_sort_key(const char *name)
{
    char names[256] = "";
    for (size_t i = 0; i < SORT_KEYS; i++) {
        if (!name || strcmp(sort_keys[i].name, name) == 0)
            return &sort_keys[i];
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i > 0 ? ", " : "", sort_keys[i].name);
    }
    cli_problem("--sort %s: there is no such key, but %s", name, names);
    return NULL;
}

static int compare(const void *a, const void *b, void *data)
{
    const struct sort_key *key = data;
    const json_t *first = *(json_t *const *)a, *second = *(json_t *const *)b;
    const json_t *one = key->object ? json_object_get(first, key->object) : first;
    const json_t *other = key->object ? json_object_get(second, key->object) : second;
    const char *text = text_at(one, key->member), *other_text = text_at(other, key->member);
    double n = json_number_value(json_object_get(one, key->member));
    double other_n = json_number_value(json_object_get(other, key->member));
    if (key->number)
        return n > other_n ? -1 : n < other_n;
    if (!text || !other_text)
        return !text - !other_text;
    return strcoll(text, other_text);
}

/* The relays answer one after another: their sessions are mixed here. */
static json_t *sorted(json_t *sessions, const struct sort_key *key)
{
    size_t n = json_array_size(sessions);
    json_t **list = calloc(n + 1, sizeof *list), *result = json_array();
    for (size_t i = 0; list && i < n; i++)
        list[i] = json_array_get(sessions, i);
    if (list)
        qsort_r(list, n, sizeof *list, compare, (void *)key);
    for (size_t i = 0; list && i < n; i++)
        json_array_append(result, list[i]);
    free(list);
    json_decref(sessions);
    return result;
}

static const char *user_text(const struct socket_owner *who, char buf[static CELL_MAX])
{
    const struct passwd *user = who->found ? getpwuid(who->uid) : NULL;
    if (user)
        snprintf(buf, CELL_MAX, "%s", user->pw_name);
    else if (who->found)
        snprintf(buf, CELL_MAX, "%u", who->uid);
    else
        snprintf(buf, CELL_MAX, "-");
    return buf;
}

static void set_text(json_t *session, const char *key, const char *text)
{
    json_object_set_new(session, key, *text ? cli_json_text(text) : json_null());
}

static void add_owner(json_t *session, const struct socket_owner *who)
{
    char user[CELL_MAX];
    set_text(session, "user", who->found ? user_text(who, user) : "");
    json_object_set_new(session, "uid", who->found ? json_integer(who->uid) : json_null());
    json_object_set_new(session, "pid", who->pid > 0 ? json_integer(who->pid) : json_null());
    set_text(session, "process", who->process);
    set_text(session, "unit", who->unit);
}

static uint64_t bytes_at(const json_t *session, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(json_object_get(session, "bytes"), key));
    return n > 0 ? (uint64_t)n : 0;
}

/* What stands in one cell, cleaned; "-" when it is not known. */
static const char *cell(const json_t *session, enum column column, bool utf8, char buf[static CELL_MAX])
{
    char raw[CELL_MAX], number[64];
    const char *text = NULL;
    switch (column) {
    case COLUMN_USER:
        text = text_at(session, "user");
        break;
    case COLUMN_PROCESS:
        if (count_at(session, "pid") == 0)
            break;
        snprintf(raw, sizeof raw, "%.200s[%u]", text_at(session, "process") ? text_at(session, "process") : "",
                 (unsigned)count_at(session, "pid"));
        text = raw;
        break;
    case COLUMN_UNIT:
        text = text_at(session, "unit");
        break;
    case COLUMN_DESTINATION:
        text = text_at(session, "destination");
        break;
    case COLUMN_NAME:
        text = text_at(session, "name");
        break;
    case COLUMN_BY:
        text = text_at(session, "target");
        break;
    case COLUMN_ROUTE:
        text = text_at(session, "route");
        break;
    case COLUMN_STATE:
        text = text_at(session, "state");
        break;
    case COLUMN_UP:
        text = text_bytes(bytes_at(session, "up"), number);
        break;
    case COLUMN_DOWN:
        text = text_bytes(bytes_at(session, "down"), number);
        break;
    case COLUMN_AGE:
        text = text_duration((int64_t)(age_of(session) < 1e15 ? age_of(session) / 1000 : 0), number);
        break;
    case COLUMN_COUNT:
        break;
    }
    return text_clean(text && *text ? text : "-", utf8, buf, CELL_MAX);
}

/* Width 0: the column is left out. */
static size_t total_of(const size_t widths[static COLUMN_COUNT])
{
    size_t total = 0;
    for (size_t i = 0; i < COLUMN_COUNT; i++)
        if (widths[i] > 0)
            total += widths[i] + (total > 0 ? GAP : 0);
    return total;
}

/* Cuts the widest column that may be cut until the line fits. */
static void shrink(size_t widths[static COLUMN_COUNT], size_t room)
{
    while (total_of(widths) > room) {
        size_t widest = COLUMN_COUNT;
        for (size_t i = 0; i < COLUMN_COUNT; i++)
            if (columns[i].may_shrink && widths[i] > (i == COLUMN_PROCESS ? PROCESS_MIN : SHRUNK_MIN) &&
                (widest == COLUMN_COUNT || widths[i] > widths[widest]))
                widest = i;
        if (widest == COLUMN_COUNT)
            return;
        widths[widest]--;
    }
}

/* Where cutting alone would leave too little of each, whole columns give way, in this order. */
static void fit(size_t widths[static COLUMN_COUNT], size_t room)
{
    static const enum column order[] = {COLUMN_UNIT, COLUMN_USER, COLUMN_BY, COLUMN_STATE, COLUMN_ROUTE, COLUMN_UP};
    size_t cut[COLUMN_COUNT];
    for (size_t i = 0; i <= sizeof order / sizeof order[0]; i++) {
        memcpy(cut, widths, sizeof cut);
        shrink(cut, room);
        if (total_of(cut) <= room || i == sizeof order / sizeof order[0])
            break;
        widths[order[i]] = 0;
    }
    memcpy(widths, cut, sizeof cut);
}

/* Of "name[4711]" the name is cut, never the number. */
static void put_process(const struct text_style *style, const char *text, size_t width)
{
    const char *bracket = strrchr(text, '[');
    size_t number = bracket ? text_columns(bracket) : 0;
    char name[CELL_MAX];
    if (!bracket || text_columns(text) <= width || number + 1 >= width) {
        text_cell(stdout, style, text, width);
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)(bracket - text), text);
    text_cell(stdout, style, name, width - number);
    fputs(bracket, stdout);
}

static void put_row(const struct text_style *style, const size_t widths[static COLUMN_COUNT], const json_t *session)
{
    bool first = true;
    for (size_t i = 0; i < COLUMN_COUNT; i++) {
        char buf[CELL_MAX];
        const char *text = session ? cell(session, (enum column)i, style->utf8, buf) : columns[i].title;
        bool last = i + 1 == COLUMN_COUNT;

        if (widths[i] == 0)
            continue;
        fputs(first ? "" : "  ", stdout);
        if (i == COLUMN_PROCESS)
            put_process(style, text, widths[i]);
        else
            text_cell(stdout, style, text, last && text_columns(text) <= widths[i] ? text_columns(text) : widths[i]);
        first = false;
    }
    putchar('\n');
}

static void put_table(const json_t *sessions)
{
    size_t widths[COLUMN_COUNT], n = json_array_size(sessions);
    struct text_style style;
    text_style_of(stdout, &style);
    for (size_t column = 0; column < COLUMN_COUNT; column++) {
        widths[column] = strlen(columns[column].title);
        for (size_t i = 0; i < n; i++) {
            char buf[CELL_MAX];
            size_t width = text_columns(cell(json_array_get(sessions, i), (enum column)column, style.utf8, buf));

            if (width > widths[column])
                widths[column] = width;
        }
    }
    if (style.terminal) /* what goes to another program stays whole */
        fit(widths, style.columns);
    text_tone(stdout, &style, TEXT_PLAIN, true);
    put_row(&style, widths, NULL);
    text_tone_end(stdout, &style);
    for (size_t i = 0; i < n; i++)
        put_row(&style, widths, json_array_get(sessions, i));
}

/* Asks the kernel who is at the near ends, and writes that into the objects. */
static bool add_owners(json_t *sessions)
{
    size_t n = json_array_size(sessions);
    struct socket_owner *whos = calloc(n + 1, sizeof *whos);
    int error;
    if (!whos)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *session = json_array_get(sessions, i);

        if (!parse_endpoint(text_at(session, "client"), &whos[i].local) ||
            !parse_endpoint(text_at(session, "destination"), &whos[i].peer))
            whos[i] = (struct socket_owner){.found = false};
    }
    error = socket_owner_find(whos, n);
    if (error < 0)
        cli_problem("users and processes cannot be found: %s", strerror(-error));
    for (size_t i = 0; i < n; i++)
        add_owner(json_array_get(sessions, i), &whos[i]);
    free(whos);
    return true;
}

json_t *cli_fetch_sessions(const struct cli_options *options, enum verb verb)
{
    json_t *sessions = fetch(options, verb);
    if (sessions && add_owners(sessions))
        return sessions;
    json_decref(sessions);
    return NULL;
}

int cli_sessions(const struct cli_options *options)
{
    const struct sort_key *key = find_sort_key(options->sort);
    json_t *sessions = key ? cli_fetch_sessions(options, VERB_SESSIONS) : NULL;
    if (!key)
        return CLI_EXIT_USAGE;
    if (!sessions)
        return CLI_EXIT_FAILED;
    sessions = sorted(sessions, key);
    for (size_t i = 0; options->json && i < json_array_size(sessions); i++)
        cli_put_json(json_array_get(sessions, i));
    if (!options->json)
        put_table(sessions);
    json_decref(sessions);
    return CLI_EXIT_OK;
}
