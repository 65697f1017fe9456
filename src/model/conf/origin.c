/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/origin.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 64

const char *conf_origins_file(struct conf_origins *origins, const char *file)
{
    char **files = reallocarray(origins->files, origins->n_files + 1, sizeof *files);
    if (!files)
        return NULL;
    origins->files = files;
    files[origins->n_files] = strdup(file);
    return files[origins->n_files] ? files[origins->n_files++] : NULL;
}

static void forget(struct conf_origins *origins, const struct conf_key *key, size_t first)
{
    size_t n = 0;
    for (size_t i = 0; i < origins->n; i++) {
        if (origins->list[i].key != key || origins->list[i].entry < first)
            origins->list[n++] = origins->list[i];
    }
    origins->n = n;
}

static bool has_room(struct conf_origins *origins)
{
    const size_t size = origins->size > 0 ? 2 * origins->size : SIZE_MIN;
    struct conf_origin *list;
    if (origins->n < origins->size)
        return true;
    list = reallocarray(origins->list, size, sizeof *list);
    if (!list)
        return false;
    origins->list = list;
    origins->size = size;
    return true;
}

bool conf_origins_note(struct conf_origins *origins, const struct conf_key *key, size_t first, size_t end,
                       const char *file, unsigned line)
{
    forget(origins, key, first);
    for (size_t entry = first; entry < end; entry++) {
        if (!has_room(origins))
            return false;
        origins->list[origins->n++] = (struct conf_origin){.key = key, .entry = entry, .file = file, .line = line};
    }
    return true;
}

const struct conf_origin *conf_origins_find(const struct conf_origins *origins, const struct conf_key *key,
                                            size_t entry)
{
    for (size_t i = 0; i < origins->n; i++) {
        if (origins->list[i].key == key && origins->list[i].entry == entry)
            return &origins->list[i];
    }
    return NULL;
}

void conf_origins_fini(struct conf_origins *origins)
{
    for (size_t i = 0; i < origins->n_files; i++)
        free(origins->files[i]);
    free(origins->files);
    free(origins->list);
}
