/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/page.h"
#include "cli/prober.h"
#include "control/json.h"
#include "model/conf/conf.h"
#include "model/verdict.h"

static void put_stage(const struct cli_options *options, const json_t *stage)
{
    struct text_style style;
    if (options->json) {
        cli_put_json(stage);
        return;
    }
    text_style_of(stdout, &style);
    page_render_stage(stdout, &style, stage);
    fflush(stdout);
}

static int put_end(const struct cli_options *options, const json_t *status)
{
    struct text_style style;
    text_style_of(stdout, &style);
    if (options->json) {
        cli_put_json(status);
    } else {
        putchar('\n');
        page_render_verdict(stdout, &style, status, time(NULL));
    }
    return cli_conclude(status);
}

/* ---- through the daemon ---- */

int cli_test(const struct cli_options *options)
{
    struct cli_client client;
    json_t *object = NULL;
    enum cli_answer answer = CLI_ANSWER_ERROR;
    int result = CLI_EXIT_FAILED;
    bool ended = false;
    if (cli_client_open(&client, options->control_path, VERB_TEST, CLI_TEST_WAIT_S, -1))
        while ((answer = cli_client_next(&client, &object)) == CLI_ANSWER_OBJECT) {
            ended = json_object_get(object, "status");
            if (ended)
                result = put_end(options, object);
            else
                put_stage(options, object);
            json_decref(object);
        }
    if (answer == CLI_ANSWER_ERROR)
        cli_problem("%s", client.error.text);
    else if (!ended)
        cli_problem("the daemon's answer ended before the test did");
    cli_client_close(&client);
    return answer == CLI_ANSWER_END && ended ? result : CLI_EXIT_FAILED;
}

/* ---- alone: the daemon's own prober, without the daemon ---- */

/* Takes line over. NULL: out of memory. */
static json_t *parsed(char *line)
{
    json_t *object = line ? json_loads(line, 0, NULL) : NULL;
    free(line);
    if (!object)
        cli_problem("out of memory");
    return object;
}

struct alone {
    const struct cli_options *options;
    const struct conf *conf;
    bool shown[CONF_SERVERS_MAX][STAGE_COUNT];
    struct verdict verdict;
    bool decided;
};

static void show_stage(const struct alone *alone, const struct server_report *server, enum stage which)
{
    json_t *object = parsed(status_stage_json(server, which));
    if (object)
        put_stage(alone->options, object);
    json_decref(object);
}

static void show_report(struct alone *alone, const struct test_report *report)
{
    for (size_t i = 0; i < report->n_servers && i < CONF_SERVERS_MAX; i++)
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            if (alone->shown[i][stage] || !stage_has_ended(&report->servers[i].stages[stage]))
                continue;
            alone->shown[i][stage] = true;
            show_stage(alone, &report->servers[i], (enum stage)stage);
        }
}

static void run(struct alone *alone)
{
    struct cli_prober prober;
    struct ipc_conf_done done;
    struct test_report report = {.complete = false};
    bool good = cli_prober_open(&prober, alone->conf, CLI_TEST_WAIT_S, &done) && cli_prober_start_test(&prober);
    while (good && !report.complete && (good = cli_prober_next(&prober, &report)))
        show_report(alone, &report);
    cli_prober_close(&prober);
    if (good)
        alone->decided = verdict_decide(&report, alone->conf, &alone->verdict);
}

static void mistake_cb(const char *text, void *data)
{
    cli_mistake(text);
}

int cli_test_alone(const struct cli_options *options)
{
    struct alone alone = {.options = options};
    struct conf *conf;
    int result = CLI_EXIT_FAILED;
    if (conf_load(options->conf_path, mistake_cb, NULL, &conf) < 0)
        return CLI_EXIT_CONFIG;
    alone.conf = conf;
    run(&alone);
    if (alone.decided) {
        json_t *status = parsed(status_verdict_json(&alone.verdict, time(NULL)));
        if (status)
            result = put_end(options, status);
        json_decref(status);
    }
    conf_free(conf);
    return result;
}
