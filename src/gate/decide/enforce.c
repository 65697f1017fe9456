/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/enforce.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "model/message_id.h"

/* ---- log ---- */

static const char *message_id(enum verdict_kind kind)
{
    switch (verdict_mode(kind)) {
    case VERDICT_MODE_SECURE:
    case VERDICT_MODE_PLAIN:
        return MESSAGE_ID_CONNECTED;
    case VERDICT_MODE_BLOCKED:
        return MESSAGE_ID_BLOCKED;
    case VERDICT_MODE_DIRECT:
        return MESSAGE_ID_DIRECT;
    case VERDICT_MODE_OPEN:
        return MESSAGE_ID_OPEN;
    }
    return MESSAGE_ID_BLOCKED;
}

static enum log_level level_of(enum verdict_kind kind)
{
    switch (verdict_mode(kind)) {
    case VERDICT_MODE_SECURE:
        return LOG_LEVEL_NOTICE;
    case VERDICT_MODE_PLAIN:
    case VERDICT_MODE_DIRECT:
        return LOG_LEVEL_WARNING;
    case VERDICT_MODE_BLOCKED:
        return kind == VERDICT_TESTING ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR;
    case VERDICT_MODE_OPEN:
        return LOG_LEVEL_ALERT;
    }
    return LOG_LEVEL_ERROR;
}

/* Another reason for the same state. */
static enum log_level level_of_cause(enum verdict_kind kind)
{
    return kind == VERDICT_TESTING ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE;
}

/* The detail, or who is connected to. */
static void describe(const struct verdict *verdict, char *ret_text, size_t size)
{
    char address[ADDR_TEXT_MAX];
    if (!verdict_redirects(verdict->kind))
        snprintf(ret_text, size, "%s", verdict->detail);
    else if (verdict->fallback_detail[0] != '\0')
        snprintf(ret_text, size, "%s at %s, because of the secure channel: %s", verdict->server,
                 addr_text(&verdict->address, address), verdict->fallback_detail);
    else
        snprintf(ret_text, size, "%s at %s", verdict->server, addr_text(&verdict->address, address));
}

static void log_change(const struct enforcement *enforcement, const struct verdict *verdict)
{
    const char *reason = verdict_reason(verdict->kind);
    const char *cause = cause_slug(verdict->cause ? verdict->cause : verdict->fallback_cause);
    const char *old = enforcement->entered ? verdict_status(enforcement->verdict.kind) : "none";
    char text[NAME_SIZE + DETAIL_MAX + ADDR_TEXT_MAX + 64];
    const struct log_field fields[] = {{"MESSAGE_ID", message_id(verdict->kind)},
                                       {"PENSTOCK_STATUS", verdict_status(verdict->kind)},
                                       {"PENSTOCK_REASON", reason ? reason : ""},
                                       {"PENSTOCK_CAUSE", cause},
                                       {"PENSTOCK_SERVER", verdict->server[0] != '\0' ? verdict->server : NULL},
                                       {NULL, NULL}};
    describe(verdict, text, sizeof text);
    if (!enforcement->entered || enforcement->verdict.kind != verdict->kind)
        log_event(level_of(verdict->kind), fields, "verdict: %s -> %s%s%s", old, verdict_status(verdict->kind),
                  text[0] != '\0' ? ": " : "", text);
    else if (verdict_redirects(verdict->kind) && (!addr_equal(&enforcement->verdict.address, &verdict->address) ||
                                                  strcmp(enforcement->verdict.server, verdict->server) != 0))
        log_event(LOG_LEVEL_NOTICE, fields, "verdict: still %s, now %s", verdict_status(verdict->kind), text);
    else if (enforcement->verdict.cause != verdict->cause ||
             enforcement->verdict.fallback_cause != verdict->fallback_cause)
        log_event(level_of_cause(verdict->kind), fields, "verdict: still %s: %s", verdict_status(verdict->kind), text);
    else if (strcmp(enforcement->verdict.detail, verdict->detail) != 0)
        log_event(LOG_LEVEL_INFO, fields, "verdict: still %s: %s", verdict_status(verdict->kind), text);
}

/* ---- the door ---- */

/* The only writer of enforcement->verdict. */
static void gate_enter(struct enforcement *enforcement, const struct verdict *verdict)
{
    bool changed = !enforcement->entered || enforcement->verdict.kind != verdict->kind;
    assert(enforcement->generation > 0 || !verdict_redirects(verdict->kind)); /* the relays were told the way before */
    log_change(enforcement, verdict);
    enforcement->verdict = *verdict;
    enforcement->entered = true;
    if (changed)
        enforcement->since = time(NULL);
}

static void send_route(struct enforcement *enforcement, const struct verdict *verdict)
{
    struct route route;
    memset(&route, 0, sizeof route); /* its padding goes to other processes */
    route.generation = ++enforcement->generation;
    snprintf(route.status, sizeof route.status, "%s", verdict_status(verdict->kind));
    route.mode = verdict_mode_route(verdict_mode(verdict->kind));
    if (route.mode != ROUTE_CLOSED) {
        route.address = verdict->address;
        memcpy(route.server, verdict->server, sizeof route.server);
    }
    children_set_route(enforcement->children, &route);
}

