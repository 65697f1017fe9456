/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "channel/prober/prober.h"
#include "cli/cli.h"
#include "cli/page.h"
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

struct alone {
    const struct cli_options *options;
    const struct conf *conf;
    struct ev_loop *loop;
    bool shown[CONF_SERVERS_MAX][STAGE_COUNT];
    struct verdict verdict;
    bool decided;
};

static json_t *text_or_null(const char *text)
{
    return text && *text ? cli_json_text(text) : json_null();
}

static json_t *time_or_null(int64_t when)
{
    time_t t = (time_t)when;
    struct tm tm;
    char buf[64];
    if (when <= 0 || !gmtime_r(&t, &tm) || strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return json_null();
    return json_string(buf);
}

static json_t *stage_result(const struct test_stage *stage)
{
    bool ended = stage_has_ended(stage);
    return json_pack("{s:s, s:o}", "result", outcome_text(stage->outcome), "ms",
                     ended ? json_real((stage->us / 100 + (stage->us % 100 >= 50)) / 10.) : json_null());
}

static void show_stage(const struct alone *alone, const struct server_report *server, enum stage which)
{
    const struct test_stage *stage = &server->stages[which];
    const struct addr *address = stage_address(server, which);
    json_t *object = json_object();
    char text[ADDR_TEXT_MAX];
    json_object_set_new(object, "stage", json_string(stage_key(which)));
    json_object_set_new(object, "server", text_or_null(server->server));
    json_object_set_new(object, "address", text_or_null(addr_port(address) > 0 ? addr_text(address, text) : ""));
    json_object_update_new(object, stage_result(stage));
    json_object_set_new(object, "cause", text_or_null(cause_slug(stage->cause)));
    json_object_set_new(object, "detail", text_or_null(stage->detail));
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

/* In the shape of the daemon's status object. */
static json_t *status_of(const struct verdict *verdict)
{
    const char *reason = verdict_reason(verdict->kind);
    bool in_use = addr_port(&verdict->address) > 0;
    bool off = verdict->stages[STAGE_SECURE_TCP].outcome == TEST_NOT_DONE;
    char host[ADDR_TEXT_MAX];
    json_t *status, *proxy = json_null(), *tls = json_null();
    if (*verdict->server)
        proxy = json_pack("{s:o, s:o, s:o}", "server", cli_json_text(verdict->server), "address",
                          in_use ? json_string(addr_host_text(&verdict->address, host)) : json_null(), "port",
                          in_use ? json_integer(addr_port(&verdict->address)) : json_null());
    if (*verdict->tls.version)
        tls = json_pack("{s:s, s:o, s:o, s:o}", "version", verdict->tls.version, "cipher",
                        text_or_null(verdict->tls.cipher), "server_expires", time_or_null(verdict->tls.server_expires),
                        "client_expires", time_or_null(verdict->tls.client_expires));
    status = json_pack("{s:s, s:s, s:s, s:s}", "verdict", verdict_slug(verdict->kind), "status",
                       verdict_status(verdict->kind), "connection_status", verdict_connection_status(verdict->kind),
                       "mode", verdict_mode_text(verdict_mode(verdict->kind)));
    json_object_set_new(status, "reason", text_or_null(reason ? reason : ""));
    json_object_set_new(status, "cause", text_or_null(cause_slug(verdict->cause)));
    json_object_set_new(status, "detail", text_or_null(verdict->detail));
    json_object_set_new(status, "proxy", proxy);
    json_object_set_new(status, "tls", tls);
    json_object_set_new(
        status, "tests",
        json_pack("{s:o, s:o, s:o}", "tcp", stage_result(&verdict->stages[off ? STAGE_PLAIN_TCP : STAGE_SECURE_TCP]),
                  "mutual_auth", stage_result(&verdict->stages[STAGE_MUTUAL_AUTH]), "at", time_or_null(time(NULL))));
    return status;
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
        json_t *status = status_of(&alone.verdict);
        result = put_end(options, status);
        json_decref(status);
    }
    conf_free(conf);
    return result;
}
