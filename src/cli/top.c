/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/member.h"
#include "cli/text.h"
#include "model/sums.h"

#define KEY_COLUMNS 40
#define OTHERS      "(others)"
#define UNKNOWN     "-"

/* One line: what has finished, and what is open. */
struct row {
    char key[NAME_SIZE];
    uint64_t open, sessions, failed, up, down;
};

struct rows {
    struct row *list;
    size_t n, size;
};

/* NULL: out of memory. */
static struct row *row_of(struct rows *rows, const char *key)
{
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->list[i].key, key) == 0)
            return &rows->list[i];
    if (rows->n == rows->size) {
        size_t size = rows->size ? 2 * rows->size : 64;
        struct row *list = realloc(rows->list, size * sizeof *list);
        if (!list)
            return NULL;
        rows->list = list;
        rows->size = size;
    }
    rows->list[rows->n] = (struct row){.open = 0};
    snprintf(rows->list[rows->n].key, NAME_SIZE, "%s", key);
    return &rows->list[rows->n++];
}

/* Of finished sessions a user is a number. */
static const char *user_name(const char *uid)
{
    const struct passwd *user = getpwuid((uid_t)strtoul(uid, NULL, 10));
    return user ? user->pw_name : uid;
}

static void take_sum(struct rows *rows, const json_t *sum, enum sum_by by)
{
    const char *key = text_at(sum, "key");
    const json_t *bytes = json_object_get(sum, "bytes");
    struct row *row;
    if (json_is_true(json_object_get(sum, "others")))
        key = OTHERS;
    else if (!key)
        key = UNKNOWN;
    else if (by == SUM_BY_USER)
        key = user_name(key);
    row = row_of(rows, key);
    if (!row)
        return;
    row->sessions += count_at(sum, "sessions");
    row->failed += count_at(sum, "failed");
    row->up += count_at(bytes, "up");
    row->down += count_at(bytes, "down");
}

static void take_session(struct rows *rows, const json_t *session, enum sum_by by)
{
    const char *key = text_at(session, sum_by_text(by));
    const json_t *bytes = json_object_get(session, "bytes");
    struct row *row = row_of(rows, key ? key : UNKNOWN);
    if (!row)
        return;
    row->open++;
    row->sessions++;
    row->up += count_at(bytes, "up");
    row->down += count_at(bytes, "down");
}

static int largest_first(const void *a, const void *b)
{
    const struct row *first = a, *second = b;
    uint64_t one = first->up + first->down, other = second->up + second->down;
    if (one != other)
        return one > other ? -1 : 1;
    return first->sessions > second->sessions ? -1 : first->sessions < second->sessions;
}

static void put_table(const struct rows *rows, enum sum_by by)
{
    static const char *const titles[] = {[SUM_BY_USER] = "USER", [SUM_BY_UNIT] = "UNIT", [SUM_BY_NAME] = "NAME"};
    struct text_style style;
    text_style_of(stdout, &style);
    text_tone(stdout, &style, TEXT_PLAIN, true);
    text_cell(stdout, &style, titles[by], KEY_COLUMNS);
    printf("%7s%9s%8s%11s%11s", "OPEN", "TOTAL", "FAILED", "UP", "DOWN");
    text_tone_end(stdout, &style);
    putchar('\n');
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];
        char clean[TEXT_MAX], up[32], down[32];

        text_cell(stdout, &style, text_clean(row->key, style.utf8, clean, sizeof clean), KEY_COLUMNS);
        printf("%7" PRIu64 "%9" PRIu64 "%8" PRIu64 "%11s%11s\n", row->open, row->sessions, row->failed,
               text_bytes(row->up, up), text_bytes(row->down, down));
    }
}

static void put_json(const struct rows *rows, enum sum_by by)
{
    for (size_t i = 0; i < rows->n; i++) {
        const struct row *row = &rows->list[i];
        bool unknown = strcmp(row->key, UNKNOWN) == 0, others = strcmp(row->key, OTHERS) == 0;
        json_t *object =
            json_pack("{s:o, s:b, s:I, s:I, s:I, s:{s:I, s:I}}", sum_by_text(by),
                      unknown || others ? json_null() : cli_json_text(row->key), "others", others, "open",
                      (json_int_t)row->open, "total", (json_int_t)row->sessions, "failed", (json_int_t)row->failed,
                      "bytes", "up", (json_int_t)row->up, "down", (json_int_t)row->down);

        cli_put_json(object);
        json_decref(object);
    }
}

/* SUM_BY_COUNT: that is none, and has been said. */
static enum sum_by find_by(const char *word)
{
    for (int by = 0; by < SUM_BY_COUNT; by++)
        if (!word || strcmp(sum_by_text((enum sum_by)by), word) == 0)
            return (enum sum_by)by;
    cli_problem("--by %s: sums are by user, unit or name", word);
    return SUM_BY_COUNT;
}

int cli_top(const struct cli_options *options)
{
    enum sum_by by = find_by(options->by);
    struct rows rows = {.n = 0};
    json_t *all;
    if (by == SUM_BY_COUNT)
        return CLI_EXIT_USAGE;
    all = cli_fetch_sessions(options, VERB_TOP);
    if (!all)
        return CLI_EXIT_FAILED;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        const char *kind = text_at(one, "by");

        if (!kind)
            take_session(&rows, one, by);
        else if (strcmp(kind, sum_by_text(by)) == 0)
            take_sum(&rows, one, by);
    }
    if (rows.n > 0)
        qsort(rows.list, rows.n, sizeof *rows.list, largest_first);
    if (options->json)
        put_json(&rows, by);
    else
        put_table(&rows, by);
    free(rows.list);
    json_decref(all);
    return CLI_EXIT_OK;
}
