/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/http/headers.h"

#include <stdio.h>
#include <string.h>

#include "model/ascii.h"
#include "model/conf/header.h"

#define NUMBER_MAX 16

const struct identity *headers_identity(const struct conf *conf, const struct identity *identity, bool secure)
{
    return secure || conf->identity_on_plain ? identity : NULL;
}

/* NULL: not known. number: memory for it. */
static const char *value_of(char letter, const struct conf *conf, const struct identity *identity,
                            char number[static NUMBER_MAX])
{
    switch (letter) {
    case 'u':
        return identity ? identity->user : NULL;
    case 'U':
        if (!identity || identity->uid == CONF_UID_UNKNOWN)
            return NULL;
        snprintf(number, NUMBER_MAX, "%u", (unsigned)identity->uid);
        return number;
    case 'n':
        return identity ? identity->unit : NULL;
    case 'H':
        return conf->host_name[0] ? conf->host_name : NULL;
    case 'm':
        return conf->machine_id[0] ? conf->machine_id : NULL;
    default:
        return "";
    }
}

static bool is_known(const char *header, const struct conf *conf, const struct identity *identity)
{
    char number[NUMBER_MAX], letter;
    for (const char *at = header; (letter = header_next(&at)) != '\0'; at += 2) {
        if (!value_of(letter, conf, identity, number))
            return false;
    }
    return true;
}

/* Blanks at an end are lost, what is not ASCII is read in many ways, and a quotation mark, comma or semicolon would end
 * the value where it stands in a list. */
static bool stands_for_itself(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7f && !strchr("%\",;", c);
}

static void put_value(struct out *out, const char *value)
{
    char encoded[4];
    for (; *value != '\0'; value++) {
        if (stands_for_itself(*value)) {
            put_bytes(out, value, 1);
        } else {
            snprintf(encoded, sizeof encoded, "%%%02X", (unsigned)(unsigned char)*value);
            put(out, encoded);
        }
    }
}

static void put_header(struct out *out, const char *header, const struct conf *conf, const struct identity *identity)
{
    char number[NUMBER_MAX], letter;
    const char *from = header;
    for (const char *at = header; (letter = header_next(&at)) != '\0'; from = at += 2) {
        put_bytes(out, from, (size_t)(at - from));
        if (letter == '%')
            put(out, "%");
        else
            put_value(out, value_of(letter, conf, identity, number));
    }
    put(out, from);
    put(out, "\r\n");
}

void headers_put(struct out *out, const struct conf *conf, const struct identity *identity)
{
    for (size_t i = 0; i < conf->n_headers; i++) {
        if (is_known(conf->headers[i], conf, identity))
            put_header(out, conf->headers[i], conf, identity);
    }
}

size_t headers_length(const struct conf *conf, const struct identity *identity)
{
    struct out none = {.size = 0};
    headers_put(&none, conf, identity);
    return none.used;
}

static char plain_mark(char c)
{
    return ascii_is_alnum(c) ? ascii_lower(c) : '-';
}

static bool is_same_name(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (plain_mark(a[i]) != plain_mark(b[i]))
            return false;
    }
    return true;
}

bool headers_have(const struct conf *conf, const char *name, size_t length)
{
    for (size_t i = 0; i < conf->n_headers; i++) {
        const char *header = conf->headers[i];
        if (strcspn(header, ":") == length && is_same_name(header, name, length))
            return true;
    }
    return false;
}
