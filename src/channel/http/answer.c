/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/http/answer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "channel/http/head.h"
#include "model/ascii.h"
#include "model/hostname.h"

/* No control characters, a CR only before LF; looks at each byte once, however slowly they come. */
static bool is_text(struct answer *answer, const char *line, size_t length)
{
    size_t i = answer->checked;
    for (; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c == '\r' && i + 1 == length)
            break; /* what comes next? */
        if ((c < 0x20 && c != '\t' && c != '\n' && !(c == '\r' && line[i + 1] == '\n')) || c == 0x7f)
            return false;
    }
    answer->checked = i;
    return true;
}

/* RFC 9112 section 4, any HTTP/1 minor version; the blank before an empty reason may be missing, many servers do so.
 * Of a line that is not whole: may it become one? */
static bool is_status_line(const char *line, size_t length, bool whole)
{
    static const char pattern[] = "HTTP/1.# ### ";
    size_t known = sizeof pattern - 1;
    if (!whole && length > 0 && line[length - 1] == '\r')
        length--;
    for (size_t i = 0; i < length && i < known; i++) {
        char c = line[i];
        if (i == 9 ? c < '1' || c > '5' : pattern[i] == '#' ? !ascii_is_digit(c) : c != pattern[i])
            return false;
    }
    return !whole || length >= known - 1;
}

static void read_status(struct answer *answer, const struct head_line *line)
{
    const char *digits = line->text + 9;
    size_t n = 0;
    answer->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    for (size_t i = 13; i < line->length && n < sizeof answer->reason - 1; i++)
        answer->reason[n++] = line->text[i] >= 0x20 && line->text[i] < 0x7f ? line->text[i] : '?';
    while (n > 0 && answer->reason[n - 1] == ' ')
        n--;
    answer->reason[n] = '\0';
    answer->hint[0] = '\0';
    answer->basic = false;
}

/* ---- hints ---- */

static size_t token_length(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && (ascii_is_alnum(text[n]) || text[n] == '-' || text[n] == '_'))
        n++;
    return n;
}

static void add_scheme(struct answer *answer, const char *scheme, size_t length)
{
    size_t used = strlen(answer->hint);
    if (length == strlen("Basic") && strncasecmp(scheme, "Basic", length) == 0)
        answer->basic = true;
    snprintf(answer->hint + used, sizeof answer->hint - used, "%s%.*s", used > 0 ? ", " : "", (int)length, scheme);
}

/* RFC 9110 section 11.6.1: challenges and their parameters alike stand between commas; "name=" is a parameter, and so
 * is what a quoted comma cuts off. */
static void take_schemes(struct answer *answer, const char *value, size_t length)
{
    while (length > 0) {
        const char *comma = memchr(value, ',', length);
        size_t part = comma ? (size_t)(comma - value) : length, blanks = 0;
        while (blanks < part && ascii_is_blank(value[blanks]))
            blanks++;
        size_t n = token_length(value + blanks, part - blanks);
        bool alone = blanks + n == part;
        if (n > 0 && (alone || ascii_is_blank(value[blanks + n])))
            add_scheme(answer, value + blanks, n);
        size_t next = comma ? part + 1 : part;
        value += next;
        length -= next;
    }
}

/* "http://login.example/…" */
static void take_location(struct answer *answer, const char *value, size_t length)
{
    char name[HOSTNAME_SIZE];
    const char *slashes = memmem(value, length, "://", 3);
    size_t n = 0;
    if (!slashes)
        return;
    const char *host = slashes + 3;
    size_t left = length - (size_t)(host - value);
    while (n < left && (ascii_is_alnum(host[n]) || strchr("-._", host[n])))
        n++;
    if (hostname_parse(host, n, name))
        snprintf(answer->hint, sizeof answer->hint, "%.*s", ANSWER_HINT_MAX - 1, name);
}

static void take_field(struct answer *answer, const struct head_line *line)
{
    const char *value;
    size_t length;
    if (answer->status == 407 && head_read_field(line, "Proxy-Authenticate", &value, &length))
        take_schemes(answer, value, length);
    else if (answer->status >= 300 && answer->status <= 399 && head_read_field(line, "Location", &value, &length))
        take_location(answer, value, length);
}

/* Interim answers announce the final one (RFC 9110 section 15.2); 101 is final, and nobody asked for it. */
static bool is_final(const struct answer *answer)
{
    return answer->status >= 200 || answer->status == 101;
}

static enum answer_result take_line(struct answer *answer, const struct head_line *line)
{
    bool ends_fields = answer->in_fields && line->length == 0;
    if (!answer->in_fields) {
        if (!is_status_line(line->text, line->length, true))
            return ANSWER_BAD;
        read_status(answer, line);
    } else {
        take_field(answer, line);
    }
    answer->in_fields = !ends_fields;
    answer->length += line->next;
    answer->checked = 0;
    return ends_fields && is_final(answer) ? ANSWER_DONE : ANSWER_MORE;
}

/* The line at the beginning of buf, if its end is there; it is not where an earlier call has looked. */
static bool find_line(const struct answer *answer, const char *buf, size_t length, struct head_line *ret_line)
{
    size_t checked = answer->checked;
    const char *end = checked < length ? memchr(buf + checked, '\n', length - checked) : NULL;
    return end && head_read_line(buf, (size_t)(end - buf) + 1, ret_line);
}

enum answer_result answer_read(struct answer *answer, const char *buf, size_t length, size_t *ret_used)
{
    enum answer_result result = ANSWER_MORE;
    size_t used = 0;
    while (result == ANSWER_MORE) {
        size_t room = ANSWER_MAX - answer->length, left = length - used, seen = left < room ? left : room;
        struct head_line line;
        bool whole = find_line(answer, buf + used, seen, &line);
        assert(answer->length <= ANSWER_MAX && used <= length);
        if (!is_text(answer, buf + used, whole ? line.next : seen))
            return ANSWER_BAD;
        if (!whole && !answer->in_fields && !is_status_line(buf + used, seen, false))
            return ANSWER_BAD;
        if (!whole) {
            result = seen == room ? ANSWER_TOO_LARGE : ANSWER_MORE;
            break;
        }
        used += line.next;
        result = take_line(answer, &line);
    }
    if (result == ANSWER_MORE || result == ANSWER_DONE)
        *ret_used = used;
    return result;
}
