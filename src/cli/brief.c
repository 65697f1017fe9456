/* SPDX-License-Identifier: GPL-2.0-or-later */
/* status --check: one line for Nagios, Icinga, checkmk and Zabbix, with performance data behind a bar. */
#include "config.h"

#include "cli/brief.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/member.h"
#include "cli/text.h"
#include "model/verdict.h"

#define DAY          86400
#define EXPIRES_SOON 14 /* days, as on the page */

static const char *const words[] = {
    [BRIEF_OK] = "OK", [BRIEF_WARNING] = "WARNING", [BRIEF_CRITICAL] = "CRITICAL", [BRIEF_UNKNOWN] = "UNKNOWN"};

/* False: there is no such certificate, or nobody knows. */
static bool days_left(const json_t *status, const char *key, int64_t now, int64_t *ret_days)
{
    int64_t when;
    if (!text_parse_time(text_at(json_object_get(status, "tls"), key), &when))
        return false;
    *ret_days = (when - now) / DAY;
    return true;
}

static bool expires_soon(const json_t *status, int64_t now)
{
    int64_t days;
    return (days_left(status, "server_expires", now, &days) && days < EXPIRES_SOON) ||
           (days_left(status, "client_expires", now, &days) && days < EXPIRES_SOON);
}

static bool has_warnings(const json_t *status, int64_t now)
{
    return json_array_size(json_object_get(status, "warnings")) > 0 || expires_soon(status, now);
}

enum brief brief_of(const json_t *status, int64_t now)
{
    enum verdict_mode mode;
    const char *verdict = text_at(status, "verdict");
    if (json_is_false(json_object_get(status, "running")))
        return BRIEF_CRITICAL;
    if (!verdict_mode_of(text_at(status, "mode"), &mode))
        return BRIEF_UNKNOWN;
    switch (mode) {
    case VERDICT_MODE_SECURE:
        return has_warnings(status, now) ? BRIEF_WARNING : BRIEF_OK;
    case VERDICT_MODE_PLAIN:
        return BRIEF_WARNING;
    case VERDICT_MODE_DIRECT:
        if (verdict && strcmp(verdict, "passive") == 0)
            return has_warnings(status, now) ? BRIEF_WARNING : BRIEF_OK;
        return verdict && strcmp(verdict, "paused") == 0 ? BRIEF_WARNING : BRIEF_CRITICAL;
    case VERDICT_MODE_BLOCKED:
    case VERDICT_MODE_OPEN:
        return BRIEF_CRITICAL;
    }
    return BRIEF_UNKNOWN;
}

static void add(char *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *buf, const char *format, ...)
{
    size_t length = strlen(buf);
    va_list args;
    va_start(args, format);
    vsnprintf(buf + length, TEXT_MAX - length, format, args);
    va_end(args);
}

/* One line: '|' begins the data, so it may not stand in the text. */
static void put_text(const json_t *status, int64_t now, char buf[static TEXT_MAX])
{
    const json_t *warnings = json_object_get(status, "warnings");
    const char *text = text_at(status, "status"), *detail = text_at(status, "detail");
    const char *server = text_at(json_object_get(status, "proxy"), "server");
    const char *warning = json_string_value(json_array_get(warnings, 0));
    char raw[TEXT_MAX] = "";
    add(raw, "%.200s", text ? text : "status unknown");
    if (detail)
        add(raw, ": %.400s", detail);
    else if (server)
        add(raw, ", by %.200s", server);
    if (warning)
        add(raw, "; %.300s", warning);
    else if (expires_soon(status, now))
        add(raw, "; a certificate expires soon");
    text_clean(raw, text_locale_is_utf8(), buf, TEXT_MAX);
    for (char *c = buf; *c; c++)
        if (*c == '|')
            *c = '/';
}

static void put_data(const json_t *status, int64_t now, char buf[static TEXT_MAX])
{
    static const struct {
        const char *object, *key, *label, *unit;
    } counts[] = {{"sessions", "open", "sessions", ""},    {"sessions", "total", "total", "c"},
                  {"sessions", "failed", "failed", "c"},   {"sessions", "client_ended", "client_ended", "c"},
                  {"sessions", "refused", "refused", "c"}, {"bytes", "up", "up", "B"},
                  {"bytes", "down", "down", "B"},          {"rules", "repaired", "repaired", "c"}};
    static const struct {
        const char *key, *label;
    } tests[] = {{"tcp", "tcp"}, {"mutual_auth", "authentication"}};
    static const struct {
        const char *key, *label;
    } certificates[] = {{"server_expires", "server_certificate_days"}, {"client_expires", "client_certificate_days"}};
    int64_t days;
    double ms;
    buf[0] = '\0';
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        if (json_is_integer(json_object_get(json_object_get(status, counts[i].object), counts[i].key)))
            add(buf, " %s=%" PRIu64 "%s", counts[i].label,
                count_at(json_object_get(status, counts[i].object), counts[i].key), counts[i].unit);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (number_at(json_object_get(json_object_get(status, "tests"), tests[i].key), "ms", &ms))
            add(buf, " %s=%.1fms", tests[i].label, ms);
    for (size_t i = 0; i < sizeof certificates / sizeof certificates[0]; i++)
        if (days_left(status, certificates[i].key, now, &days))
            add(buf, " %s=%" PRId64 ";%d:;0:", certificates[i].label, days, EXPIRES_SOON);
}

void brief_render(FILE *out, const json_t *status, int64_t now)
{
    char text[TEXT_MAX], data[TEXT_MAX];
    put_text(status, now, text);
    put_data(status, now, data);
    fprintf(out, "PENSTOCK %s - %s%s%s\n", words[brief_of(status, now)], text, data[0] ? " |" : "", data);
}
