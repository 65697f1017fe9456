/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate's part of the answers to the control socket. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "gate/gate_private.h"

static void add_warnings(const struct gate *gate, struct status_texts *texts)
{
    unsigned ready, wanted;

    children_count_relays(gate->children, &ready, &wanted);
    if (ready == 0)
        status_add_text(texts, "no relay is listening: redirected connections are refused");
    else if (ready < wanted)
        status_add_text(texts, "only %u of %u relays are listening", ready, wanted);
    if (!tester_can_test(&gate->tester))
        status_add_text(texts, "no test can run: the prober is being started");
    if (gate->state.verdict.fallback_detail[0] != '\0')
        status_add_text(texts, "the secure channel is not used: %s", gate->state.verdict.fallback_detail);
    for (size_t i = 0; i < gate->conf_warnings.n; i++)
        status_add_text(texts, "%s", gate->conf_warnings.lines[i]);
    if (gate->state.warning[0] != '\0')
        status_add_text(texts, "%s", gate->state.warning);
}

static char *do_status(void *data)
{
    const struct gate *gate = data;
    struct status_info *info = calloc(1, sizeof(*info));
    char *json;

    if (!info)
        return NULL;
    info->verdict = gate->state.verdict;
    info->since = gate->state.since;
    info->started = gate->started;
    info->tested_at = gate->tester.tested_at;
    rules_status(gate->rules, &info->rules);
    children_read_stats(gate->children, &info->stats);
    add_warnings(gate, &info->warnings);
    json = status_json(info);
    free(info);
    return json;
}

static char *do_config(void *data)
{
    const struct gate *gate = data;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    if (!stream)
        return NULL;
    conf_print(gate->conf, stream);
    if (fclose(stream) == 0)
        return text;
    free(text);
    return NULL;
}

static bool do_test(void *data)
{
    struct gate *gate = data;

    return tester_test_now(&gate->tester);
}

static void do_list_sessions(uint64_t id, void *data)
{
    struct gate *gate = data;

    children_list_sessions(gate->children, id);
}

const struct requests_ops gate_requests_ops = {.status = do_status,
                                               .config = do_config,
                                               .test = do_test,
                                               .list_sessions = do_list_sessions,
                                               .reload = gate_reload};
