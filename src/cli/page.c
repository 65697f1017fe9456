/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "cli/changes.h"
#include "cli/hint.h"
#include "cli/member.h"
#include "cli/page_servers.h"
#include "model/report.h"
#include "model/verdict.h"

#define LABEL_COLUMNS 14 /* of "  Certificates" */
#define INDENT        (LABEL_COLUMNS + 2)
#define EXPIRES_SOON  14 /* days */
#define DAY           86400

struct page {
    FILE *out;
    const struct text_style *style;
    int64_t now;
};

static bool mode_is(const json_t *status, enum verdict_mode mode)
{
    enum verdict_mode known;
    return verdict_mode_of(text_at(status, "mode"), &known) && known == mode;
}

/* ---- lines ---- */

static void field(const struct page *page, const char *label, enum text_tone tone, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "  Label         text", wrapped below itself. */
static void field(const struct page *page, const char *label, enum text_tone tone, const char *format, ...)
{
    char raw[TEXT_MAX], clean[TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    text_tone(page->out, page->style, TEXT_DIM, false);
    fprintf(page->out, "  %-*s", LABEL_COLUMNS, label);
    text_tone_end(page->out, page->style);
    text_tone(page->out, page->style, tone, false);
    text_wrap(page->out, page->style, text_clean(raw, page->style->utf8, clean, sizeof clean), INDENT, INDENT);
    text_tone_end(page->out, page->style);
    putc('\n', page->out);
}

static enum text_tone tone_of_status(const json_t *status)
{
    if (mode_is(status, VERDICT_MODE_SECURE))
        return TEXT_GOOD;
    if (mode_is(status, VERDICT_MODE_OPEN))
        return TEXT_BAD;
    if (mode_is(status, VERDICT_MODE_BLOCKED) && verdict_of(text_at(status, "verdict")) != VERDICT_TESTING)
        return TEXT_BAD;
    return TEXT_WARN;
}

static const char *local_date(int64_t when, char buf[static 32])
{
    time_t t = (time_t)when;
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(buf, 32, "%Y-%m-%d", &tm) == 0)
        buf[0] = '\0';
    return buf;
}

static const char *local_clock(int64_t when, char buf[static 32])
{
    time_t t = (time_t)when;
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(buf, 32, "%H:%M:%S", &tm) == 0)
        buf[0] = '\0';
    return buf;
}

/* "Proxy Trusted, since 2026-01-02 03:04:05 (2 h 13 min)" */
static void put_since(const struct page *page, const json_t *status)
{
    const char *connection = text_at(status, "connection_status");
    char raw[TEXT_MAX], clean[TEXT_MAX], date[32], clock[32], age[64];
    int64_t since;
    size_t at = 0;
    if (connection)
        at = (size_t)snprintf(raw, sizeof raw, "%.200s", connection);
    if (text_parse_time(text_at(status, "since"), &since)) {
        snprintf(raw + at, sizeof raw - at, "%ssince %s %s (%s)", at > 0 ? ", " : "", local_date(since, date),
                 local_clock(since, clock), text_duration(page->now - since, age));
    } else if (at == 0) {
        return;
    }
    fputs("  ", page->out);
    text_wrap(page->out, page->style, text_clean(raw, page->style->utf8, clean, sizeof clean), 2, 2);
    putc('\n', page->out);
}

/* On top, where they are seen. */
static void put_warnings(const struct page *page, const json_t *status)
{
    const json_t *warnings = json_object_get(status, "warnings"), *warning;
    size_t i;
    json_array_foreach(warnings, i, warning)
    {
        const char *text = json_string_value(warning);
        char clean[TEXT_MAX];
        if (!text)
            continue;
        text_tone(page->out, page->style, TEXT_WARN, false);
        fprintf(page->out, "  %s ", page_mark(page->style, TEXT_WARN));
        text_wrap(page->out, page->style, text_clean(text, page->style->utf8, clean, sizeof clean), 4, 4);
        text_tone_end(page->out, page->style);
        putc('\n', page->out);
    }
}

static void put_title(const struct page *page, const json_t *status)
{
    const char *text = text_at(status, "status");
    char clean[TEXT_MAX];
    text_tone(page->out, page->style, tone_of_status(status), true);
    fprintf(page->out, "%s ", page->style->utf8 ? "●" : "*");
    text_wrap(page->out, page->style,
              text_clean(text ? text : "Status unknown", page->style->utf8, clean, sizeof clean), 2, 2);
    text_tone_end(page->out, page->style);
    putc('\n', page->out);
    put_since(page, status);
    put_warnings(page, status);
}

