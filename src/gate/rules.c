/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/backoff.h"
#include "common/log.h"
#include "gate/message_id.h"

/* More repairs in a shorter time are a fight with another manager, in which haste only burns the processor. */
#define REPAIRS_MAX    5
#define REPAIR_SECONDS 10.
#define FIGHT_OVER     60. /* seconds of peace */
#define SOON           1.  /* seconds until the table is looked at again while others change theirs all the time */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   30000

#define STOPPED_TEXT "Blocked - penstock is stopped"

struct rules {
    struct ev_loop *loop;
    struct netfilter *netfilter;
    uid_t own_uid;
    struct rules_cbs cbs;
    void *data;
    const struct conf *conf;
    bool conf_changed;
    enum verdict_kind kind; /* last set */
    bool damaged;           /* by others, and not repaired yet */
    struct status_rules status;
    struct backoff backoff;
    ev_timer retry;
    ev_timer compare;               /* events may get lost */
    ev_tstamp repairs[REPAIRS_MAX]; /* when, a ring */
    unsigned next_repair;
};

static void compare_every(struct rules *rules, double seconds)
{
    rules->compare.repeat = seconds;
    ev_timer_again(rules->loop, &rules->compare);
}

static void compare_soon(struct rules *rules)
{
    if (rules->compare.repeat > SOON)
        compare_every(rules, SOON);
}

static int apply(struct rules *rules, enum verdict_mode mode, const char *text,
                 char ret_error[static NETFILTER_ERROR_MAX])
{
    struct ruleset_spec spec = {.mode = mode, .status = text, .conf = rules->conf, .own_uid = rules->own_uid};
    int r = netfilter_apply(rules->netfilter, &spec, ret_error);

    if (r == 0 && !netfilter_known(rules->netfilter))
        compare_soon(rules);
    return r;
}

static void schedule_retry(struct rules *rules)
{
    ev_timer_stop(rules->loop, &rules->retry);
    ev_timer_set(&rules->retry, backoff_next(&rules->backoff) / 1000., 0.);
    ev_timer_start(rules->loop, &rules->retry);
}

/* The same refusal again and again is logged once. */
static void note_refusal(struct rules *rules, const char *error)
{
    bool news = rules->status.installed || strcmp(rules->status.error, error) != 0;

    rules->status.installed = false;
    snprintf(rules->status.error, sizeof(rules->status.error), "%s", error);
    if (news)
        log_error("rules are not installed: %s", error);
    schedule_retry(rules);
}

static void note_installed(struct rules *rules)
{
    if (rules->status.error[0] != '\0')
        log_notice("rules are installed again");
    /* The pauses of a fight stay long until it is over. */
    if (rules->damaged)
        rules->status.repaired++;
    else
        backoff_reset(&rules->backoff);
    rules->damaged = false;
    rules->status.installed = true;
    rules->status.error[0] = '\0';
    rules->conf_changed = false;
    ev_timer_stop(rules->loop, &rules->retry);
}

bool rules_set(struct rules *rules, enum verdict_kind kind)
{
    char error[NETFILTER_ERROR_MAX];

    assert(rules->conf);
    if (rules->status.installed && rules->kind == kind && !rules->conf_changed)
        return true;
    rules->kind = kind;
    if (apply(rules, verdict_mode(kind), verdict_status(kind), error) < 0) {
        note_refusal(rules, error);
        return false;
    }
    note_installed(rules);
    rules->status.changes++;
    return true;
}

/* ---- changes by others ---- */

/* True when so many repairs were made in so short a time that another one has to wait. */
static bool is_fight(struct rules *rules)
{
    ev_tstamp now = ev_now(rules->loop);
    ev_tstamp oldest = rules->repairs[rules->next_repair];
    ev_tstamp latest = rules->repairs[(rules->next_repair + REPAIRS_MAX - 1) % REPAIRS_MAX];

    if (now - latest > FIGHT_OVER)
        backoff_reset(&rules->backoff);
    return now - oldest < REPAIR_SECONDS;
}

static void note_repair(struct rules *rules)
{
    rules->repairs[rules->next_repair] = ev_now(rules->loop);
    rules->next_repair = (rules->next_repair + 1) % REPAIRS_MAX;
}

static void lose(struct rules *rules, const char *why)
{
    note_refusal(rules, why);
    rules->cbs.lost(why, rules->data);
}

