/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/names.h"

#include <stdlib.h>
#include <string.h>

void names_init(struct names *names, double keep_s, names_ask_cb *ask_cb, void *data)
{
    *names = (struct names){.keep_s = keep_s, .ask_cb = ask_cb, .data = data};
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < NAMES_MAX; i++)
        free(names->entries[i].name);
    *names = (struct names){.ask_cb = NULL};
}

/* NULL: not there. */
static struct names_entry *find(struct names *names, uint64_t id)
{
    for (size_t i = 0; i < NAMES_MAX; i++) {
        if (names->entries[i].since > 0. && names->entries[i].id == id)
            return &names->entries[i];
    }
    return NULL;
}

static struct names_entry *add(struct names *names, uint64_t id, double now)
{
    struct names_entry *entry = &names->entries[names->next];
    names->next = (names->next + 1) % NAMES_MAX;
    free(entry->name);
    *entry = (struct names_entry){.id = id, .since = now};
    return entry;
}

static bool is_due(const struct names *names, const struct names_entry *entry, double now)
{
    double keep = entry->name ? names->keep_s : NAMES_NONE_S;
    if (entry->asked_at > 0. && now - entry->asked_at < NAMES_REPEAT_S)
        return false;
    return entry->answered_at <= 0. || (keep > 0. && now - entry->answered_at >= keep);
}

enum names_result names_find(struct names *names, uint64_t id, double now, const char **ret_name)
{
    if (!names->ask_cb)
        return NAMES_NONE;
    struct names_entry *entry = find(names, id);
    if (!entry)
        entry = add(names, id, now);
    if (is_due(names, entry, now)) {
        entry->asked_at = now;
        names->ask_cb(id, names->data);
    }
    if (entry->name) {
        *ret_name = entry->name;
        return NAMES_KNOWN;
    }
    return entry->answered_at > 0. || now - entry->since >= NAMES_PATIENCE_S ? NAMES_NONE : NAMES_AWAITED;
}

void names_take(struct names *names, uint64_t id, const char *name, double now)
{
    struct names_entry *entry = find(names, id);
    if (!entry)
        return;
    free(entry->name);
    entry->name = name[0] != '\0' ? strdup(name) : NULL;
    entry->answered_at = now;
}
