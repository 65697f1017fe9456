/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/member.h"
#include "model/verdict.h"

#define STATES_MAX 64 /* different ones, in the sums */
#define SINCE      19 /* columns */
#define FOR        11
#define GAP        2

/* A time from one change of the whole host's state to the next. */
struct span {
    const json_t *change;
    int64_t since, until;
    bool lasts; /* until now */
};

static bool is_of_host(const json_t *change)
{
    const char *type = text_at(change, "type");
    return type && (strcmp(type, "verdict") == 0 || strcmp(type, "stop") == 0 || strcmp(type, "start") == 0);
}

static bool is_start(const json_t *change)
{
    return strcmp(text_at(change, "type"), "start") == 0;
}

static const char *state_of(const json_t *change)
{
    const char *status = text_at(change, "status");
    return status ? status : is_start(change) ? "Starting" : "Not running";
}

static json_t *read_changes(struct changes *changes)
{
    json_t *all = json_array(), *change;
    while ((change = changes_next(changes)))
        if (is_of_host(change))
            json_array_append_new(all, change);
        else
            json_decref(change);
    return all;
}

/* A start that a state follows at once is none of its own. */
static size_t make_spans(const json_t *all, struct span *spans, int64_t now)
{
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *change = json_array_get(all, i);
        int64_t at;

        if (!text_parse_time(text_at(change, "at"), &at))
            continue;
        if (n > 0)
            spans[n - 1].until = at;
        if (n > 0 && spans[n - 1].since == at && is_start(spans[n - 1].change))
            n--;
        spans[n++] = (struct span){.change = change, .since = at, .until = now};
    }
    if (n > 0)
        spans[n - 1].lasts = true;
    return n;
}

static void put_when(int64_t when)
{
    time_t t = (time_t)when;
    char text[32] = "";
    struct tm tm;
    if (localtime_r(&t, &tm))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%-*s", SINCE + GAP, text);
}

static void put_span(const struct text_style *style, const struct span *span)
{
    char text[TEXT_MAX], age[64];
    put_when(span->since);
    printf("%-*s", FOR + GAP, text_duration(span->until - span->since, age));
    text_wrap(stdout, style, changes_text(span->change, style->utf8, text), SINCE + FOR + 2 * GAP,
              SINCE + FOR + 2 * GAP);
    putchar('\n');
}

static void put_sums(const struct span *spans, size_t n)
{
    struct {
        const char *state;
        int64_t seconds;
        unsigned times;
    } sums[STATES_MAX];
    size_t n_sums = 0;
    for (size_t i = 0; i < n; i++) {
        const char *state = state_of(spans[i].change);
        size_t k = 0;

        while (k < n_sums && strcmp(sums[k].state, state) != 0)
            k++;
        if (k == STATES_MAX)
            continue;
        if (k == n_sums) {
            sums[n_sums].state = state;
            sums[n_sums].seconds = sums[n_sums].times = 0;
            n_sums++;
        }
        sums[k].seconds += spans[i].until - spans[i].since;
        sums[k].times++;
    }
    puts("\nIn all:");
    for (size_t k = 0; k < n_sums; k++) {
        char clean[TEXT_MAX], age[64];
        printf("%-*s%-*s%s, %u time%s\n", SINCE + GAP, "", FOR + GAP, text_duration(sums[k].seconds, age),
               text_clean(sums[k].state, text_locale_is_utf8(), clean, sizeof clean), sums[k].times,
               sums[k].times == 1 ? "" : "s");
    }
}

static void put_json(const struct span *span)
{
    json_t *object = json_copy((json_t *)span->change);
    json_object_set_new(object, "seconds", json_integer(span->until - span->since));
    json_object_set_new(object, "lasts", json_boolean(span->lasts));
    cli_put_json(object);
    json_decref(object);
}

static void put_table(const struct span *spans, size_t n)
{
    struct text_style style;
    text_style_of(stdout, &style);
    text_tone(stdout, &style, TEXT_PLAIN, true);
    printf("%-*s%-*s%s", SINCE + GAP, "SINCE", FOR + GAP, "FOR", "STATE");
    text_tone_end(stdout, &style);
    putchar('\n');
    for (size_t i = 0; i < n; i++)
        put_span(&style, &spans[i]);
    if (n > 0)
        put_sums(spans, n);
}

int cli_history(const struct cli_options *options)
{
    struct changes changes;
    struct error error;
    struct span *spans;
    json_t *all;
    size_t n;
    changes_init(&changes, options);
    if (!changes_can_read(&changes, &error)) {
        cli_problem("%s", error.text);
        return CLI_EXIT_FAILED;
    }
    all = read_changes(&changes);
    changes_fini(&changes);
    spans = calloc(json_array_size(all) + 1, sizeof *spans);
    if (!spans) {
        cli_problem("out of memory");
        json_decref(all);
        return CLI_EXIT_FAILED;
    }
    n = make_spans(all, spans, time(NULL));
    for (size_t i = 0; options->json && i < n; i++)
        put_json(&spans[i]);
    if (!options->json)
        put_table(spans, n);
    free(spans);
    json_decref(all);
    return CLI_EXIT_OK;
}
