/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one table of sections and keys, with kinds, limits and defaults: reader.c reads by it and print.c writes by it.
 */
#ifndef PENSTOCK_MODEL_CONF_KEYS_H
#define PENSTOCK_MODEL_CONF_KEYS_H

#include "model/conf/conf.h"

enum conf_kind {
    CONF_KIND_BOOL,   /* bool */
    CONF_KIND_WORD,   /* an enum, by its words */
    CONF_KIND_NUMBER, /* unsigned, low to high */
    CONF_KIND_PORT,   /* uint16_t, low to 65535 */
    CONF_KIND_SPAN,   /* uint32_t milliseconds, low to high */
    CONF_KIND_HOST,   /* char *, NULL when empty */
    CONF_KIND_PATH,   /* char *, absolute */
    CONF_KIND_URL,    /* struct conf_endpoint, text NULL when empty */
    CONF_KIND_TARGET, /* the same, of HOST:PORT */
    /* lists: an array at offset, its length at count_offset, at most high entries */
    CONF_KIND_HOSTS,
    CONF_KIND_HEADERS,
    CONF_KIND_TRUST,
    CONF_KIND_PORTS,
    CONF_KIND_NETWORKS,
    CONF_KIND_USERS,
    CONF_KIND_DOMAINS,
    /* keys without a field */
    CONF_KIND_INTERCEPT, /* only "local" is built */
    CONF_KIND_REFUSED,   /* documented, not built */
};

struct conf_word {
    const char *word; /* NULL ends the list */
    unsigned value;
};

struct conf_key {
    const char *section;
    const char *name;
    enum conf_kind kind;
    size_t offset, count_offset;
    uint32_t low, high;
    const struct conf_word *words;
    const char *expected; /* for a word: what to say */
    const char *initial;  /* what is true while it is not set, as text; NULL: empty, zero */
};

#define CONF_WHY_MAX 256

const struct conf_key *conf_keys(size_t *ret_count);
/* NULL: no such key. */
const struct conf_key *conf_keys_find(const char *section, const char *name);
/* The same text, of static storage; NULL: no such section. */
const char *conf_keys_section(const char *section);

/* Takes a value over, with fresh for the first assignment, which drops a list's default. An empty value clears a list.
 * False: why says it, "value: expected …"; it never shows a header. */
bool conf_key_set(const struct conf_key *key, struct conf *conf, const char *value, bool fresh,
                  char why[static CONF_WHY_MAX]);

bool conf_key_is_list(const struct conf_key *key);
/* Of a list: how many entries it has. Else 0. */
size_t conf_key_entries(const struct conf_key *key, const struct conf *conf);

/* Frees what a list holds (headers are wiped); the list is empty then. */
void conf_key_clear(const struct conf_key *key, struct conf *conf);

#endif
