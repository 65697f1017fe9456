/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/page_servers.h"

#include <inttypes.h>
#include <string.h>

#include "cli/member.h"
#include "model/addr.h"
#include "model/server.h"
#include "model/verdict.h"

#define GAP      2
#define NAME_MAX 40 /* columns; a longer one stands alone */
#define ROOM_MIN 24 /* columns for what is said of it */

const char *page_mark(const struct text_style *style, enum text_tone tone)
{
    switch (tone) {
    case TEXT_GOOD:
        return style->utf8 ? "✓" : "ok";
    case TEXT_WARN:
        return "!";
    case TEXT_BAD:
        return style->utf8 ? "✗" : "FAILED";
    case TEXT_PLAIN:
    case TEXT_DIM:
        break;
    }
    return style->utf8 ? "–" : "-";
}

size_t page_mark_columns(const struct text_style *style)
{
    return style->utf8 ? 2 : 7;
}

static enum text_tone tone_of(enum server_state state)
{
    switch (state) {
    case SERVER_TRUSTED:
        return TEXT_GOOD;
    case SERVER_PLAIN:
        return TEXT_WARN;
    case SERVER_MISTRUSTED:
    case SERVER_UNREACHABLE:
    case SERVER_UNRESOLVED:
        return TEXT_BAD;
    case SERVER_UNTESTED:
    case SERVER_TESTING:
    case SERVER_STATE_COUNT:
        break;
    }
    return TEXT_DIM;
}

static const char *name_text(const json_t *server, const struct text_style *style, char buf[static TEXT_MAX])
{
    const char *name = text_at(server, "server");
    return text_clean(name ? name : "-", style->utf8, buf, TEXT_MAX);
}

/* "[2001:db8::1]:8081"; empty: not known. */
static const char *address_text(const json_t *server, const struct text_style *style, char buf[static TEXT_MAX])
{
    const char *address = text_at(server, "address");
    char raw[ADDR_TEXT_MAX + 16] = "";
    bool v6 = address && strchr(address, ':');
    if (address)
        snprintf(raw, sizeof raw, "%s%.50s%s:%" PRIu64, v6 ? "[" : "", address, v6 ? "]" : "",
                 count_at(server, "port"));
    return text_clean(raw, style->utf8, buf, TEXT_MAX);
}

static void append(char *buf, const char *text)
{
    size_t length = strlen(buf);
    snprintf(buf + length, TEXT_MAX - length, "%s", text);
}

static void append_times(const json_t *server, char *buf)
{
    static const struct {
        enum stage stage;
        const char *name;
    } shown[] = {{STAGE_SECURE_TCP, "TCP"}, {STAGE_MUTUAL_AUTH, "authentication"}};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        const json_t *test = json_object_get(json_object_get(server, "tests"), stage_key(shown[i].stage));
        char text[64];
        double ms;

        if (outcome_of(text_at(test, "result")) != TEST_PASSED || !number_at(test, "ms", &ms))
            continue;
        snprintf(text, sizeof text, ", %s %.1f ms", shown[i].name, ms);
        append(buf, text);
    }
}

/* Unless the head of the page says it already. */
static void put_detail(FILE *out, const struct text_style *style, const json_t *status, const json_t *server, size_t at)
{
    const char *detail = text_at(server, "detail"), *said = text_at(status, "detail");
    bool mistrusted = server_state_named(text_at(server, "state")) == SERVER_MISTRUSTED;
    char clean[TEXT_MAX];
    if (!detail || (said ? strcmp(detail, said) == 0 : mistrusted))
        return;
    fprintf(out, "%*s", (int)at, "");
    text_wrap(out, style, text_clean(detail, style->utf8, clean, sizeof clean), at, at);
    putc('\n', out);
}

static const char *state_text(const json_t *server, int64_t now, char buf[static TEXT_MAX])
{
    const char *slug = text_at(server, "state");
    enum server_state state = server_state_named(slug);
    bool in_use = json_is_true(json_object_get(server, "in_use"));
    char age[64], words[96];
    int64_t since;
    snprintf(buf, TEXT_MAX, "%.40s", in_use ? "in use" : slug ? slug : "state unknown");
    if (state == SERVER_PLAIN)
        append(buf, in_use ? ", by the plain port" : ": its plain port answers");
    if (state == SERVER_TRUSTED || state == SERVER_PLAIN) {
        append_times(server, buf);
        return buf;
    }
    if (text_parse_time(text_at(server, "since"), &since)) {
        snprintf(words, sizeof words, " for %s", text_duration(now - since, age));
        append(buf, words);
    }
    return buf;
}

struct layout {
    size_t begin, name, address; /* columns before the mark, and of both; 0: they stand in the text */
};

static void measure(const json_t *servers, const struct text_style *style, struct layout *layout)
{
    const json_t *server;
    size_t i;
    json_array_foreach(servers, i, server)
    {
        char text[TEXT_MAX];
        size_t name = text_columns(name_text(server, style, text));
        size_t address = text_columns(address_text(server, style, text));

        layout->name = name > layout->name ? name : layout->name;
        layout->address = address > layout->address ? address : layout->address;
    }
    if (layout->name > NAME_MAX ||
        layout->begin + page_mark_columns(style) + layout->name + layout->address + 2 * GAP + ROOM_MIN > style->width)
        layout->name = layout->address = 0;
}

static void put_one(FILE *out, const struct text_style *style, const struct layout *layout, const json_t *status,
                    const json_t *server, int64_t now)
{
    enum text_tone tone = tone_of(server_state_named(text_at(server, "state")));
    char name[TEXT_MAX], address[TEXT_MAX], raw[TEXT_MAX], clean[TEXT_MAX], line[4 * TEXT_MAX];
    size_t at = layout->begin + page_mark_columns(style);
    name_text(server, style, name);
    address_text(server, style, address);
    text_clean(state_text(server, now, raw), style->utf8, clean, sizeof clean);
    text_tone(out, style, tone, false);
    text_cell(out, style, page_mark(style, tone), page_mark_columns(style));
    text_tone_end(out, style);
    if (layout->name == 0) {
        snprintf(line, sizeof line, "%s%s%s: %s", name, *address ? " at " : "", address, clean);
        text_wrap(out, style, line, at, at);
    } else {
        text_cell(out, style, name, layout->name + GAP);
        text_cell(out, style, address, layout->address > 0 ? layout->address + GAP : 0);
        at += layout->name + GAP + (layout->address > 0 ? layout->address + GAP : 0);
        text_wrap(out, style, clean, at, at);
    }
    putc('\n', out);
    put_detail(out, style, status, server, layout->begin + page_mark_columns(style));
}

bool page_put_servers(FILE *out, const struct text_style *style, const json_t *status, int64_t now, const char *label,
                      size_t columns)
{
    const json_t *servers = json_object_get(status, "servers"), *server;
    struct layout layout = {.begin = columns};
    size_t i;
    measure(servers, style, &layout);
    json_array_foreach(servers, i, server)
    {
        text_tone(out, style, TEXT_DIM, false);
        text_cell(out, style, i == 0 ? label : "", columns);
        text_tone_end(out, style);
        put_one(out, style, &layout, status, server, now);
    }
    return json_array_size(servers) > 0;
}
