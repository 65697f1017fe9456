/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "channel/prober/prober.h"
#include "cli/cli.h"
#include "cli/page.h"
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

/* ---- alone: the daemon's own prober in this process ---- */

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
    struct ev_loop *loop;
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

static void report_cb(const struct test_report *report, void *data)
{
    struct alone *alone = data;
    for (size_t i = 0; i < report->n_servers && i < CONF_SERVERS_MAX; i++)
        for (int stage = 0; stage < STAGE_COUNT; stage++) {
            if (alone->shown[i][stage] || !stage_has_ended(&report->servers[i].stages[stage]))
                continue;
            alone->shown[i][stage] = true;
            show_stage(alone, &report->servers[i], (enum stage)stage);
        }
    if (!report->complete)
        return;
    alone->decided = verdict_decide(report, alone->conf, &alone->verdict);
    ev_break(alone->loop, EVBREAK_ALL);
}

static void limit_cb(struct ev_loop *loop, struct ev_timer *timer, int events)
{
    ev_break(loop, EVBREAK_ALL);
}

static void run(struct alone *alone)
{
    struct prober *prober = prober_new(alone->loop, alone->conf, report_cb, alone);
    struct ev_timer limit;
    if (!prober) {
        cli_problem("out of memory");
        return;
    }
    ev_timer_init(&limit, limit_cb, CLI_TEST_WAIT_S, 0);
    ev_timer_start(alone->loop, &limit);
    prober_start(prober, 1);
    ev_run(alone->loop, 0);
    ev_timer_stop(alone->loop, &limit);
    prober_free(prober);
    if (!alone->decided)
        cli_problem("the test did not end within %d s", CLI_TEST_WAIT_S);
}

static void mistake_cb(const char *text, void *data)
{
    cli_mistake(text);
}

int cli_test_alone(const struct cli_options *options)
{
    struct alone alone = {.options = options, .loop = ev_default_loop(EVFLAG_AUTO)};
    struct conf *conf;
    int result = CLI_EXIT_FAILED;
    if (conf_load(options->conf_path, mistake_cb, NULL, &conf) < 0)
        return CLI_EXIT_CONFIG;
    alone.conf = conf;
    signal(SIGPIPE, SIG_IGN); /* a proxy that closes is a result, not our end */
    if (alone.loop)
        run(&alone);
    else
        cli_problem("no event loop");
    if (alone.decided) {
        json_t *status = parsed(status_verdict_json(&alone.verdict, time(NULL)));
        if (status)
            result = put_end(options, status);
        json_decref(status);
    }
    conf_free(conf);
    return result;
}