/* The table of the verdict once more; false: it is lost. */
static bool write_again(struct rules *rules)
{
    char error[NETFILTER_ERROR_MAX];

    if (apply(rules, verdict_mode(rules->kind), verdict_status(rules->kind), error) == 0)
        return true;
    lose(rules, error);
    return false;
}

static void repair(struct rules *rules, const char *culprit)
{
    const struct log_field fields[] = {
        {"MESSAGE_ID", MESSAGE_ID_REPAIRED}, {"PENSTOCK_CULPRIT", culprit}, {NULL, NULL}};

    note_repair(rules);
    if (!write_again(rules))
        return;
    note_installed(rules);
    log_event(LOG_LEVEL_WARNING, fields, "rules were changed by %s and are repaired", culprit);
}

void rules_check(struct rules *rules, const char *culprit)
{
    char error[NETFILTER_ERROR_MAX], fight[NETFILTER_ERROR_MAX];
    int r;

    /* One that is not installed is written as a whole at the next retry. */
    if (!rules->status.installed)
        return;
    r = netfilter_verify(rules->netfilter, error);
    if (r == 1)
        return;
    if (r == -EAGAIN && culprit == NULL) { /* nobody was seen to touch it */
        compare_soon(rules);
        return;
    }
    if (culprit == NULL)
        culprit = "unknown";
    rules->damaged = true;
    if (r < 0 && r != -EAGAIN) {
        lose(rules, error);
    } else if (is_fight(rules)) {
        snprintf(fight, sizeof(fight), "another program changes them again and again, last %.150s; two managers fight",
                 culprit);
        lose(rules, fight);
    } else {
        repair(rules, culprit);
    }
}

static void on_compare(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct rules *rules = watcher->data;

    (void)revents;
    compare_every(rules, rules->conf->interval_ms / 1000.);
    if (netfilter_known(rules->netfilter))
        rules_check(rules, NULL);
    else if (rules->status.installed) /* nobody is known to have touched it, nobody is known not to have */
        (void)write_again(rules);
}

static void on_retry(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct rules *rules = watcher->data;

    (void)revents;
    if (rules->damaged)
        note_repair(rules);
    rules->cbs.retry(rules->data);
}

/* ---- the object ---- */

struct rules *rules_new(struct ev_loop *loop, struct netfilter *netfilter, uid_t own_uid, const struct rules_cbs *cbs,
                        void *data)
{
    struct rules *rules = calloc(1, sizeof(*rules));

    if (!rules) {
        netfilter_free(netfilter);
        return NULL;
    }
    rules->loop = loop;
    rules->netfilter = netfilter;
    rules->own_uid = own_uid;
    rules->cbs = *cbs;
    rules->data = data;
    for (unsigned i = 0; i < REPAIRS_MAX; i++)
        rules->repairs[i] = -FIGHT_OVER;
    backoff_init(&rules->backoff, RETRY_FIRST_MS, RETRY_MAX_MS);
    ev_timer_init(&rules->retry, on_retry, 0., 0.);
    ev_timer_init(&rules->compare, on_compare, 0., 0.);
    rules->retry.data = rules->compare.data = rules;
    return rules;
}

void rules_set_conf(struct rules *rules, const struct conf *conf)
{
    rules->conf = conf;
    rules->conf_changed = true;
    compare_every(rules, conf->interval_ms / 1000.);
}

bool rules_stop(struct rules *rules, bool block)
{
    char error[NETFILTER_ERROR_MAX];
    int r;

    if (block)
        r = apply(rules, VERDICT_MODE_BLOCKED, STOPPED_TEXT, error);
    else
        r = netfilter_remove(rules->netfilter, error);
    ev_timer_stop(rules->loop, &rules->retry);
    ev_timer_stop(rules->loop, &rules->compare);
    rules->status.installed = false;
    if (r < 0)
        log_error("rules could not be changed for the stop: %s", error);
    return r == 0;
}

void rules_status(const struct rules *rules, struct status_rules *ret_status)
{
    *ret_status = rules->status;
    ret_status->owned = netfilter_owned(rules->netfilter);
}

void rules_free(struct rules *rules)
{
    if (!rules)
        return;
    ev_timer_stop(rules->loop, &rules->retry);
    ev_timer_stop(rules->loop, &rules->compare);
    netfilter_free(rules->netfilter);
    free(rules);
}
