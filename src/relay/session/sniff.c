/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/sniff.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "channel/http/head.h"
#include "channel/http/request_head.h"
#include "model/ascii.h"

#define TLS_HANDSHAKE        22
#define TLS_CLIENT_HELLO     1
#define TLS_RECORD_HEADER    5
#define TLS_RECORD_MAX       16384
#define TLS_HANDSHAKE_HEADER 4
#define TLS_EXT_SERVER_NAME  0
#define TLS_EXT_ECH          0xfe0d
#define METHOD_MAX           24

/* ---- TLS ---- */

/* A cursor that only moves forward and never past its end. */
struct reader {
    const unsigned char *at;
    size_t left;
};

static bool skip(struct reader *reader, size_t n)
{
    if (n > reader->left)
        return false;
    reader->at += n;
    reader->left -= n;
    return true;
}

static bool read_number(struct reader *reader, size_t octets, size_t *ret_value)
{
    const unsigned char *at = reader->at;
    if (!skip(reader, octets))
        return false;
    size_t value = 0;
    for (size_t i = 0; i < octets; i++)
        value = value << 8 | at[i];
    *ret_value = value;
    return true;
}

/* A vector with a length of so many octets before it; *ret_vector covers its content. */
static bool read_vector(struct reader *reader, size_t octets, struct reader *ret_vector)
{
    size_t length;
    if (!read_number(reader, octets, &length) || length > reader->left)
        return false;
    *ret_vector = (struct reader){reader->at, length};
    return skip(reader, length);
}

static void read_server_name(struct reader extension, char name[static HOSTNAME_SIZE])
{
    struct reader list, entry;
    size_t type;
    if (!read_vector(&extension, 2, &list))
        return;
    while (read_number(&list, 1, &type) && read_vector(&list, 2, &entry)) {
        if (type == 0) {
            (void)hostname_parse((const char *)entry.at, entry.left, name);
            return;
        }
    }
}

/* The body of a ClientHello; a malformed one simply has no name, the server will judge it. */
static void read_client_hello(struct reader hello, struct sniff *sniff)
{
    struct reader extensions, ignored, body;
    size_t type;
    bool ok = skip(&hello, 2 + 32) && read_vector(&hello, 1, &ignored) && read_vector(&hello, 2, &ignored) &&
              read_vector(&hello, 1, &ignored) && read_vector(&hello, 2, &extensions);
    if (!ok)
        return;
    while (read_number(&extensions, 2, &type) && read_vector(&extensions, 2, &body)) {
        if (type == TLS_EXT_SERVER_NAME && !sniff->name[0])
            read_server_name(body, sniff->name);
        else if (type == TLS_EXT_ECH)
            sniff->ech = true;
    }
}

/* Joins the handshake bytes of the records in buf. Returns how many there are (of those that arrived whole and of the
 * last, cut one), at most size; copies them when joined is not NULL. *ret_bad: something else than a handshake. */
static size_t join_records(const unsigned char *buf, size_t length, unsigned char *joined, size_t size, bool *ret_bad)
{
    size_t n = 0;
    *ret_bad = false;
    while (n < size && length >= TLS_RECORD_HEADER) {
        size_t record = (size_t)buf[3] << 8 | buf[4];
        if (buf[0] != TLS_HANDSHAKE || buf[1] != 3 || record == 0 || record > TLS_RECORD_MAX) {
            *ret_bad = true;
            break;
        }
        size_t here = length - TLS_RECORD_HEADER;
        size_t part = record < here ? record : here;
        size_t take = part < size - n ? part : size - n;
        if (joined)
            memcpy(joined + n, buf + TLS_RECORD_HEADER, take);
        n += take;
        buf += TLS_RECORD_HEADER + part;
        length -= TLS_RECORD_HEADER + part;
    }
    return n;
}

static bool looks_like_tls(const unsigned char *buf, size_t length)
{
    return buf[0] == TLS_HANDSHAKE && (length < 2 || buf[1] == 3) && (length < 3 || buf[2] <= 4) &&
           (length <= TLS_RECORD_HEADER || buf[TLS_RECORD_HEADER] == TLS_CLIENT_HELLO);
}

