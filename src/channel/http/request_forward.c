/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writing side of request_head.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "channel/http/headers.h"
#include "channel/http/out.h"
#include "channel/http/request_head.h"

#define HEAD_ADDED 1024 /* bytes that writing may add, the configured headers aside */

static void put_span(struct out *out, struct span span)
{
    put_bytes(out, span.text, span.length);
}

/* ---- what does not go on ---- */

/* What says what the message is, or where it goes: written anew. */
static bool is_of_the_message(struct span name)
{
    return span_is(name, "Host") || span_is(name, "Content-Length") || field_is_hop_by_hop(name);
}

bool request_field_is_ours(const char *name, size_t length, const void *data)
{
    struct span span = {name, length};
    return is_of_the_message(span) || span_is(span, "Authorization") || span_is(span, "Via") ||
           headers_have(data, name, length);
}

static bool goes_on(const struct request_head *head, const struct conf *conf, struct span name)
{
    if (is_of_the_message(name) || headers_have(conf, name.text, name.length) || hops_have(&head->hops, name))
        return false;
    return !span_is(name, "Expect") || head->minor > 0; /* RFC 9110 section 10.1.1 */
}

/* ---- what does ---- */

/* To the port that the client dialled, whatever it says: what is redirected, and what may be reached, is decided by
 * that. */
static void put_authority(struct out *out, const struct request_head *head, const struct request_target *target)
{
    const char *default_host = target->default_host;
    const uint16_t port = target->port;
    char port_text[8];
    uint16_t said = head->port ? head->port : HTTP_PORT;
    bool ipv6 = strchr(default_host, ':');
    if (head->host.length > 0 && said == port && head->port) {
        put_span(out, head->authority);
        return;
    }
    if (head->host.length > 0) {
        put_span(out, head->host);
    } else {
        put(out, ipv6 ? "[" : "");
        put(out, default_host);
        put(out, ipv6 ? "]" : "");
    }
    snprintf(port_text, sizeof port_text, ":%u", (unsigned)port);
    put(out, port == HTTP_PORT ? "" : port_text);
}

/* RFC 9112 section 3.2.4: "*" becomes no path at all. */
static void put_path(struct out *out, const struct request_head *head)
{
    bool none = head->path.length == 0 && span_is_exactly(head->method, "OPTIONS");
    put(out, !none && (head->path.length == 0 || head->path.text[0] != '/') ? "/" : "");
    put_span(out, head->path);
}

static void put_fields(struct out *out, const struct request_head *head, const struct conf *conf)
{
    struct span lines = head->fields;
    struct field field;
    while (fields_next(&lines, &field) == FIELDS_FIELD) {
        if (!goes_on(head, conf, field.name))
            continue;
        put_span(out, field.name);
        put(out, ": ");
        put_span(out, field.value);
        put(out, "\r\n");
    }
}

static void put_framing(struct out *out, struct framing framing)
{
    char text[48];
    snprintf(text, sizeof text, "Content-Length: %" PRIu64 "\r\n", framing.length);
    if (framing.kind == FRAMING_LENGTH)
        put(out, text);
    if (framing.kind == FRAMING_CHUNKED)
        put(out, "Transfer-Encoding: chunked\r\n");
}

static void put_via(struct out *out, const struct request_head *head)
{
    char via[32];
    snprintf(via, sizeof via, "Via: 1.%u penstock\r\n", (unsigned)head->minor);
    put(out, via);
}

size_t request_head_room(const struct request_head *head, const struct request_target *target)
{
    return HEAD_ADDED + FIELDS_MAX + headers_length(target->conf, target->identity) + head->method.length +
           head->path.length + 2 * head->authority.length + head->fields.length;
}

int request_head_write(const struct request_head *head, const struct request_target *target, char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    put_span(&out, head->method);
    put(&out, " http://");
    put_authority(&out, head, target);
    put_path(&out, head);
    put(&out, " HTTP/1.1\r\nHost: ");
    put_authority(&out, head, target);
    put(&out, "\r\n");
    put_fields(&out, head, target->conf);
    put_framing(&out, head->framing);
    put_via(&out, head);
    headers_put(&out, target->conf, target->identity);
    put(&out, "\r\n");
    return out.used <= size ? (int)out.used : -EMSGSIZE;
}
