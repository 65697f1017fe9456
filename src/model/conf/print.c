/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "model/conf/conf.h"
#include "model/conf/keys.h"
#include "model/conf/value.h"

static const void *field(const struct conf *conf, size_t offset)
{
    return (const char *)conf + offset;
}

static const char *word_of(const struct conf_key *key, unsigned value)
{
    for (const struct conf_word *w = key->words; w->word; w++) {
        if (w->value == value)
            return w->word;
    }
    assert(false);
}

static void print_host(const char *host, FILE *stream)
{
    fprintf(stream, strchr(host, ':') ? "[%s]" : "%s", host);
}

/* The uid is what counts, and its owner may not be known any more where this is read. */
static void print_users(const struct conf_key *key, const struct conf *conf, FILE *stream)
{
    const struct conf_user *users = field(conf, key->offset);
    const size_t count = conf_key_entries(key, conf);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? " " : "", stream);
        if (users[i].uid == CONF_UID_UNKNOWN)
            fputs(users[i].name, stream);
        else
            fprintf(stream, "%u", users[i].uid);
    }
    fputs(count > 0 ? "   #" : "", stream);
    for (size_t i = 0; i < count; i++)
        fprintf(stream, " %s", users[i].name);
}

static void print_list(const struct conf_key *key, const struct conf *conf, FILE *stream)
{
    const size_t count = *(const size_t *)field(conf, key->count_offset);
    const void *list = field(conf, key->offset);
    char buf[ADDR_TEXT_MAX];
    if (key->kind == CONF_KIND_TRUST && conf->system_ca)
        fprintf(stream, count > 0 ? "system " : "system");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputc(' ', stream);
        if (key->kind == CONF_KIND_HOSTS)
            print_host(((char *const *)list)[i], stream);
        else if (key->kind == CONF_KIND_TRUST || key->kind == CONF_KIND_DOMAINS)
            fputs(((char *const *)list)[i], stream);
        else if (key->kind == CONF_KIND_PORTS)
            fprintf(stream, "%u", ((const uint16_t *)list)[i]);
        else
            fputs(prefix_text((const struct prefix *)list + i, buf), stream);
    }
}

/* One line each: a header's value may contain anything but a line's end. */
static void print_headers(const struct conf_key *key, const struct conf *conf, bool secrets, FILE *stream)
{
    for (size_t i = 0; i < conf->n_headers; i++) {
        if (i > 0)
            fprintf(stream, "\n%s=", key->name);
        if (secrets)
            fputs(conf->headers[i], stream);
        else
            fprintf(stream, "%.*s: (hidden)", (int)strcspn(conf->headers[i], ":"), conf->headers[i]);
    }
}

static void print_string(const char *string, FILE *stream)
{
    if (string)
        fputs(string, stream);
}

static void print_value(const struct conf_key *key, const struct conf *conf, bool secrets, FILE *stream)
{
    const void *value = field(conf, key->offset);
    char span[CONF_SPAN_TEXT_MAX];
    switch (key->kind) {
    case CONF_KIND_BOOL:
        fputs(*(const bool *)value ? "yes" : "no", stream);
        break;
    case CONF_KIND_WORD:
        fputs(word_of(key, *(const unsigned *)value), stream);
        break;
    case CONF_KIND_NUMBER:
        fprintf(stream, "%u", *(const unsigned *)value);
        break;
    case CONF_KIND_PORT:
        fprintf(stream, "%u", *(const uint16_t *)value);
        break;
    case CONF_KIND_SPAN:
        fputs(conf_value_span_text(*(const uint32_t *)value, span), stream);
        break;
    case CONF_KIND_HOST:
    case CONF_KIND_PATH:
        print_string(*(char *const *)value, stream);
        break;
    case CONF_KIND_URL:
    case CONF_KIND_TARGET:
        print_string(((const struct conf_endpoint *)value)->text, stream);
        break;
    case CONF_KIND_HEADERS:
        print_headers(key, conf, secrets, stream);
        break;
    case CONF_KIND_USERS:
        print_users(key, conf, stream);
        break;
    case CONF_KIND_HOSTS:
    case CONF_KIND_TRUST:
    case CONF_KIND_PORTS:
    case CONF_KIND_NETWORKS:
    case CONF_KIND_DOMAINS:
        print_list(key, conf, stream);
        break;
    case CONF_KIND_INTERCEPT:
        fputs("local", stream);
        break;
    case CONF_KIND_REFUSED:
        break;
    }
}

static void print_all(const struct conf *conf, bool secrets, FILE *stream)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    const char *section = NULL;
    for (size_t i = 0; i < count; i++) {
        if (keys[i].kind == CONF_KIND_REFUSED)
            continue;
        /* A port that is not set has no text that would be read as such. */
        if (keys[i].kind == CONF_KIND_PORT && *(const uint16_t *)field(conf, keys[i].offset) == 0)
            continue;
        if (!section || strcmp(section, keys[i].section) != 0)
            fprintf(stream, "%s[%s]\n", section ? "\n" : "", keys[i].section);
        section = keys[i].section;
        fprintf(stream, "%s=", keys[i].name);
        print_value(&keys[i], conf, secrets, stream);
        fputc('\n', stream);
    }
}

void conf_print(const struct conf *conf, FILE *stream)
{
    print_all(conf, true, stream);
}

void conf_print_without_secrets(const struct conf *conf, FILE *stream)
{
    print_all(conf, false, stream);
}
