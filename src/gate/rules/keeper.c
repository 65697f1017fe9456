/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/keeper.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/timer.h"
#include "gate/rules/modules.h"
#include "gate/rules/proxies.h"
#include "model/message_id.h"

/* More repairs in a shorter time are a fight with another manager, in which haste only burns the processor. */
#define REPAIRS_MAX    5
#define REPAIR_SECONDS 10.
#define FIGHT_OVER     60. /* seconds of peace */
#define SOON           1.  /* seconds until the table is looked at again while others change theirs all the time */
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   30000

#define STOPPED_TEXT "Blocked - penstock is stopped"

struct keeper {
    struct ev_loop *loop;
    struct table *table;
    uid_t own_uid;
    struct event_sink sink;
    const struct conf *conf;
    bool conf_changed;
    enum verdict_kind kind; /* last set */
    bool damaged;           /* by others, and not repaired yet */
    struct proxies proxies;
    struct status_rules status;
    struct backoff backoff;
    ev_timer retry;
    ev_timer compare;               /* events may get lost */
    ev_tstamp repairs[REPAIRS_MAX]; /* when, a ring */
    unsigned next_repair;
};

static void compare_every(struct keeper *keeper, double seconds)
{
    keeper->compare.repeat = seconds;
    ev_timer_again(keeper->loop, &keeper->compare);
}

static void compare_soon(struct keeper *keeper)
{
    if (keeper->compare.repeat > SOON)
        compare_every(keeper, SOON);
}

static int apply(struct keeper *keeper, enum verdict_mode mode, const char *text,
                 char ret_error[static TABLE_ERROR_MAX])
{
    struct ruleset_spec spec = {.mode = mode,
                                .status = text,
                                .conf = keeper->conf,
                                .own_uid = keeper->own_uid,
                                .proxies = keeper->proxies.addrs,
                                .n_proxies = keeper->proxies.n};
    int r = table_apply(keeper->table, &spec, ret_error);
    if (r == 0 && !table_known(keeper->table))
        compare_soon(keeper);
    return r;
}

static void schedule_retry(struct keeper *keeper)
{
    timer_arm(keeper->loop, &keeper->retry, backoff_next(&keeper->backoff) / 1000.);
}

/* Web traffic is refused, whatever else the kernel lacks. Not against another program that changes the table again and
 * again: it would change this one, too. */
static void fall_back(struct keeper *keeper, int code, const char *why)
{
    char error[TABLE_ERROR_MAX];
    bool stood = keeper->status.last_resort;
    if (stood && table_verify(keeper->table, error) == 1)
        return;
    keeper->status.last_resort = code != -EBUSY && table_close(keeper->table, keeper->conf, why, error) == 0;
    if (keeper->status.last_resort && !stood)
        log_error("web traffic is refused by a table of last resort");
}

static void log_refusal(const struct status_rules *status)
{
    const struct log_field fields[] = {
        {"MESSAGE_ID", MESSAGE_ID_RULES_REFUSED}, {"PENSTOCK_CAUSE", cause_slug(status->cause)}, {NULL, NULL}};
    log_event(LOG_LEVEL_ERROR, fields, "rules are not installed: %s", status->error);
}

/* The same refusal again and again is logged once. */
static void note_refusal(struct keeper *keeper, int code, const char *error)
{
    struct status_rules *status = &keeper->status;
    bool was_installed = status->installed;
    char why[sizeof status->error], before[sizeof status->error];
    static_assert(sizeof why >= MODULES_TEXT_MAX, "what is missing fits");
    memcpy(before, status->error, sizeof before);
    /* An expression that nobody knows, or a type of chain, or of object. */
    if ((code == -ENOENT || code == -EOPNOTSUPP) && modules_missing(why) > 0) {
        status->cause = CAUSE_KERNEL_MODULES;
    } else {
        status->cause = table_cause(code);
        snprintf(why, sizeof why, "%s", error);
    }
    memcpy(status->error, why, sizeof why);
    status->installed = false;
    if (was_installed || strcmp(before, status->error) != 0)
        log_refusal(status);
    fall_back(keeper, code, status->error);
    schedule_retry(keeper);
}

