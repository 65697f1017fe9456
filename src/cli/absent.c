/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/absent.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/member.h"
#include "cli/text.h"
#include "gate/rules/standing.h"
#include "model/cause.h"
#include "model/conf/conf.h"
#include "model/verdict.h"

#define STATE_NAME "state.json"
#define STATE_MAX  (1U << 20) /* bytes */
/* A manager that does not answer must not keep anybody waiting. */
#define ASK_MANAGER                                                                                                    \
    "exec timeout 5 systemctl show penstock.service -p ActiveState,Result,ExecMainCode,ExecMainStatus 2>/dev/null"

/* ---- who might know ---- */

/* What the daemon wrote last; NULL: nothing that can be read. */
static json_t *read_last(const char *control_path)
{
    const char *slash = strrchr(control_path, '/');
    char path[PATH_MAX];
    FILE *file;
    json_t *last = NULL;
    char *text = malloc(STATE_MAX);
    snprintf(path, sizeof path, "%.*s" STATE_NAME, slash ? (int)(slash - control_path) + 1 : 0, control_path);
    file = fopen(path, "re");
    if (file && text)
        last = json_loadb(text, fread(text, 1, STATE_MAX, file), 0, NULL);
    if (file)
        fclose(file);
    free(text);
    if (json_is_object(last))
        return last;
    json_decref(last);
    return NULL;
}

/* Of the service manager; all zero: there is none, or it does not know the service. */
struct service {
    char state[32], result[32]; /* "failed", "exit-code" */
    int code, status;           /* of the last process, CLD_… */
};

static void take_line(struct service *service, const char *line)
{
    sscanf(line, "ActiveState=%31[a-z-]", service->state);
    sscanf(line, "Result=%31[a-z-]", service->result);
    sscanf(line, "ExecMainCode=%d", &service->code);
    sscanf(line, "ExecMainStatus=%d", &service->status);
}

static void ask_manager(struct service *service)
{
    char line[256];
    FILE *answer = access("/run/systemd/system", F_OK) == 0 ? popen(ASK_MANAGER, "re") : NULL;
    if (!answer)
        return;
    while (fgets(line, sizeof line, answer))
        take_line(service, line);
    pclose(answer);
}

/* A configuration that this user cannot read may name one. */
static bool is_unconfigured(void)
{
    struct conf *conf = conf_load_partly(NULL);
    bool none = conf && conf->n_servers == 0 && !conf->unread;
    conf_free(conf);
    return none;
}

/* ---- why ---- */

struct why {
    enum cause cause;
    char detail[TEXT_MAX];
};

static void say_service(const struct service *service, struct why *why)
{
    if (strcmp(service->result, "exit-code") == 0)
        snprintf(why->detail, sizeof why->detail, "penstock.service failed: penstockd ended with exit status %d%s",
                 service->status, service->status == CLI_EXIT_CONFIG ? " (an error in the configuration)" : "");
    else if (strcmp(service->result, "signal") == 0 || strcmp(service->result, "core-dump") == 0)
        snprintf(why->detail, sizeof why->detail, "penstock.service failed: penstockd was ended by signal %d",
                 service->status);
    else
        snprintf(why->detail, sizeof why->detail, "penstock.service failed: %s", service->result);
}

static void say_end(const json_t *end, const char *connect_problem, struct why *why)
{
    const char *words = text_at(end, "why");
    bool failed = json_is_true(json_object_get(end, "failed"));
    why->cause = failed ? CAUSE_DAEMON_FAILED : CAUSE_DAEMON_STOPPED;
    if (!failed)
        snprintf(why->detail, sizeof why->detail, "penstockd was stopped");
    else
        snprintf(why->detail, sizeof why->detail, "penstockd could not start: %.300s", words ? words : connect_problem);
}

static void find_why(const json_t *last, bool ours, const char *problem, struct why *why)
{
    struct service service = {.code = 0};
    const json_t *end = json_object_get(last, "ended");
    if (ours)
        ask_manager(&service);
    if (strcmp(service.result, "exec-condition") == 0 || (!last && ours && is_unconfigured())) {
        *why = (struct why){CAUSE_DAEMON_UNCONFIGURED, "no server is named in the configuration"};
    } else if (strcmp(service.state, "activating") == 0) {
        *why = (struct why){CAUSE_DAEMON_SILENT, "penstock.service is being started"};
    } else if (strcmp(service.state, "failed") == 0) {
        why->cause = CAUSE_DAEMON_FAILED;
        say_service(&service, why);
    } else if (json_is_object(end)) {
        say_end(end, problem, why);
    } else if (last) {
        why->cause = CAUSE_DAEMON_FAILED;
        snprintf(why->detail, sizeof why->detail,
                 "penstockd, pid %u, ended without a word: it was killed, or has crashed",
                 (unsigned)count_at(last, "pid"));
    } else {
        *why = (struct why){CAUSE_DAEMON_NOT_STARTED,
                            "penstockd has left nothing: it has not run since this host started"};
    }
}