/* In fallback the cure is that of the secure port. */
static const char *hint_of(const json_t *status)
{
    const json_t *tests = json_object_get(status, "tests");
    if (mode_is(status, VERDICT_MODE_PLAIN) && json_is_object(json_object_get(tests, stage_key(STAGE_PLAIN_TCP))))
        return hint_for(NULL, text_at(json_object_get(tests, stage_key(STAGE_SECURE_TCP)), "cause"));
    return hint_for(text_at(status, "verdict"), text_at(status, "cause"));
}

/* What a daemon that does not answer has left. */
static void put_left(const struct page *page, const json_t *status)
{
    const json_t *last = json_object_get(status, "last");
    const char *traffic = text_at(status, "web_traffic"), *before = text_at(last, "status");
    char date[32], clock[32];
    int64_t since;
    if (traffic)
        field(page, "Web traffic", tone_of_status(status), "%s", traffic);
    if (before && text_parse_time(text_at(last, "since"), &since))
        field(page, "Before", TEXT_PLAIN, "%s, since %s %s", before, local_date(since, date),
              local_clock(since, clock));
}

static void put_reason(const struct page *page, const json_t *status)
{
    const char *reason = text_at(status, "reason");
    const char *detail = text_at(status, "detail");
    const char *hint = hint_of(status);
    if (!reason && !detail && !hint)
        return;
    putc('\n', page->out);
    if (reason)
        field(page, "Reason", TEXT_PLAIN, "%s", reason);
    if (detail)
        field(page, "Detail", TEXT_PLAIN, "%s", detail);
    if (hint)
        field(page, "What to do", TEXT_PLAIN, "%s", hint);
    if (json_is_false(json_object_get(status, "running"))) {
        put_left(page, status);
        return;
    }
    if (mode_is(status, VERDICT_MODE_DIRECT))
        field(page, "Note", TEXT_WARN, "Web traffic passes without the proxy (OnUnavailable=direct in [Failure]).");
    if (mode_is(status, VERDICT_MODE_OPEN))
        field(page, "Note", TEXT_BAD, "Web traffic is not under control: it may leave without the proxy.");
}

/* "server valid until 2026-12-31 (40 days)"; an absent date gives no line. */
static bool put_certificate(const struct page *page, const char *label, const char *whose, const char *expires)
{
    char date[32];
    int64_t when, days;
    if (!text_parse_time(expires, &when))
        return false;
    local_date(when, date);
    days = (when - page->now) / DAY;
    if (when <= page->now)
        field(page, label, TEXT_BAD, "%s expired on %s", whose, date);
    else
        field(page, label, days < EXPIRES_SOON ? TEXT_WARN : TEXT_PLAIN, "%s valid until %s (%" PRId64 " day%s%s)",
              whose, date, days, days == 1 ? "" : "s", days < EXPIRES_SOON ? " left" : "");
    return true;
}

static void put_proxy(const struct page *page, const json_t *status)
{
    const json_t *proxy = json_object_get(status, "proxy");
    const json_t *tls = json_object_get(status, "tls");
    const char *server = text_at(proxy, "server");
    const char *address = text_at(proxy, "address");
    const char *version = text_at(tls, "version");
    const char *cipher = text_at(tls, "cipher");
    uint64_t port = count_at(proxy, "port");
    bool v6 = address && strchr(address, ':');
    char port_text[32] = "";
    if (port > 0)
        snprintf(port_text, sizeof port_text, ":%" PRIu64, port);
    if (!page_put_servers(page->out, page->style, status, page->now, "  Servers", INDENT) && (server || address))
        field(page, "Proxy", TEXT_PLAIN, "%s%s%s%s%s%s", server ? server : "", server && address ? " at " : "",
              v6 ? "[" : "", address ? address : "", v6 ? "]" : "", port_text);
    if (version)
        field(page, "Channel", TEXT_PLAIN, "%s%s%s", version, cipher ? ", " : "", cipher ? cipher : "");
    if (put_certificate(page, "Certificates", "server", text_at(tls, "server_expires")))
        put_certificate(page, "", "client", text_at(tls, "client_expires"));
    else
        put_certificate(page, "Certificates", "client", text_at(tls, "client_expires"));
}