/* Closed relays, because what is wanted cannot be. */
static void enter_instead(struct enforcement *enforcement, enum verdict_kind kind, enum cause cause, const char *why)
{
    struct verdict verdict = {.kind = kind, .cause = cause};
    snprintf(verdict.detail, sizeof verdict.detail, "%.*s", DETAIL_MAX - 1, why);
    send_route(enforcement, &verdict);
    gate_enter(enforcement, &verdict);
}

/* What the kernel has instead decides what is claimed. */
static void enter_refused(struct enforcement *enforcement)
{
    struct status_rules rules;
    char why[DETAIL_MAX + sizeof rules.error];
    keeper_status(enforcement->keeper, &rules);
    assert(!rules.installed);
    snprintf(why, sizeof why, "rules for \"%s\" are not installed: %s", verdict_status(enforcement->wanted.kind),
             rules.error);
    enter_instead(enforcement, rules.last_resort ? VERDICT_LOCAL_ERROR : VERDICT_NOT_ENFORCED, rules.cause, why);
}

/* A redirect that serves nobody would have connections wait. */
static void enter_closed(struct enforcement *enforcement, enum verdict_kind kind, enum cause cause, const char *why)
{
    if (keeper_set(enforcement->keeper, kind))
        enter_instead(enforcement, kind, cause, why);
    else
        enter_refused(enforcement);
}

/* At the start the first relays are awaited. */
static void enter_without_relay(struct enforcement *enforcement)
{
    const char *why = children_listen_error(enforcement->children);
    bool starting = !enforcement->had_relays && why[0] == '\0';
    enter_closed(enforcement, starting ? VERDICT_TESTING : VERDICT_LOCAL_ERROR, CAUSE_NO_RELAY,
                 why[0] != '\0' ? why : "no relay is listening");
}

static void go_up(struct enforcement *enforcement)
{
    if (!enforcement->relays_ready) {
        enter_without_relay(enforcement);
        return;
    }
    if (enforcement->redirect_lost[0] != '\0') {
        enter_closed(enforcement, VERDICT_LOCAL_ERROR, CAUSE_REDIRECT_LOST, enforcement->redirect_lost);
        return;
    }
    send_route(enforcement, &enforcement->wanted);
    if (keeper_set(enforcement->keeper, enforcement->wanted.kind))
        gate_enter(enforcement, &enforcement->wanted);
    else
        enter_refused(enforcement);
}

static void go_down(struct enforcement *enforcement)
{
    if (!keeper_set(enforcement->keeper, enforcement->wanted.kind)) {
        enter_refused(enforcement);
        return;
    }
    send_route(enforcement, &enforcement->wanted);
    gate_enter(enforcement, &enforcement->wanted);
}

void enforce_pursue(struct enforcement *enforcement, const struct verdict *wanted)
{
    if (wanted != &enforcement->wanted)
        enforcement->wanted = *wanted;
    if (verdict_redirects(enforcement->wanted.kind))
        go_up(enforcement);
    else
        go_down(enforcement);
}

void enforce_retry(struct enforcement *enforcement)
{
    assert(enforcement->entered);
    enforce_pursue(enforcement, &enforcement->wanted);
}

void enforce_rules_lost(struct enforcement *enforcement)
{
    assert(enforcement->entered);
    enter_refused(enforcement);
}

void enforce_relays_ready(struct enforcement *enforcement, bool ready)
{
    const struct log_field fields[] = {
        {"MESSAGE_ID", MESSAGE_ID_RELAYS}, {"PENSTOCK_CAUSE", ready ? NULL : cause_slug(CAUSE_NO_RELAY)}, {NULL, NULL}};
    if (ready == enforcement->relays_ready)
        return;
    if (ready && enforcement->had_relays)
        log_event(LOG_LEVEL_NOTICE, fields, "a relay is listening again");
    enforcement->relays_ready = ready;
    enforcement->had_relays = enforcement->had_relays || ready;
    if (!ready)
        log_event(LOG_LEVEL_ERROR, fields, "no relay is listening any more; web traffic is refused until one is back");
    if (ready ? enforcement->verdict.kind != enforcement->wanted.kind : verdict_redirects(enforcement->verdict.kind))
        enforce_pursue(enforcement, &enforcement->wanted);
}

void enforce_redirect_tried(struct enforcement *enforcement, const char *why_lost)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_REDIRECT}, {NULL, NULL}};
    if (strcmp(enforcement->redirect_lost, why_lost) == 0)
        return;
    snprintf(enforcement->redirect_lost, sizeof enforcement->redirect_lost, "%s", why_lost);
    if (why_lost[0] == '\0')
        log_event(LOG_LEVEL_NOTICE, fields, "redirected connections arrive again");
    if (verdict_redirects(enforcement->wanted.kind))
        enforce_pursue(enforcement, &enforcement->wanted);
}

void enforce_init(struct enforcement *enforcement, struct keeper *keeper, struct children *children)
{
    *enforcement = (struct enforcement){.keeper = keeper, .children = children};
    enforcement->wanted.kind = VERDICT_TESTING;
    enforcement->verdict.kind = VERDICT_TESTING;
}
