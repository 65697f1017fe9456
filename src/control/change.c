/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/change.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "control/value.h"

void change_path(const char *control_path, const char *default_path, char *ret_path, size_t size)
{
    const char *slash = strrchr(control_path, '/');
    if (strcmp(control_path, default_path) == 0)
        snprintf(ret_path, size, CHANGES_DIRECTORY CHANGES_NAME);
    else
        snprintf(ret_path, size, "%.*s" CHANGES_NAME, slash ? (int)(slash - control_path) + 1 : 0, control_path);
}

/* The number first: see CHANGES_SEQ. */
static char *line(uint64_t seq, time_t at, const char *type, json_t *more)
{
    json_t *object = json_pack("{s:I, s:o, s:s}", "seq", (json_int_t)seq, "at", value_of_time(at), "type", type);
    char *text;
    if (more && json_object_update(object, more) == 0)
        text = json_dumps(object, JSON_COMPACT);
    else
        text = NULL;
    json_decref(more);
    json_decref(object);
    return text;
}

static json_t *address_object(const struct addr *address)
{
    char text[ADDR_TEXT_MAX];
    return addr_port(address) != 0 ? json_string(addr_text(address, text)) : json_null();
}

char *change_verdict_json(uint64_t seq, time_t at, const struct verdict *verdict)
{
    bool fallback = verdict->fallback_detail[0] != '\0';
    return line(seq, at, "verdict",
                json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "verdict", verdict_slug(verdict->kind), "status",
                          verdict_status(verdict->kind), "mode", verdict_mode_text(verdict_mode(verdict->kind)),
                          "reason", value_of_text_or_null(verdict_reason(verdict->kind)), "cause",
                          value_of_text_or_null(cause_slug(fallback ? verdict->fallback_cause : verdict->cause)),
                          "detail", value_of_text_or_null(fallback ? verdict->fallback_detail : verdict->detail),
                          "server", value_of_text_or_null(verdict->server), "address",
                          address_object(&verdict->address)));
}

char *change_server_json(uint64_t seq, time_t at, const struct server_status *server)
{
    const struct test_stage *failure = server_failure(&server->report);
    return line(seq, at, "server",
                json_pack("{s:o, s:s, s:o, s:o, s:o}", "server", value_of_text(server->report.server), "state",
                          server_state_slug(server->state), "cause",
                          value_of_text_or_null(failure ? cause_slug((enum cause)failure->cause) : NULL), "detail",
                          value_of_text_or_null(failure ? failure->detail : NULL), "address",
                          address_object(server_address(&server->report))));
}

char *change_start_json(uint64_t seq, time_t at)
{
    return line(seq, at, "start", json_pack("{s:s}", "version", PACKAGE_VERSION));
}

char *change_stop_json(uint64_t seq, time_t at, const char *web_traffic)
{
    return line(seq, at, "stop", json_pack("{s:s}", "web_traffic", web_traffic));
}
