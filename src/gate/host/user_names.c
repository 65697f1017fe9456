/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/user_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/ipc.h"
#include "base/log.h"
#include "gate/host/lookup.h"

enum entry_state {
    ENTRY_FREE,
    ENTRY_WANTED, /* for the next process */
    ENTRY_ASKED,  /* of the one that runs */
    ENTRY_ANSWERED,
};

struct entry {
    enum entry_state state;
    uid_t uid;
    char *name; /* NULL: none; while it is looked up again, the old one */
    ev_tstamp answered_at;
};

struct user_names {
    struct ev_loop *loop;
    struct event_sink sink;
    struct lookup lookup;
    struct entry entries[USER_NAMES_MAX];
    size_t next; /* to be overwritten */
    bool told;   /* that no process can be started */
};

/* ---- the cache ---- */

static struct entry *find(struct user_names *names, uid_t uid)
{
    for (size_t i = 0; i < USER_NAMES_MAX; i++) {
        if (names->entries[i].state != ENTRY_FREE && names->entries[i].uid == uid)
            return &names->entries[i];
    }
    return NULL;
}

static struct entry *add(struct user_names *names, uid_t uid)
{
    struct entry *entry = &names->entries[names->next];
    names->next = (names->next + 1) % USER_NAMES_MAX;
    free(entry->name);
    *entry = (struct entry){.state = ENTRY_WANTED, .uid = uid};
    return entry;
}

static bool is_good(const struct user_names *names, const struct entry *entry)
{
    double keep = entry->name ? USER_NAMES_KEEP_S : USER_NAMES_NONE_S;
    return entry->state == ENTRY_ANSWERED && ev_now(names->loop) - entry->answered_at < keep;
}

static void keep(struct user_names *names, struct entry *entry)
{
    entry->state = ENTRY_ANSWERED;
    entry->answered_at = ev_now(names->loop);
}

static void tell(struct user_names *names, const struct entry *entry)
{
    struct ipc_user user = {.uid = entry->uid};
    if (entry->name)
        strncpy(user.name, entry->name, sizeof user.name - 1);
    names->sink.event_cb(&(struct event){.type = EVENT_USER_NAMED, .user = &user}, names->sink.data);
}

/* ---- the process ---- */

/* What was known of them is good for a while more. */
static void give_up(struct user_names *names)
{
    for (size_t i = 0; i < USER_NAMES_MAX; i++) {
        if (names->entries[i].state == ENTRY_ASKED)
            keep(names, &names->entries[i]);
    }
}

static void look_up(struct user_names *names)
{
    struct users_question question = {.n_uids = 0};
    for (size_t i = 0; i < USER_NAMES_MAX && question.n_uids < USERS_UIDS_MAX; i++) {
        if (names->entries[i].state != ENTRY_WANTED)
            continue;
        names->entries[i].state = ENTRY_ASKED;
        question.uids[question.n_uids++] = names->entries[i].uid;
    }
    int r = question.n_uids > 0 ? lookup_start(&names->lookup, &question) : 0;
    if (r < 0 && !names->told)
        log_error("names of users cannot be looked up: %s", strerror(-r));
    names->told = r < 0;
    if (r < 0)
        give_up(names);
}

static void answer_cb(const struct users_answer *answer, void *data)
{
    struct user_names *names = data;
    struct entry *entry = find(names, answer->uid);
    if (!entry || entry->state != ENTRY_ASKED)
        return;
    if (!answer->failed) {
        free(entry->name);
        entry->name = answer->name[0] != '\0' ? strdup(answer->name) : NULL;
    }
    keep(names, entry);
    tell(names, entry);
}

/* The first without an answer is what the process has died of; the others are for the next one. */
static void settled_cb(bool ended, void *data)
{
    struct user_names *names = data;
    struct entry *first = NULL;
    if (!ended)
        return;
    for (size_t i = 0; i < USER_NAMES_MAX; i++) {
        struct entry *entry = &names->entries[i];
        if (entry->state != ENTRY_ASKED)
            continue;
        if (first)
            entry->state = ENTRY_WANTED;
        else
            first = entry;
    }
    if (first) {
        keep(names, first);
        tell(names, first);
    }
    look_up(names);
}

/* ---- doors ---- */

struct user_names *user_names_new(struct ev_loop *loop, const char *program, const struct event_sink *sink)
{
    struct user_names *names = calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->loop = loop;
    names->sink = *sink;
    lookup_init(&names->lookup, loop, program, answer_cb, settled_cb, names);
    return names;
}

void user_names_free(struct user_names *names)
{
    if (!names)
        return;
    lookup_stop(&names->lookup);
    for (size_t i = 0; i < USER_NAMES_MAX; i++)
        free(names->entries[i].name);
    free(names);
}

const char *user_names_find(struct user_names *names, uid_t uid)
{
    struct entry *entry = find(names, uid);
    if (!entry)
        entry = add(names, uid);
    if (entry->state == ENTRY_ANSWERED && !is_good(names, entry))
        entry->state = ENTRY_WANTED;
    if (entry->state == ENTRY_WANTED && !lookup_runs(&names->lookup))
        look_up(names);
    if (entry->state != ENTRY_ANSWERED)
        return NULL;
    return entry->name ? entry->name : "";
}