static enum sniff_result sniff_tls(const unsigned char *buf, size_t length, struct sniff *sniff)
{
    unsigned char header[TLS_HANDSHAKE_HEADER], hello[SNIFF_MAX];
    bool bad;
    sniff->kind = SNIFF_TLS;
    if (join_records(buf, length, header, sizeof header, &bad) < sizeof header)
        return bad ? SNIFF_DONE : SNIFF_MORE;
    size_t total = sizeof header + ((size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3]);
    if (header[0] != TLS_CLIENT_HELLO || total > sizeof hello)
        return SNIFF_DONE;
    /* Counts before it copies: a hello in one-byte pieces must not be copied for each. */
    if (join_records(buf, length, NULL, total, &bad) < total)
        return bad ? SNIFF_DONE : SNIFF_MORE;
    (void)join_records(buf, length, hello, total, &bad);
    read_client_hello((struct reader){hello + sizeof header, total - sizeof header}, sniff);
    return SNIFF_DONE;
}

/* ---- HTTP ---- */

/* Methods are upper-case words; true also for the beginning of one. */
static bool looks_like_http(const unsigned char *buf, size_t length)
{
    size_t i = 0;
    while (i < length && i < METHOD_MAX && buf[i] >= 'A' && buf[i] <= 'Z')
        i++;
    return i == length || (i > 0 && buf[i] == ' ');
}

/* "METHOD target HTTP/1.x"; HTTP/2's preface ("PRI * HTTP/2.0") has no header to look into. */
static bool is_request_line(const struct head_line *line)
{
    static const char version[] = " HTTP/1.";
    size_t tail = sizeof version - 1 + 1;
    return line->length > tail && memcmp(line->text + line->length - tail, version, sizeof version - 1) == 0 &&
           ascii_is_digit(line->text[line->length - 1]);
}

/* The value of a Host field: "name", "name:port", "192.0.2.7", "[2001:db8::1]:80". */
static void take_host(const char *value, size_t length, char name[static HOSTNAME_SIZE])
{
    size_t host = length;
    while (host > 0 && ascii_is_digit(value[host - 1]))
        host--;
    (void)hostname_parse(value, host > 0 && value[host - 1] == ':' ? host - 1 : length, name);
}

static enum sniff_result sniff_http(const char *buf, size_t length, struct sniff *sniff)
{
    size_t at = 0, end = length < SNIFF_HTTP_MAX ? length : SNIFF_HTTP_MAX, host_length;
    struct head_line line;
    const char *host;
    sniff->kind = SNIFF_HTTP;
    for (; head_read_line(buf + at, end - at, &line); at += line.next) {
        if (at == 0 && !is_request_line(&line)) {
            sniff->kind = SNIFF_OTHER;
            return SNIFF_DONE;
        }
        sniff->request = true;
        if (at == 0 && request_line_is_for_a_proxy((struct span){line.text, line.length})) {
            sniff->for_proxy = true;
            return SNIFF_DONE;
        }
        if (line.length == 0)
            return SNIFF_DONE;
        if (at > 0 && head_read_field(&line, "Host", &host, &host_length)) {
            take_host(host, host_length, sniff->name);
            return SNIFF_DONE;
        }
    }
    return length < SNIFF_HTTP_MAX ? SNIFF_MORE : SNIFF_DONE;
}

enum sniff_result sniff_bytes(const unsigned char *buf, size_t length, struct sniff *ret_sniff)
{
    *ret_sniff = (struct sniff){.kind = SNIFF_OTHER};
    if (length == 0)
        return SNIFF_MORE;
    enum sniff_result result = SNIFF_DONE;
    if (looks_like_tls(buf, length))
        result = sniff_tls(buf, length, ret_sniff);
    else if (looks_like_http(buf, length))
        result = sniff_http((const char *)buf, length, ret_sniff);
    return length < SNIFF_MAX ? result : SNIFF_DONE;
}