static void note_installed(struct keeper *keeper)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_RULES_INSTALLED}, {NULL, NULL}};
    if (keeper->status.error[0] != '\0')
        log_event(LOG_LEVEL_NOTICE, fields, "rules are installed again");
    /* The pauses of a fight stay long until it is over. */
    if (keeper->damaged)
        keeper->status.repaired++;
    else
        backoff_reset(&keeper->backoff);
    keeper->damaged = false;
    keeper->status.installed = true;
    keeper->status.last_resort = false;
    keeper->status.cause = CAUSE_NONE;
    keeper->status.error[0] = '\0';
    keeper->conf_changed = false;
    ev_timer_stop(keeper->loop, &keeper->retry);
}

bool keeper_set(struct keeper *keeper, enum verdict_kind kind)
{
    char error[TABLE_ERROR_MAX];
    assert(keeper->conf);
    if (keeper->status.installed && keeper->kind == kind && !keeper->conf_changed)
        return true;
    keeper->kind = kind;
    int r = apply(keeper, verdict_mode(kind), verdict_status(kind), error);
    if (r < 0) {
        note_refusal(keeper, r, error);
        return false;
    }
    note_installed(keeper);
    keeper->status.changes++;
    return true;
}

bool keeper_set_proxies(struct keeper *keeper, const struct addr *addrs, size_t n)
{
    char error[TABLE_ERROR_MAX];
    int r;
    if (!proxies_name(&keeper->proxies, addrs, n, ev_now(keeper->loop)) || !keeper->status.installed)
        return true;
    r = apply(keeper, verdict_mode(keeper->kind), verdict_status(keeper->kind), error);
    if (r < 0)
        note_refusal(keeper, r, error);
    return r == 0;
}

/* ---- changes by others ---- */

/* True when so many repairs were made in so short a time that another one has to wait. */
static bool is_fight(struct keeper *keeper)
{
    ev_tstamp now = ev_now(keeper->loop);
    ev_tstamp oldest = keeper->repairs[keeper->next_repair];
    ev_tstamp latest = keeper->repairs[(keeper->next_repair + REPAIRS_MAX - 1) % REPAIRS_MAX];
    if (now - latest > FIGHT_OVER)
        backoff_reset(&keeper->backoff);
    return now - oldest < REPAIR_SECONDS;
}

static void note_repair(struct keeper *keeper)
{
    keeper->repairs[keeper->next_repair] = ev_now(keeper->loop);
    keeper->next_repair = (keeper->next_repair + 1) % REPAIRS_MAX;
}

/* The table of the verdict once more; false: it is lost. */
static bool write_again(struct keeper *keeper)
{
    char error[TABLE_ERROR_MAX];
    int r = apply(keeper, verdict_mode(keeper->kind), verdict_status(keeper->kind), error);
    if (r == 0)
        return true;
    note_refusal(keeper, r, error);
    return false;
}

static bool repair(struct keeper *keeper, const char *culprit)
{
    const struct log_field fields[] = {
        {"MESSAGE_ID", MESSAGE_ID_REPAIRED}, {"PENSTOCK_CULPRIT", culprit}, {NULL, NULL}};
    note_repair(keeper);
    if (!write_again(keeper))
        return false;
    note_installed(keeper);
    log_event(LOG_LEVEL_WARNING, fields, "rules were changed by %s and are repaired", culprit);
    return true;
}

bool keeper_check(struct keeper *keeper, const char *culprit)
{
    char error[TABLE_ERROR_MAX], fight[TABLE_ERROR_MAX];
    int r;
    /* One that is not there is written as a whole at the next retry. */
    if (!keeper->status.installed && !keeper->status.last_resort)
        return true;
    r = table_verify(keeper->table, error);
    if (r == 1)
        return true;
    if (r == -EAGAIN && !culprit) { /* nobody was seen to touch it */
        compare_soon(keeper);
        return true;
    }
    if (!culprit)
        culprit = "unknown";
    keeper->damaged = true;
    if (r < 0 && r != -EAGAIN) {
        note_refusal(keeper, r, error);
    } else if (is_fight(keeper)) {
        snprintf(fight, sizeof fight, "another program changes them again and again, last %.150s; two managers fight",
                 culprit);
        note_refusal(keeper, -EBUSY, fight);
    } else {
        return repair(keeper, culprit);
    }
    return false;
}

