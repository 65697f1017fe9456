/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/text.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

bool text_locale_is_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

void text_style_of(FILE *out, struct text_style *ret_style)
{
    struct winsize size = {0};
    bool terminal = isatty(fileno(out));
    unsigned width = TEXT_WIDTH_MAX;
    if (terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    if (width < TEXT_WIDTH_MIN)
        width = TEXT_WIDTH_MIN;
    *ret_style = (struct text_style){
        .terminal = terminal,
        .colour = terminal && wants_colour(),
        .utf8 = text_locale_is_utf8(),
        .width = width < TEXT_WIDTH_MAX ? width : TEXT_WIDTH_MAX,
        .columns = width,
    };
}

/* Bytes of the UTF-8 character at text; 0 when it is not well-formed. ret_code is its code point. */
static size_t decode(const char *text, uint32_t *ret_code)
{
    unsigned char first = (unsigned char)text[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    uint32_t code = length < 2 ? first : first & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | ((unsigned char)text[i] & 0x3f);
    }
    if ((length == 3 && code < 0x800) || (length == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0; /* overlong, or beyond Unicode */
    *ret_code = code;
    return length;
}

/* C0, DEL, C1, and the marks and overrides of Unicode that make text run the other way or vanish. */
static bool is_harmful(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
           (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
           (code >= 0xd800 && code < 0xe000);
}

/* What to show for the character at *text, which is moved past it. */
static size_t clean_one(const char **text, bool utf8, char out[static 4])
{
    uint32_t code = 0;
    size_t length = decode(*text, &code);
    if (length == 0 || is_harmful(code) || (code >= 0x80 && !utf8)) {
        out[0] = '?';
        *text += length > 0 ? length : 1;
        return 1;
    }
    memcpy(out, *text, length);
    *text += length;
    return length;
}

const char *text_clean(const char *text, bool utf8, char *buf, size_t size)
{
    size_t at = 0;
    while (*text) {
        char one[4];
        size_t length = clean_one(&text, utf8, one);
        if (at + length >= size)
            break;
        memcpy(buf + at, one, length);
        at += length;
    }
    buf[at] = '\0';
    return buf;
}

void text_write(FILE *out, const char *text, bool utf8)
{
    while (*text) {
        char one[4];
        size_t length;
        if (*text == '\n') {
            putc(*text++, out);
            continue;
        }
        length = clean_one(&text, utf8, one);
        fwrite(one, 1, length, out);
    }
}

/* Columns that a terminal gives to the character at *text, which is moved past it: 2 for wide ones, 0 for what combines
 * with the one before. */
static size_t columns_of_one(const char **text)
{
    uint32_t code = 0;
    size_t length = decode(*text, &code);
    int columns = length > 0 ? wcwidth((wchar_t)code) : 1;
    *text += length > 0 ? length : 1;
    return columns < 0 ? 1 : (size_t)columns;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    while (*text)
        columns += columns_of_one(&text);
    return columns;
}

/* Bytes of what fits into columns. */
static size_t bytes_of(const char *text, size_t columns)
{
    const char *next = text, *end = text;
    for (size_t used = 0; *next; end = next) {
        used += columns_of_one(&next);
        if (used > columns)
            break;
    }
    return (size_t)(end - text);
}

void text_cell(FILE *out, const struct text_style *style, const char *text, size_t columns)
{
    size_t have = text_columns(text), bytes = columns > 0 ? bytes_of(text, columns - 1) : 0;
    char part[TEXT_MAX];
    if (have > columns && columns > 0) {
        snprintf(part, sizeof part, "%.*s", (int)bytes, text);
        /* Half a wide character has no place. */
        fprintf(out, "%s%s%*s", part, style->utf8 ? "…" : ">", (int)(columns - 1 - text_columns(part)), "");
    } else
        fprintf(out, "%s%*s", text, (int)(columns - have), "");
}

void text_wrap(FILE *out, const struct text_style *style, const char *text, size_t at, size_t indent)
{
    size_t room = style->width > indent ? style->width - indent : 1;
    bool fresh = true; /* nothing on this line yet */
    while (*text) {
        size_t bytes = strcspn(text, " ");
        size_t columns;
        char word[TEXT_MAX];
        if (bytes >= sizeof word)
            bytes = bytes_of(text, sizeof word / 4 - 1);
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        columns = text_columns(word);
        if (!fresh && at + 1 + columns > style->width) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
            fresh = true;
        }
        if (fresh && columns > room) { /* longer than a line: broken anywhere */
            bytes = bytes_of(word, room);
            bytes = bytes > 0 ? bytes : bytes_of(word, 2); /* a wide character where there is no room for one */
            word[bytes] = '\0';
            columns = room;
        }
        fprintf(out, "%s%s", fresh ? "" : " ", word);
        at += columns + !fresh;
        fresh = false;
        text += bytes;
        text += strspn(text, " ");
    }
}

void text_tone(FILE *out, const struct text_style *style, enum text_tone tone, bool bold)
{
    const char *code = "";
    if (!style->colour)
        return;
    switch (tone) {
    case TEXT_PLAIN:
        break;
    case TEXT_GOOD:
        code = "\033[32m";
        break;
    case TEXT_WARN:
        code = "\033[33m";
        break;
    case TEXT_BAD:
        code = "\033[31m";
        break;
    case TEXT_DIM:
        code = "\033[2m";
        break;
    }
    fprintf(out, "%s%s", bold ? "\033[1m" : "", code);
}

void text_tone_end(FILE *out, const struct text_style *style)
{
    if (style->colour)
        fputs("\033[0m", out);
}

const char *text_bytes(uint64_t bytes, char buf[static 32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes / 1024;
    size_t unit = 0;
    if (bytes < 1000) {
        snprintf(buf, 32, "%u B", (unsigned)bytes);
        return buf;
    }
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(buf, 32, "%.*f %s", value < 99.95 ? 1 : 0, value, units[unit]);
    return buf;
}

const char *text_duration(int64_t seconds, char buf[static 64])
{
    long long s = seconds < 0 ? 0 : seconds;
    if (s < 60)
        snprintf(buf, 64, "%lld s", s);
    else if (s < 3600)
        snprintf(buf, 64, "%lld min %lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, 64, "%lld h %lld min", s / 3600, s % 3600 / 60);
    else
        snprintf(buf, 64, "%lld d %lld h", s / 86400, s % 86400 / 3600);
    return buf;
}

bool text_parse_time(const char *text, int64_t *ret_time)
{
    struct tm tm = {0};
    const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    if (!end || strcmp(end, "Z") != 0)
        return false;
    *ret_time = timegm(&tm);
    return true;
}