static enum text_tone tone_of_result(const json_t *stage)
{
    switch (outcome_of(text_at(stage, "result"))) {
    case TEST_PASSED:
        return TEXT_GOOD;
    case TEST_FAILED:
        return TEXT_BAD;
    case TEST_NOT_DONE:
    case TEST_RUNNING:
        break;
    }
    return TEXT_DIM;
}

/* True when the stage was there. */
static bool put_test(const struct page *page, const char *label, const char *name, const json_t *stage)
{
    const char *result = text_at(stage, "result");
    enum text_tone tone = tone_of_result(stage);
    double ms;
    if (!result)
        return false;
    if (tone == TEXT_DIM)
        field(page, label, tone, "%s %s: %s", page_mark(page->style, tone), name, result);
    else if (number_at(stage, "ms", &ms))
        field(page, label, tone, "%s %s, %.1f ms", page_mark(page->style, tone), name, ms);
    else
        field(page, label, tone, "%s %s", page_mark(page->style, tone), name);
    return true;
}

/* With the secure channel off, the first one is the plain port's. */
static const char *test_name(const json_t *status, enum stage stage)
{
    const json_t *plain = json_object_get(json_object_get(status, "tests"), stage_key(STAGE_PLAIN_TCP));
    if (stage != STAGE_SECURE_TCP || plain)
        return stage_text(stage);
    return mode_is(status, VERDICT_MODE_PLAIN) ? stage_text(STAGE_PLAIN_TCP) : "TCP to the proxy's port";
}

static void put_tests(const struct page *page, const json_t *status)
{
    const json_t *tests = json_object_get(status, "tests");
    bool told = json_array_size(json_object_get(status, "servers")) > 0;
    const char *label = "Tests";
    char clock[32], age[64], left[64], next[80] = "";
    int64_t at, due;
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (!(told && tone_of_result(json_object_get(tests, stage_key((enum stage)stage))) == TEXT_GOOD) &&
            put_test(page, label, test_name(status, (enum stage)stage),
                     json_object_get(tests, stage_key((enum stage)stage))))
            label = "";
    if (!text_parse_time(text_at(tests, "at"), &at))
        return;
    if (text_parse_time(text_at(tests, "next_at"), &due))
        snprintf(next, sizeof next, ", next in %s", text_duration(due - page->now, left));
    field(page, label, TEXT_DIM, "at %s, %s ago%s", local_clock(at, clock), text_duration(page->now - at, age), next);
}

static void put_rules(const struct page *page, const json_t *status)
{
    const json_t *rules = json_object_get(status, "rules");
    const char *table = text_at(rules, "table");
    const char *error = text_at(rules, "error");
    const json_t *installed = json_object_get(rules, "installed");
    uint64_t changes = count_at(rules, "changes"), repaired = count_at(rules, "repaired");
    if (!json_is_object(rules))
        return;
    if (json_is_true(installed))
        field(page, "Rules", TEXT_PLAIN, "%s installed%s, %" PRIu64 " change%s, %" PRIu64 " repaired",
              table ? table : "table", json_is_true(json_object_get(rules, "owned")) ? " and owned" : "", changes,
              changes == 1 ? "" : "s", repaired);
    else if (json_is_true(json_object_get(rules, "last_resort")))
        field(page, "Rules", TEXT_BAD, "%s %s is the last resort: it refuses web traffic, and knows nothing else",
              page_mark(page->style, TEXT_BAD), table ? table : "the table");
    else
        field(page, "Rules", TEXT_BAD, "%s %s is not installed", page_mark(page->style, TEXT_BAD),
              table ? table : "the table");
    if (error)
        field(page, "", TEXT_BAD, "%s", error);
}

static void put_traffic(const struct page *page, const json_t *status)
{
    const json_t *sessions = json_object_get(status, "sessions");
    const json_t *bytes = json_object_get(status, "bytes");
    char up[32], down[32], shed[48] = "";
    if (count_at(sessions, "shed") > 0)
        snprintf(shed, sizeof shed, ", %" PRIu64 " too many of one user", count_at(sessions, "shed"));
    if (json_is_object(sessions))
        field(page, "Sessions", TEXT_PLAIN,
              "%" PRIu64 " open, %" PRIu64 " total, %" PRIu64 " failed, %" PRIu64 " client-ended, %" PRIu64
              " refused%s",
              count_at(sessions, "open"), count_at(sessions, "total"), count_at(sessions, "failed"),
              count_at(sessions, "client_ended"), count_at(sessions, "refused"), shed);
    if (json_is_integer(json_object_get(sessions, "bypassed")))
        field(page, "Bypassed", TEXT_PLAIN, "%" PRIu64 " past the proxy; %" PRIu64 " rejected by the rules",
              count_at(sessions, "bypassed"), count_at(sessions, "rejected"));
    if (json_is_object(bytes))
        field(page, "Bytes", TEXT_PLAIN, "%s up, %s down", text_bytes(count_at(bytes, "up"), up),
              text_bytes(count_at(bytes, "down"), down));
}