static void tell(struct keeper *keeper, enum event_type type)
{
    const struct event event = {.type = type};
    keeper->sink.event_cb(&event, keeper->sink.data);
}

static void compare_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct keeper *keeper = watcher->data;
    bool kept = true;
    compare_every(keeper, keeper->conf->interval_ms / 1000.);
    if (table_known(keeper->table))
        kept = keeper_check(keeper, NULL);
    else if (keeper->status.installed ||
             keeper->status.last_resort) /* nobody is known to have touched it, nobody is known not to have */
        kept = write_again(keeper);
    if (!kept)
        tell(keeper, EVENT_RULES_LOST);
}

static void retry_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct keeper *keeper = watcher->data;
    assert(!keeper->status.installed);
    if (keeper->damaged)
        note_repair(keeper);
    tell(keeper, EVENT_RULES_RETRY);
}

/* ---- the object ---- */

struct keeper *keeper_new(struct ev_loop *loop, struct table *table, uid_t own_uid, const struct event_sink *sink)
{
    struct keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper) {
        table_free(table);
        return NULL;
    }
    keeper->loop = loop;
    keeper->table = table;
    keeper->own_uid = own_uid;
    keeper->sink = *sink;
    for (unsigned i = 0; i < REPAIRS_MAX; i++)
        keeper->repairs[i] = -FIGHT_OVER;
    backoff_init(&keeper->backoff, RETRY_FIRST_MS, RETRY_MAX_MS);
    ev_timer_init(&keeper->retry, retry_cb, 0., 0.);
    ev_timer_init(&keeper->compare, compare_cb, 0., 0.);
    keeper->retry.data = keeper->compare.data = keeper;
    return keeper;
}

void keeper_set_conf(struct keeper *keeper, const struct conf *conf)
{
    struct addr addr;
    for (size_t i = 0; i < conf->n_servers; i++) /* those without a name need no prober to be known */
        if (addr_parse(conf->servers[i], 0, &addr))
            proxies_name(&keeper->proxies, &addr, 1, ev_now(keeper->loop));
    keeper->conf = conf;
    keeper->conf_changed = true;
    compare_every(keeper, conf->interval_ms / 1000.);
}

bool keeper_stop(struct keeper *keeper, bool block)
{
    char error[TABLE_ERROR_MAX];
    int r;
    r = block ? apply(keeper, VERDICT_MODE_BLOCKED, STOPPED_TEXT, error) : table_remove(keeper->table, error);
    if (block && r < 0)
        r = table_close(keeper->table, keeper->conf, "penstock is stopped", error);
    ev_timer_stop(keeper->loop, &keeper->retry);
    ev_timer_stop(keeper->loop, &keeper->compare);
    keeper->status.installed = false;
    if (r < 0)
        log_error("rules could not be changed for the stop: %s", error);
    return r == 0;
}

uint32_t keeper_portid(const struct keeper *keeper)
{
    return table_portid(keeper->table);
}

void keeper_status(const struct keeper *keeper, struct status_rules *ret_status)
{
    *ret_status = keeper->status;
    ret_status->table = "inet " RULESET_TABLE;
    ret_status->owned = table_owned(keeper->table);
}

struct counters keeper_count(const struct keeper *keeper)
{
    return table_count(keeper->table);
}

void keeper_free(struct keeper *keeper)
{
    if (!keeper)
        return;
    ev_timer_stop(keeper->loop, &keeper->retry);
    ev_timer_stop(keeper->loop, &keeper->compare);
    table_free(keeper->table);
    free(keeper);
}
