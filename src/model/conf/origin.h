/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where values of a configuration were set: file and line of each entry of a list and of each other key. Embedded in
 * struct conf, which is read by conf_origin(); zero is a valid start. */
#ifndef PENSTOCK_MODEL_CONF_ORIGIN_H
#define PENSTOCK_MODEL_CONF_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

struct conf_key;

struct conf_origin {
    const struct conf_key *key;
    size_t entry; /* of a list; else 0 */
    const char *file;
    unsigned line;
};

struct conf_origins {
    struct conf_origin *list;
    size_t n, size;
    char **files; /* their names, which the list shares */
    size_t n_files;
};

/* A copy of the name that lives as long as the origins; NULL when out of memory. */
const char *conf_origins_file(struct conf_origins *origins, const char *file);

/* The entries from first up to, not with, end were set there; what was known of the key from first on is forgotten.
 * False when out of memory: the origin of some is unknown then. */
bool conf_origins_note(struct conf_origins *origins, const struct conf_key *key, size_t first, size_t end,
                       const char *file, unsigned line);

/* NULL: it was not set. */
const struct conf_origin *conf_origins_find(const struct conf_origins *origins, const struct conf_key *key,
                                            size_t entry);

void conf_origins_fini(struct conf_origins *origins);

#endif
