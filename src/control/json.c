/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/value.h"

#define REAL_PRECISION 12 /* digits; enough for a tenth of a millisecond in months */

/* ---- values ---- */

/* Counters beyond 2^63 come from a relay that lies. */
static json_t *count_value(uint64_t count)
{
    return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

static json_t *ms_value(uint32_t us)
{
    return json_real((us / 100 + (us % 100 >= 50)) / 10.);
}

static json_t *address_value(const struct addr *address)
{
    char text[ADDR_TEXT_MAX];
    return addr_port(address) == 0 ? json_null() : json_string(addr_text(address, text));
}

/* Takes object over. */
static char *dump(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(REAL_PRECISION)) : NULL;
    json_decref(object);
    return text;
}

/* ---- the status object ---- */

static json_t *proxy_object(const struct verdict *verdict)
{
    char host[ADDR_TEXT_MAX];
    bool in_use = addr_port(&verdict->address) != 0;
    if (verdict->server[0] == '\0')
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "server", value_of_text(verdict->server), "address",
                     in_use ? json_string(addr_host_text(&verdict->address, host)) : json_null(), "port",
                     in_use ? json_integer(addr_port(&verdict->address)) : json_null());
}

static json_t *tls_object(const struct tls_summary *tls)
{
    if (tls->version[0] == '\0' && tls->server_expires == 0 && tls->client_expires == 0)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:o}", "version", value_of_text_or_null(tls->version), "cipher",
                     value_of_text_or_null(tls->cipher), "server_expires", value_of_time(tls->server_expires),
                     "client_expires", value_of_time(tls->client_expires));
}

/* What failed untried took no time. */
static json_t *stage_ms_value(const struct test_stage *stage)
{
    return stage_has_ended(stage) && stage->us > 0 ? ms_value(stage->us) : json_null();
}

static json_t *stage_object(const struct test_stage *stage)
{
    json_t *object = json_pack("{s:s, s:o}", "result", outcome_text(stage->outcome), "ms", stage_ms_value(stage));
    if (object && stage->outcome == TEST_FAILED) {
        json_object_set_new(object, "cause", value_of_text_or_null(cause_slug((enum cause)stage->cause)));
        json_object_set_new(object, "detail", value_of_text_or_null(stage->detail));
    }
    return object;
}

/* "tcp" is the port that decides: the plain one when the secure channel is off. */
static json_t *tests_object(const struct test_stage stages[static STAGE_COUNT], time_t tested_at)
{
    bool off = stages[STAGE_SECURE_TCP].outcome == TEST_NOT_DONE;
    json_t *tests = json_object();
    for (int stage = 0; stage < STAGE_COUNT; stage++) {
        if (stage == STAGE_PLAIN_TCP && (off || stages[stage].outcome == TEST_NOT_DONE))
            continue;
        bool instead = stage == STAGE_SECURE_TCP && off;
        json_object_set_new(tests, stage_key(stage), stage_object(&stages[instead ? STAGE_PLAIN_TCP : stage]));
    }
    json_object_set_new(tests, "at", value_of_time(tested_at));
    return tests;
}

static json_t *server_object(const struct server_status *server, const struct verdict *verdict)
{
    const struct server_report *report = &server->report;
    const struct test_stage *failure = server_failure(report);
    const struct addr *address = server_address(report);
    bool known = addr_port(address) != 0;
    char host[ADDR_TEXT_MAX];
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "server", value_of_text(report->server), "state",
                     server_state_slug(server->state), "since", value_of_time(server->since), "cause",
                     value_of_text_or_null(failure ? cause_slug((enum cause)failure->cause) : NULL), "detail",
                     value_of_text_or_null(failure ? failure->detail : NULL), "address",
                     known ? json_string(addr_host_text(address, host)) : json_null(), "in_use",
                     verdict_redirects(verdict->kind) && strcmp(verdict->server, report->server) == 0, "port",
                     known ? json_integer(addr_port(address)) : json_null(), "tests",
                     tests_object(report->stages, server->tested_at));
}

static json_t *servers_array(const struct status_info *info)
{
    json_t *array = json_array();
    for (size_t i = 0; i < info->n_servers; i++)
        json_array_append_new(array, server_object(&info->servers[i], &info->verdict));
    return array;
}

static json_t *rules_object(const struct status_rules *rules)
{
    return json_pack("{s:o, s:b, s:b, s:b, s:o, s:o, s:o}", "table", value_of_text_or_null(rules->table), "installed",
                     rules->installed, "last_resort", rules->last_resort, "owned", rules->owned, "changes",
                     count_value(rules->changes), "repaired", count_value(rules->repaired), "error",
                     value_of_text_or_null(rules->error));
}

static json_t *texts_array(const struct texts *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; i < texts->n; i++)
        json_array_append_new(array, value_of_text(texts->lines[i]));
    if (texts->more > 0)
        json_array_append_new(array, json_sprintf("and %zu more", texts->more));
    return array;
}

static json_t *verdict_object(const struct verdict *verdict)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "verdict", verdict_slug(verdict->kind), "status",
        verdict_status(verdict->kind), "connection_status", verdict_connection_status(verdict->kind), "mode",
        verdict_mode_text(verdict_mode(verdict->kind)), "reason", value_of_text_or_null(verdict_reason(verdict->kind)),
        "cause", value_of_text_or_null(cause_slug(verdict->cause)), "detail", value_of_text_or_null(verdict->detail));
}

/* Where the verdict comes from. */
static json_t *proof_object(const struct verdict *verdict, time_t tested_at)
{
    return json_pack("{s:o, s:o, s:o}", "proxy", proxy_object(verdict), "tls", tls_object(&verdict->tls), "tests",
                     tests_object(verdict->stages, tested_at));
}

