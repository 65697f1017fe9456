/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/servers.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/message_id.h"

/* ---- log ---- */

static enum log_level level_of(enum server_state state)
{
    switch (state) {
    case SERVER_MISTRUSTED:
        return LOG_LEVEL_WARNING;
    case SERVER_TRUSTED:
    case SERVER_UNREACHABLE:
    case SERVER_PLAIN:
    case SERVER_UNRESOLVED:
        return LOG_LEVEL_NOTICE;
    case SERVER_UNTESTED:
    case SERVER_TESTING:
    case SERVER_STATE_COUNT:
        return LOG_LEVEL_INFO;
    }
    return LOG_LEVEL_INFO;
}

static void log_change(const struct server_status *server, enum server_state old, const struct verdict *in_force)
{
    const struct test_stage *failure = server_failure(&server->report);
    const struct addr *address = server_address(&server->report);
    const char *reason = verdict_reason(in_force->kind);
    const char *state = server_state_slug(server->state), *before = server_state_slug(old);
    bool known = addr_port(address) != 0, changed = server->state != old;
    char text[ADDR_TEXT_MAX] = "";
    const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_SERVER},
                                       {"PENSTOCK_STATUS", verdict_status(in_force->kind)},
                                       {"PENSTOCK_REASON", reason ? reason : ""},
                                       {"PENSTOCK_CAUSE", failure ? cause_slug((enum cause)failure->cause) : NULL},
                                       {"PENSTOCK_SERVER", server->report.server},
                                       {"PENSTOCK_SERVER_STATE", state},
                                       {"PENSTOCK_ADDRESS", known ? addr_text(address, text) : NULL},
                                       {NULL, NULL}};
    log_event(level_of(server->state), fields, "server %s%s%s: %s%s%s%s%s", server->report.server, known ? " at " : "",
              text, changed ? before : "still", changed ? " -> " : " ", state, failure ? ": " : "",
              failure ? failure->detail : "");
}

/* ---- what is known ---- */

static enum cause cause_of_failure(const struct server_report *report)
{
    const struct test_stage *failure = server_failure(report);
    return failure ? (enum cause)failure->cause : CAUSE_NONE;
}

/* A secure port that answers, whosever, forbids the plain ports to all. */
static bool plain_may_follow(const struct test_report *report, const struct conf *conf)
{
    if (report->complete || !conf->secure || !conf->allow_fallback)
        return false;
    for (uint32_t i = 0; i < report->n_servers; i++)
        if (report->servers[i].stages[STAGE_SECURE_TCP].outcome == TEST_PASSED)
            return false;
    return true;
}

/* Until this test has an answer, the last one's stays. */
static bool says_more(const struct server_status *server, enum server_state state, bool plain_may_follow)
{
    switch (state) {
    case SERVER_UNTESTED:
    case SERVER_UNREACHABLE:
    case SERVER_UNRESOLVED:
        return !plain_may_follow;
    case SERVER_TESTING:
        return server->tested_at == 0;
    case SERVER_TRUSTED:
    case SERVER_MISTRUSTED:
    case SERVER_PLAIN:
    case SERVER_STATE_COUNT:
        break;
    }
    return true;
}

static void take(struct server_status *server, const struct server_report *report, enum server_state state,
                 const struct verdict *in_force)
{
    enum server_state old = server->state;
    enum cause cause = cause_of_failure(&server->report);
    time_t now = time(NULL);
    server->report = *report;
    server->state = state;
    if (state != old)
        server->since = now;
    if (state != SERVER_TESTING)
        server->tested_at = now;
    if (state != SERVER_TESTING && (state != old || cause_of_failure(report) != cause))
        log_change(server, old, in_force);
}

void servers_take(struct servers *servers, const struct test_report *report, const struct conf *conf,
                  const struct verdict *in_force)
{
    bool plain = plain_may_follow(report, conf);
    for (size_t i = 0; i < servers->n && i < report->n_servers; i++) {
        const struct server_report *news = &report->servers[i];
        enum server_state state = server_state_of(news);

        if (strcmp(servers->list[i].report.server, news->server) == 0 && says_more(&servers->list[i], state, plain))
            take(&servers->list[i], news, state, in_force);
    }
}

static const struct server_status *find(const struct servers *servers, const char *name)
{
    for (size_t i = 0; i < servers->n; i++)
        if (strcmp(servers->list[i].report.server, name) == 0)
            return &servers->list[i];
    return NULL;
}

void servers_set_conf(struct servers *servers, const struct conf *conf)
{
    struct servers before = *servers;
    servers->n = conf->n_servers;
    for (size_t i = 0; i < conf->n_servers; i++) {
        const struct server_status *known = find(&before, conf->servers[i]);

        servers->list[i] = known ? *known : (struct server_status){.since = time(NULL)};
        snprintf(servers->list[i].report.server, NAME_SIZE, "%s", conf->servers[i]);
    }
}

void servers_warnings(const struct servers *servers, const struct verdict *in_force, struct texts *warnings)
{
    if (!verdict_redirects(in_force->kind))
        return;
    for (size_t i = 0; i < servers->n; i++)
        if (servers->list[i].state == SERVER_MISTRUSTED)
            texts_add(warnings, "%s is mistrusted: %s", servers->list[i].report.server,
                      server_failure(&servers->list[i].report)->detail);
}