/* ---- what the rules do ---- */

static const struct {
    const char *status, *words;                               /* of the page */
} effects[] = {[VERDICT_MODE_SECURE] = {"Not running", NULL}, /* nobody knows */
               [VERDICT_MODE_BLOCKED] = {"Not running - web traffic is refused", "is refused"},
               [VERDICT_MODE_DIRECT] = {"Not running - web traffic passes", "passes without the proxy"},
               [VERDICT_MODE_OPEN] = {"Not running - web traffic is not under control", "passes: there are no rules"}};

struct effect {
    enum verdict_mode mode; /* VERDICT_MODE_SECURE: not known */
    bool looked;            /* at the table itself */
    struct standing standing;
};

static enum verdict_mode mode_of(const struct standing *standing)
{
    if (!standing->exists)
        return VERDICT_MODE_OPEN;
    return standing->refuses ? VERDICT_MODE_BLOCKED : VERDICT_MODE_DIRECT;
}

/* Rules stay as they are when a daemon dies, and nobody listens behind a redirect any more. */
static enum verdict_mode mode_left_by(const json_t *last)
{
    const char *left = text_at(json_object_get(last, "ended"), "web_traffic");
    enum verdict_mode mode;
    if (left)
        return strcmp(left, "refused") == 0 ? VERDICT_MODE_BLOCKED : VERDICT_MODE_OPEN;
    if (!last || json_is_object(json_object_get(last, "ended")) || !verdict_mode_of(text_at(last, "mode"), &mode))
        return VERDICT_MODE_SECURE;
    return mode == VERDICT_MODE_SECURE || mode == VERDICT_MODE_PLAIN ? VERDICT_MODE_BLOCKED : mode;
}

static void find_effect(const json_t *last, struct effect *effect)
{
    char error[TABLE_ERROR_MAX];
    effect->looked = geteuid() == 0 && standing_read(&effect->standing, error) == 0;
    effect->mode = effect->looked ? mode_of(&effect->standing) : mode_left_by(last);
}

static json_t *traffic_text(const struct effect *effect)
{
    const char *words = effects[effect->mode].words;
    char text[TEXT_MAX], clean[TEXT_MAX];
    if (!words)
        return json_string("may pass or not: only root can see the rules (sudo penstock status)");
    if (!effect->looked)
        snprintf(text, sizeof text, "%s, as penstockd left it; root sees the rules themselves (sudo penstock status)",
                 words);
    else if (effect->mode == VERDICT_MODE_OPEN)
        snprintf(text, sizeof text, "%s of penstock's", words);
    else
        snprintf(text, sizeof text, "%s by the rules in table inet penstock (\"%s\")%s", words,
                 effect->standing.comment[0] ? effect->standing.comment : "no comment",
                 effect->mode == VERDICT_MODE_BLOCKED ? "; to open it: nft delete table inet penstock" : "");
    return json_string(text_clean(text, true, clean, sizeof clean));
}

/* ---- the object ---- */

static json_t *rules_object(const struct effect *effect)
{
    return json_pack("{s:s, s:o, s:o}", "table", "inet penstock", "installed",
                     effect->looked ? json_boolean(effect->standing.exists) : json_null(), "comment",
                     effect->looked && effect->standing.comment[0] ? cli_json_text(effect->standing.comment)
                                                                   : json_null());
}

json_t *absent_status(const struct cli_options *options, const char *problem, bool gone)
{
    bool ours = strcmp(options->control_path, CLI_CONTROL_PATH) == 0;
    json_t *last = read_last(options->control_path);
    const char *ended = text_at(json_object_get(last, "ended"), "at");
    struct why why = {.cause = CAUSE_DAEMON_SILENT};
    struct effect effect = {.looked = false};
    snprintf(why.detail, sizeof why.detail, "%.900s", problem);
    if (gone)
        find_why(last, ours, problem, &why);
    find_effect(last, &effect);
    return json_pack("{s:b, s:n, s:s, s:s, s:o, s:n, s:s, s:o, s:o, s:n, s:n, s:n, s:[], s:o, s:o, s:[], s:o}",
                     "running", 0, "verdict", "status", effects[effect.mode].status, "connection_status", "Not Tested",
                     "mode", effects[effect.mode].words ? json_string(verdict_mode_text(effect.mode)) : json_null(),
                     "reason", "cause", cause_slug(why.cause), "detail", cli_json_text(why.detail), "since",
                     ended ? json_string(ended) : json_null(), "proxy", "tls", "tests", "servers", "rules",
                     rules_object(&effect), "web_traffic", traffic_text(&effect), "warnings", "last",
                     last ? last : json_null());
}