static void put_daemon(const struct page *page, const json_t *status)
{
    const char *version = text_at(status, "version");
    uint64_t pid = count_at(status, "pid");
    char raw[256], age[64];
    int64_t started;
    int at;
    if (!version && pid == 0)
        return;
    at = snprintf(raw, sizeof raw, "penstockd%s%.100s", version ? " " : "", version ? version : "");
    if (pid > 0)
        at += snprintf(raw + at, sizeof raw - (size_t)at, ", pid %" PRIu64, pid);
    if (text_parse_time(text_at(status, "started"), &started))
        snprintf(raw + at, sizeof raw - (size_t)at, ", up %s", text_duration(page->now - started, age));
    field(page, "Daemon", TEXT_DIM, "%s", raw);
}

void page_render(FILE *out, const struct text_style *style, const json_t *status, int64_t now)
{
    const struct page page = {.out = out, .style = style, .now = now};
    put_title(&page, status);
    put_reason(&page, status);
    if (json_is_false(json_object_get(status, "running")))
        return;
    putc('\n', out);
    put_proxy(&page, status);
    put_tests(&page, status);
    putc('\n', out);
    put_rules(&page, status);
    put_traffic(&page, status);
    put_daemon(&page, status);
}

void page_render_changes(FILE *out, const struct text_style *style, const json_t *changes, int64_t now)
{
    const struct page page = {.out = out, .style = style, .now = now};
    char date[32], today[32], clock[32], text[TEXT_MAX];
    local_date(now, today);
    if (json_array_size(changes) > 0)
        putc('\n', out);
    for (size_t i = json_array_size(changes); i-- > 0;) {
        const json_t *change = json_array_get(changes, i);
        int64_t at;

        if (!text_parse_time(text_at(change, "at"), &at))
            continue;
        local_date(at, date);
        field(&page, strcmp(date, today) == 0 ? local_clock(at, clock) : date, TEXT_PLAIN, "%s",
              changes_text(change, style->utf8, text));
    }
}

void page_render_verdict(FILE *out, const struct text_style *style, const json_t *status, int64_t now)
{
    const struct page page = {.out = out, .style = style, .now = now};
    put_title(&page, status);
    put_reason(&page, status);
    if (json_is_object(json_object_get(status, "proxy")) || json_is_object(json_object_get(status, "tls")))
        putc('\n', out);
    put_proxy(&page, status);
}

static const char *stage_name(const char *key)
{
    enum stage stage = stage_of(key);
    if (stage != STAGE_COUNT)
        return stage_text(stage);
    return key ? key : "test";
}

void page_render_stage(FILE *out, const struct text_style *style, const json_t *stage)
{
    enum text_tone tone = tone_of_result(stage);
    const char *server = text_at(stage, "server");
    const char *address = text_at(stage, "address");
    const char *detail = text_at(stage, "detail");
    size_t indent = page_mark_columns(style);
    char raw[TEXT_MAX], clean[TEXT_MAX], took[400] = ""; /* 1e300 is a number, too */
    double ms;
    text_tone(out, style, tone, false);
    text_cell(out, style, page_mark(style, tone), indent);
    text_tone_end(out, style);
    if (number_at(stage, "ms", &ms))
        snprintf(took, sizeof took, ", %.1f ms", ms);
    snprintf(raw, sizeof raw, "%s, %.260s%s%.80s%s%s", stage_name(text_at(stage, "stage")), server ? server : "-",
             address ? " (" : "", address ? address : "", address ? ")" : "", took);
    text_wrap(out, style, text_clean(raw, style->utf8, clean, sizeof clean), indent, indent);
    putc('\n', out);
    if (!detail)
        return;
    fprintf(out, "%*s", (int)indent, "");
    text_wrap(out, style, text_clean(detail, style->utf8, clean, sizeof clean), indent, indent);
    putc('\n', out);
}
