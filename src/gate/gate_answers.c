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
    if (!test_run_can_test(&gate->test_run))
        status_add_text(texts, "no test can run: the prober is being started");
    if (gate->enforcement.verdict.fallback_detail[0] != '\0')
        status_add_text(texts, "the secure channel is not used: %s", gate->enforcement.verdict.fallback_detail);
    for (size_t i = 0; i < gate->conf_warnings.n; i++)
        status_add_text(texts, "%s", gate->conf_warnings.lines[i]);
    if (gate->enforcement.warning[0] != '\0')
        status_add_text(texts, "%s", gate->enforcement.warning);
}

static char *do_status(void *data)
{
    const struct gate *gate = data;
    struct status_info *info = calloc(1, sizeof *info);
    char *json;
    if (!info)
        return NULL;
    info->verdict = gate->enforcement.verdict;
    info->since = gate->enforcement.since;
    info->started = gate->started;
    info->tested_at = gate->test_run.tested_at;
    keeper_status(gate->keeper, &info->rules);
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
    return test_run_test_now(&gate->test_run);
}

static void do_list_sessions(uint64_t id, void *data)
{
    struct gate *gate = data;
    children_list_sessions(gate->children, id);
}

const struct verbs_ops gate_verbs_ops = {.status = do_status,
                                         .config = do_config,
                                         .test = do_test,
                                         .list_sessions = do_list_sessions,
                                         .reload = gate_reload};
