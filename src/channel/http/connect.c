/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/connect.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "model/ascii.h"
#include "model/hostname.h"

/* A name or an address; IPv6 without brackets and scope. */
static bool host_is_valid(const char *host)
{
    char name[HOSTNAME_SIZE];
    struct in6_addr in6;
    struct in_addr in4;
    return hostname_parse(host, strlen(host), name) || inet_pton(AF_INET, host, &in4) == 1 ||
           inet_pton(AF_INET6, host, &in6) == 1;
}

struct out {
    char *buf;
    size_t size, used;
};

static void put(struct out *out, const char *text)
{
    size_t length = strlen(text);
    if (out->used + length <= out->size)
        memcpy(out->buf + out->used, text, length);
    out->used += length; /* beyond size: seen at the end */
}

/* RFC 9110 section 7.2 and RFC 3986 section 3.2.2: IPv6 stands in brackets. */
static void put_host(struct out *out, const char *host)
{
    bool ipv6 = strchr(host, ':');
    put(out, ipv6 ? "[" : "");
    put(out, host);
    put(out, ipv6 ? "]" : "");
}

static int finish_request(struct out *out, const struct conf *conf)
{
    for (size_t i = 0; i < conf->n_headers; i++) {
        put(out, conf->headers[i]);
        put(out, "\r\n");
    }
    put(out, "\r\n");
    return out->used <= out->size && out->used <= CONNECT_REQUEST_MAX ? (int)out->used : -EMSGSIZE;
}

int connect_write_request(const struct conf *conf, const char *host, uint16_t port, char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    char port_text[8];
    if (!host_is_valid(host) || port == 0)
        return -EINVAL;
    snprintf(port_text, sizeof port_text, ":%u", (unsigned)port);
    put(&out, "CONNECT ");
    put_host(&out, host);
    put(&out, port_text);
    put(&out, " HTTP/1.1\r\nHost: ");
    put_host(&out, host);
    put(&out, port_text);
    put(&out, "\r\n");
    return finish_request(&out, conf);
}

int connect_write_ping(const struct conf *conf, const char *proxy_host, char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    if (!host_is_valid(proxy_host))
        return -EINVAL;
    put(&out, "OPTIONS * HTTP/1.1\r\nHost: ");
    put_host(&out, proxy_host);
    put(&out, "\r\nMax-Forwards: 0\r\n");
    return finish_request(&out, conf);
}

/* One line, perhaps not whole yet. */
struct line {
    const char *text;
    size_t length; /* without its end */
    size_t next;   /* bytes up to the next line */
    bool whole;
};

/* RFC 9112 section 2.2: a lone LF may end a line too; a CR elsewhere is an error. False: cannot be HTTP any more. */
static bool read_line(const char *buf, size_t length, struct line *ret_line)
{
    const char *end = memchr(buf, '\n', length);
    struct line line = {.text = buf, .length = end ? (size_t)(end - buf) : length, .whole = end};
    line.next = line.length + 1;
    if (line.length > 0 && buf[line.length - 1] == '\r')
        line.length--;
    for (size_t i = 0; i < line.length; i++) {
        unsigned char c = (unsigned char)buf[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    *ret_line = line;
    return true;
}

/* RFC 9112 section 4, any HTTP/1 minor version; the blank before an empty reason may be missing, many servers do so. */
static bool status_line_is_valid(const struct line *line)
{
    static const char pattern[] = "HTTP/1.# ### ";
    size_t known = sizeof pattern - 1;
    for (size_t i = 0; i < line->length && i < known; i++) {
        char c = line->text[i];
        if (i == 9 ? c < '1' || c > '5' : pattern[i] == '#' ? !ascii_is_digit(c) : c != pattern[i])
            return false;
    }
    return !line->whole || line->length >= known - 1;
}

/* RFC 9112 section 5: "name: value"; a blank before the colon is tolerated, as we use no field. */
static bool field_is_valid(const struct line *line, bool first)
{
    size_t i = 0;
    if (line->length > 0 && ascii_is_blank(line->text[0]))
        return !first; /* continues the line before (obs-fold) */
    while (i < line->length && ascii_is_token(line->text[i]))
        i++;
    if (i == 0 && line->length > 0)
        return false;
    while (i < line->length && ascii_is_blank(line->text[i]))
        i++;
    return i < line->length ? line->text[i] == ':' : !line->whole;
}

static void read_status(const struct line *line, struct connect_answer *answer)
{
    const char *digits = line->text + 9;
    size_t n = 0;
    answer->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    for (size_t i = 13; i < line->length && n < sizeof answer->reason - 1; i++)
        answer->reason[n++] = line->text[i] >= 0x20 && line->text[i] < 0x7f ? line->text[i] : '?';
    while (n > 0 && answer->reason[n - 1] == ' ')
        n--;
    answer->reason[n] = '\0';
}

/* One status line with its fields; *ret_answer is filled only when they are whole. */
static enum connect_result read_head(const char *buf, size_t length, struct connect_answer *ret_answer)
{
    struct connect_answer answer = {0};
    struct line line;
    if (!read_line(buf, length, &line) || !status_line_is_valid(&line))
        return CONNECT_BAD;
    if (!line.whole)
        return CONNECT_MORE;
    read_status(&line, &answer);
    for (bool first = true;; first = false) {
        answer.length += line.next;
        if (answer.length == length)
            return CONNECT_MORE;
        if (!read_line(buf + answer.length, length - answer.length, &line))
            return CONNECT_BAD;
        if (line.whole && line.length == 0)
            break;
        if (!field_is_valid(&line, first))
            return CONNECT_BAD;
        if (!line.whole)
            return CONNECT_MORE;
    }
    answer.length += line.next;
    *ret_answer = answer;
    return CONNECT_DONE;
}

enum connect_result connect_read_answer(const char *buf, size_t length, struct connect_answer *ret_answer)
{
    size_t seen = length < CONNECT_ANSWER_MAX ? length : CONNECT_ANSWER_MAX;
    size_t skipped = 0;
    struct connect_answer answer;
    enum connect_result result;
    for (;;) {
        if (skipped == seen)
            result = CONNECT_MORE;
        else
            result = read_head(buf + skipped, seen - skipped, &answer);
        if (result != CONNECT_DONE)
            return result == CONNECT_MORE && seen == CONNECT_ANSWER_MAX ? CONNECT_TOO_LARGE : result;
        assert(answer.length > 0 && answer.length <= seen - skipped);
        skipped += answer.length;
        /* Interim answers announce the final one (RFC 9110 section 15.2); 101 is final, and nobody asked for it. */
        if (answer.status >= 200 || answer.status == 101)
            break;
    }
    answer.length = skipped;
    *ret_answer = answer;
    return CONNECT_DONE;
}
