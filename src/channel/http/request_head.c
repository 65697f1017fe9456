/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/request_head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "channel/http/head.h"
#include "model/ascii.h"

static bool fault(struct head_fault *ret_fault, int status, const char *why)
{
    *ret_fault = (struct head_fault){status, why};
    return false;
}

static bool bad(struct head_fault *ret_fault, const char *why)
{
    return fault(ret_fault, 400, why);
}

/* ---- host and port ---- */

static bool is_host(struct span host)
{
    char text[INET6_ADDRSTRLEN], name[HOSTNAME_SIZE];
    bool brackets = host.length > 2 && host.text[0] == '[' && host.text[host.length - 1] == ']';
    struct span inner = brackets ? (struct span){host.text + 1, host.length - 2} : host;
    struct in6_addr address;
    if (!brackets && hostname_parse(host.text, host.length, name))
        return true;
    if (inner.length >= sizeof text)
        return false;
    memcpy(text, inner.text, inner.length);
    text[inner.length] = '\0';
    return strlen(text) == inner.length && inet_pton(brackets ? AF_INET6 : AF_INET, text, &address) == 1;
}

/* Empty digits are a port that is not said (RFC 3986 section 3.2.3). */
static bool read_port(struct span digits, uint16_t *ret_port)
{
    unsigned port = 0;
    for (size_t i = 0; i < digits.length; i++) {
        if (!ascii_is_digit(digits.text[i]) || port > UINT16_MAX)
            return false;
        port = port * 10 + (unsigned)(digits.text[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX && (digits.length == 0 || port > 0);
}

static bool read_authority(struct request_head *head, struct span authority)
{
    size_t host = authority.length;
    while (host > 0 && ascii_is_digit(authority.text[host - 1]))
        host--;
    bool has_port = host > 0 && authority.text[host - 1] == ':';
    head->authority = authority;
    head->host = (struct span){authority.text, has_port ? host - 1 : authority.length};
    head->port = 0;
    return is_host(head->host) &&
           (!has_port || read_port((struct span){authority.text + host, authority.length - host}, &head->port));
}

static bool is_same_authority(const struct request_head *head, struct span host)
{
    struct request_head other;
    return read_authority(&other, host) && other.host.length == head->host.length &&
           strncasecmp(other.host.text, head->host.text, head->host.length) == 0 &&
           (other.port ? other.port : HTTP_PORT) == (head->port ? head->port : HTTP_PORT);
}

/* ---- the request line ---- */

static struct span take_word(struct span *line)
{
    const char *blank = memchr(line->text, ' ', line->length);
    size_t length = blank ? (size_t)(blank - line->text) : line->length;
    struct span word = {line->text, length};
    line->text += length + (blank ? 1 : 0);
    line->length -= length + (blank ? 1 : 0);
    return word;
}

static const char scheme[] = "http://";

static bool is_absolute(struct span target)
{
    return target.length >= sizeof scheme - 1 && strncasecmp(target.text, scheme, sizeof scheme - 1) == 0;
}

bool request_line_is_for_a_proxy(struct span line)
{
    struct span method = take_word(&line), target = take_word(&line);
    if (span_is_exactly(method, "CONNECT"))
        return true;
    /* Any scheme: a client that is on its way to its own proxy says what that has to judge. */
    return target.length > 0 && target.text[0] != '/' && target.text[0] != '*';
}

static bool read_target(struct request_head *head, struct span target, struct head_fault *ret_fault)
{
    for (size_t i = 0; i < target.length; i++) {
        unsigned char c = (unsigned char)target.text[i];
        if (c <= 0x20 || c == 0x7f || c == '#')
            return bad(ret_fault, "a character in the target that none may have");
    }
    if (target.length > 0 && target.text[0] == '/') {
        head->form = REQUEST_ORIGIN;
        head->path = target;
        return true;
    }
    if (span_is_exactly(target, "*") && span_is_exactly(head->method, "OPTIONS")) {
        head->form = REQUEST_ASTERISK;
        return true;
    }
    if (!is_absolute(target))
        return bad(ret_fault, "a target of a form that is not for a server");
    head->form = REQUEST_ABSOLUTE;
    size_t at = sizeof scheme - 1;
    while (at < target.length && target.text[at] != '/' && target.text[at] != '?')
        at++;
    head->path = (struct span){target.text + at, target.length - at};
    struct span authority = {target.text + sizeof scheme - 1, at - (sizeof scheme - 1)};
    return read_authority(head, authority) || bad(ret_fault, "a target whose host is none");
}

static bool read_version(struct request_head *head, struct span version)
{
    static const char http[] = "HTTP/1.";
    if (version.length != sizeof http || memcmp(version.text, http, sizeof http - 1) != 0 ||
        !ascii_is_digit(version.text[version.length - 1]))
        return false;
    head->minor = (uint8_t)(version.text[version.length - 1] - '0');
    return true;
}

static bool read_line(struct request_head *head, struct span line, struct head_fault *ret_fault)
{
    head->method = take_word(&line);
    struct span target = take_word(&line);
    for (size_t i = 0; i < head->method.length; i++) {
        if (!ascii_is_token(head->method.text[i]))
            return bad(ret_fault, "a method that is no word");
    }
    if (head->method.length == 0 || !read_version(head, line))
        return bad(ret_fault, "no HTTP/1 request line");
    if (span_is_exactly(head->method, "CONNECT"))
        return bad(ret_fault, "CONNECT behind another request");
    return read_target(head, target, ret_fault);
}

/* ---- the fields ---- */

/* What the fields say together, before it is judged. */
struct reading {
    unsigned fields, hosts, lengths, codings;
    bool chunked, close, persist, upgrade_said, other_protocol;
};

static bool read_host(struct request_head *head, struct reading *reading, struct span value,
                      struct head_fault *ret_fault)
{
    if (++reading->hosts > 1)
        return bad(ret_fault, "several Host fields");
    if (head->form == REQUEST_ABSOLUTE)
        return is_same_authority(head, value) || bad(ret_fault, "a Host that contradicts the target");
    return value.length == 0 || read_authority(head, value) || bad(ret_fault, "a Host that is none");
}

static bool read_length(struct request_head *head, struct reading *reading, struct span value,
                        struct head_fault *ret_fault)
{
    uint64_t length = 0;
    if (++reading->lengths > 1 || value.length == 0)
        return bad(ret_fault, "several lengths, or an empty one");
    for (size_t i = 0; i < value.length; i++) {
        if (!ascii_is_digit(value.text[i]) || length > (UINT64_MAX >> 1) / 10 - 1)
            return bad(ret_fault, "a Content-Length that is no number");
        length = length * 10 + (uint64_t)(value.text[i] - '0');
    }
    head->framing = (struct framing){FRAMING_LENGTH, length};
    return true;
}

static bool read_connection(struct request_head *head, struct reading *reading, struct span value,
                            struct head_fault *ret_fault)
{
    reading->close |= list_has(value, "close");
    reading->persist |= list_has(value, "keep-alive");
    reading->upgrade_said |= list_has(value, "upgrade");
    return hops_add(&head->hops, value) || bad(ret_fault, "too much in Connection");
}

/* HTTP/2 over cleartext need not be followed (RFC 9113 section 3.1 does not know it any more). */
static void read_upgrade(struct reading *reading, struct span value)
{
    struct span protocol;
    while (list_next(&value, &protocol))
        reading->other_protocol |= !span_is(protocol, "h2c");
}

static bool read_field(struct request_head *head, struct reading *reading, const struct field *field,
                       struct head_fault *ret_fault)
{
    if (++reading->fields > FIELDS_MAX)
        return fault(ret_fault, 431, "too many fields");
    if (span_is(field->name, "Host"))
        return read_host(head, reading, field->value, ret_fault);
    if (span_is(field->name, "Content-Length"))
        return read_length(head, reading, field->value, ret_fault);
    if (span_is(field->name, "Connection"))
        return read_connection(head, reading, field->value, ret_fault);
    if (span_is(field->name, "Transfer-Encoding")) {
        reading->codings++;
        reading->chunked = span_is(field->value, "chunked");
    } else if (span_is(field->name, "Upgrade")) {
        read_upgrade(reading, field->value);
    } else if (span_is(field->name, "Expect")) {
        head->expects_continue |= span_is(field->value, "100-continue");
    } else if (span_is(field->name, "Authorization")) {
        head->binds |= list_has(field->value, "NTLM") || list_has(field->value, "Negotiate");
    }
    return true;
}

static bool judge_framing(struct request_head *head, const struct reading *reading, struct head_fault *ret_fault)
{
    if (reading->codings == 0)
        return true;
    if (reading->lengths > 0)
        return bad(ret_fault, "both Transfer-Encoding and Content-Length");
    if (head->minor == 0)
        return bad(ret_fault, "Transfer-Encoding in HTTP/1.0");
    if (reading->codings > 1 || !reading->chunked)
        return fault(ret_fault, 501, "a Transfer-Encoding other than chunked");
    head->framing = (struct framing){FRAMING_CHUNKED, 0};
    return true;
}

static bool is_idempotent(struct span method)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (span_is_exactly(method, methods[i]))
            return true;
    }
    return false;
}

static bool judge(struct request_head *head, const struct reading *reading, struct head_fault *ret_fault)
{
    if (reading->hosts == 0 && head->minor > 0)
        return bad(ret_fault, "no Host");
    if (!judge_framing(head, reading, ret_fault))
        return false;
    head->keep_alive = !reading->close && (head->minor > 0 || reading->persist);
    head->upgrade = head->minor > 0 && reading->upgrade_said && reading->other_protocol;
    head->expects_continue &= head->minor > 0;
    bool no_body =
        head->framing.kind == FRAMING_NONE || (head->framing.kind == FRAMING_LENGTH && head->framing.length == 0);
    head->repeatable = no_body && is_idempotent(head->method);
    return true;
}

bool request_head_read(struct span text, struct request_head *ret_head, struct head_fault *ret_fault)
{
    struct request_head head = {0};
    struct reading reading = {0};
    struct head_line line;
    struct field field;
    if (!head_read_line(text.text, text.length, &line) ||
        !read_line(&head, (struct span){line.text, line.length}, ret_fault))
        return false;
    struct span lines = {text.text + line.next, text.length - line.next};
    lines.length -= lines.length > 1 && lines.text[lines.length - 2] == '\r' ? 2 : 1; /* the blank line */
    head.fields = lines;
    enum fields_result result;
    while ((result = fields_next(&lines, &field)) == FIELDS_FIELD) {
        if (!read_field(&head, &reading, &field, ret_fault))
            return false;
    }
    if (result == FIELDS_BAD)
        return bad(ret_fault, "a line that is no field");
    if (!judge(&head, &reading, ret_fault))
        return false;
    *ret_head = head;
    return true;
}
