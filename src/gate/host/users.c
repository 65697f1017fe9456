/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/users.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/timer.h"
#include "gate/host/lookup.h"

#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 300000

struct users {
    struct ev_loop *loop;
    struct event_sink sink;
    struct conf *conf;
    struct backoff backoff;
    bool told;      /* that there are unknown ones in this configuration */
    bool found;     /* some of them, since the sink was told */
    ev_timer pause; /* between two lookups */
    struct lookup lookup;
};

static void pause_before_next(struct users *users)
{
    timer_arm(users->loop, &users->pause, backoff_next(&users->backoff) / 1000.);
}

/* All names in one message; it has room for all that a configuration can hold. */
static int ask(struct users *users)
{
    struct users_question question = {.n = 0};
    struct conf_user *user = NULL;
    while ((user = conf_next_unknown_user(users->conf, user))) {
        assert(question.n < CONF_UNKNOWN_USERS_MAX && strlen(user->name) < sizeof question.names[0]);
        strcpy(question.names[question.n++], user->name);
        if (user->group)
            conf_group_clear(user->group); /* of what a lookup that was not whole has left */
    }
    return lookup_start(&users->lookup, &question);
}

static void look_up(struct users *users)
{
    int r;
    if (!conf_next_unknown_user(users->conf, NULL))
        return;
    r = ask(users);
    if (r < 0) {
        log_error("users cannot be looked up: %s", strerror(-r));
        pause_before_next(users);
    }
}

/* ---- answers ---- */

/* The one that is nobody's ends the list; what has no room is not whole. */
static void take_member(struct users *users, struct conf_user *user, uid_t uid)
{
    struct conf_group *group = user->group;
    if (uid != CONF_UID_UNKNOWN) {
        (void)conf_group_add(group, uid);
        return;
    }
    if (group->n == CONF_GROUP_MEMBERS_MAX) {
        log_warning("group %s: more than %d members", user->name, CONF_GROUP_MEMBERS_MAX);
        return;
    }
    conf_group_complete(group);
    users->found = true;
    log_notice("group %s is known now: %zu members", user->name, group->n);
}

/* What comes from the process, which reads the network, is a number of a name at most. */
static void answer_cb(const struct users_answer *answer, void *data)
{
    struct users *users = data;
    struct conf_user *user = NULL;
    while ((user = conf_next_unknown_user(users->conf, user)) && strcmp(user->name, answer->name) != 0)
        ;
    if (user && user->group) {
        take_member(users, user, answer->uid);
        return;
    }
    if (!user || answer->uid == CONF_UID_UNKNOWN)
        return;
    user->uid = answer->uid;
    users->found = true;
    log_notice("user %s is known now: %u", user->name, (unsigned)user->uid);
}

static void tell_unknown(struct users *users)
{
    struct conf_user *user = NULL;
    if (users->told)
        return;
    while ((user = conf_next_unknown_user(users->conf, user)))
        if (!conf_user_counts(user))
            log_warning(CONF_UNKNOWN_USER_FORMAT, CONF_UNKNOWN_USER_ARGS(user));
    users->told = true;
}

static void settled_cb(bool ended, void *data)
{
    struct users *users = data;
    if (users->found)
        users->sink.event_cb(&(struct event){.type = EVENT_USERS_KNOWN}, users->sink.data);
    users->found = false;
    if (!ended || !conf_next_unknown_user(users->conf, NULL))
        return;
    tell_unknown(users);
    pause_before_next(users);
}

static void pause_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    look_up(watcher->data);
}

/* ---- doors ---- */

struct users *users_new(struct ev_loop *loop, const char *program, const struct event_sink *sink)
{
    struct users *users = calloc(1, sizeof *users);
    if (!users)
        return NULL;
    *users = (struct users){.loop = loop, .sink = *sink};
    backoff_init(&users->backoff, PAUSE_MIN_MS, PAUSE_MAX_MS);
    lookup_init(&users->lookup, loop, program, answer_cb, settled_cb, users);
    ev_timer_init(&users->pause, pause_cb, 0., 0.);
    users->pause.data = users;
    return users;
}

/* Its answers would be about another configuration. */
static void abandon(struct users *users)
{
    ev_timer_stop(users->loop, &users->pause);
    lookup_stop(&users->lookup);
}

void users_set_conf(struct users *users, struct conf *conf)
{
    abandon(users);
    users->conf = conf;
    users->told = users->found = false;
    backoff_reset(&users->backoff);
    look_up(users);
}

void users_free(struct users *users)
{
    if (!users)
        return;
    abandon(users);
    free(users);
}