static json_t *sessions_object(const struct stats *stats, const struct status_traffic *traffic)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "open", count_value(stats->sessions_open), "total",
                     count_value(stats->sessions_total), "failed", count_value(stats->sessions_failed), "client_ended",
                     count_value(stats->sessions_client_ended), "refused", count_value(stats->sessions_refused), "shed",
                     count_value(stats->sessions_shed), "bypassed",
                     traffic->known ? count_value(traffic->bypassed) : json_null(), "rejected",
                     traffic->known ? count_value(traffic->rejected) : json_null());
}

static json_t *daemon_object(const struct status_info *info)
{
    const struct stats *stats = &info->stats;
    return json_pack("{s:b, s:o, s:o, s:{s:o, s:o}, s:o, s:i, s:s, s:o}", "running", 1, "rules",
                     rules_object(&info->rules), "sessions", sessions_object(stats, &info->traffic), "bytes", "up",
                     count_value(stats->bytes_up), "down", count_value(stats->bytes_down), "warnings",
                     texts_array(&info->warnings), "pid", (int)getpid(), "version", PACKAGE_VERSION, "started",
                     value_of_time(info->started));
}

/* Takes part over. Object NULL or part NULL: out of memory, and nothing is left of either. */
static json_t *joined(json_t *object, json_t *part)
{
    if (!object || !part || json_object_update(object, part) < 0) {
        json_decref(object);
        object = NULL;
    }
    json_decref(part);
    return object;
}

static json_t *status_object(const struct status_info *info)
{
    json_t *object = verdict_object(&info->verdict);
    object = joined(object, json_pack("{s:o}", "since", value_of_time(info->since)));
    object = joined(object, proof_object(&info->verdict, info->tested_at));
    json_object_set_new(json_object_get(object, "tests"), "next_at", value_of_time(info->next_test_at));
    object = joined(object, json_pack("{s:o}", "servers", servers_array(info)));
    return joined(object, daemon_object(info));
}

char *status_json(const struct status_info *info)
{
    return dump(status_object(info));
}

static json_t *end_object(const struct status_end *end)
{
    return json_pack("{s:o, s:o, s:b, s:o}", "at", value_of_time(end->at), "why", value_of_text(end->why), "failed",
                     end->failed, "web_traffic", value_of_text_or_null(end->web_traffic));
}

static json_t *state_object(const struct status_info *info)
{
    json_t *object = status_object(info);
    json_object_del(object, "sessions");
    json_object_del(object, "bytes");
    return object;
}

char *status_state_json(const struct status_info *info, const struct status_end *end)
{
    json_t *object = state_object(info);
    return dump(joined(object, json_pack("{s:o}", "ended", end ? end_object(end) : json_null())));
}

char *status_state_key(const struct status_info *info)
{
    json_t *object = state_object(info), *servers = json_object_get(object, "servers");
    json_object_del(object, "tests");
    json_object_del(object, "tls"); /* of each test anew */
    for (size_t i = 0; i < json_array_size(servers); i++)
        json_object_del(json_array_get(servers, i), "tests");
    return dump(object);
}

char *status_end_json(const struct status_end *end)
{
    return dump(json_pack("{s:o, s:s}", "ended", end_object(end), "version", PACKAGE_VERSION));
}

char *status_verdict_json(const struct verdict *verdict, time_t tested_at)
{
    return dump(joined(verdict_object(verdict), proof_object(verdict, tested_at)));
}

/* ---- the other lines ---- */

char *status_stage_json(const struct server_report *server, enum stage which)
{
    const struct test_stage *stage = &server->stages[which];
    if (!stage_has_ended(stage))
        return NULL;
    return dump(json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "stage", stage_key(which), "server",
                          value_of_text(server->server), "address", address_value(stage_address(server, which)),
                          "result", outcome_text(stage->outcome), "ms", stage_ms_value(stage), "cause",
                          value_of_text_or_null(cause_slug(stage->cause)), "detail",
                          value_of_text_or_null(stage->detail)));
}

char *status_session_json(const struct ipc_session *session)
{
    return dump(json_pack(
        "{s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:{s:o, s:o}, s:o, s:o}", "client", address_value(&session->client),
        "destination", address_value(&session->destination), "name", value_of_text_or_null(session->name), "ech",
        session->ech, "target", value_of_text_or_null(target_slug(session->target)), "route",
        value_of_text_or_null(route_mode_text(session->mode)), "proxy", address_value(&session->proxy), "bytes", "up",
        count_value(session->bytes_up), "down", count_value(session->bytes_down), "age_ms",
        count_value(session->age_ms), "state", value_of_text_or_null(session->state)));
}

char *status_sum_json(const struct sum *sum)
{
    return dump(json_pack("{s:s, s:o, s:b, s:o, s:o, s:{s:o, s:o}}", "by", sum_by_text((enum sum_by)sum->by), "key",
                          value_of_text_or_null(sum->key), "others", sum->others, "sessions",
                          count_value(sum->sessions), "failed", count_value(sum->failed), "bytes", "up",
                          count_value(sum->up), "down", count_value(sum->down)));
}

char *status_config_json(const char *text)
{
    return dump(json_pack("{s:o}", "config", value_of_text(text)));
}

char *status_error_json(const char *error)
{
    return dump(json_pack("{s:o}", "error", value_of_text(error)));
}

char *status_reload_json(bool ok, const struct texts *texts)
{
    if (ok && texts->n == 0)
        return dump(json_pack("{s:b}", "ok", 1));
    return dump(json_pack("{s:b, s:o}", "ok", ok, ok ? "warnings" : "errors", texts_array(texts)));
}
