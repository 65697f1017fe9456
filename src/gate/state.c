/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/state.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "gate/message_id.h"
#include "gate/notify.h"

static bool redirects(enum verdict_kind kind)
{
    enum verdict_mode mode = verdict_mode(kind);

    return mode == VERDICT_MODE_SECURE || mode == VERDICT_MODE_PLAIN;
}

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
    }
    return MESSAGE_ID_BLOCKED;
}

/* The detail, or who is connected to. */
static void describe(const struct verdict *verdict, char *ret_text, size_t size)
{
    char address[ADDR_TEXT_MAX];

    if (!redirects(verdict->kind))
        snprintf(ret_text, size, "%s", verdict->detail);
    else if (verdict->fallback_detail[0] != '\0')
        snprintf(ret_text, size, "%s at %s, because of the secure channel: %s", verdict->server,
                 addr_text(&verdict->address, address), verdict->fallback_detail);
    else
        snprintf(ret_text, size, "%s at %s", verdict->server, addr_text(&verdict->address, address));
}

static void log_change(const struct state *state, const struct verdict *verdict)
{
    const char *reason = verdict_reason(verdict->kind);
    const char *old = state->entered ? verdict_status(state->verdict.kind) : "none";
    char text[IPC_NAME_MAX + IPC_DETAIL_MAX + ADDR_TEXT_MAX + 64];
    const struct log_field fields[] = {{"MESSAGE_ID", message_id(verdict->kind)},
                                       {"PENSTOCK_STATUS", verdict_status(verdict->kind)},
                                       {"PENSTOCK_REASON", reason ? reason : ""},
                                       {NULL, NULL}};

    describe(verdict, text, sizeof(text));
    if (!state->entered || state->verdict.kind != verdict->kind)
        log_event(LOG_LEVEL_NOTICE, fields, "verdict: %s -> %s%s%s", old, verdict_status(verdict->kind),
                  text[0] != '\0' ? ": " : "", text);
    else if (redirects(verdict->kind) && (!addr_equal(&state->verdict.address, &verdict->address) ||
                                          strcmp(state->verdict.server, verdict->server) != 0))
        log_notice("verdict: still %s, now %s", verdict_status(verdict->kind), text);
    else if (strcmp(state->verdict.detail, verdict->detail) != 0)
        log_info("verdict: still %s: %s", verdict_status(verdict->kind), text);
}

/* ---- the door ---- */

static void tell_manager(const struct state *state)
{
    const char *detail = state->verdict.detail;
    char text[IPC_DETAIL_MAX + NETFILTER_ERROR_MAX + 64];

    snprintf(text, sizeof(text), "%s%s%s%s%s", verdict_status(state->verdict.kind), detail[0] != '\0' ? ": " : "",
             detail, state->warning[0] != '\0' ? "; warning: " : "", state->warning);
    notify_status(text);
}

/* The only writer of state->verdict. */
static void gate_enter(struct state *state, const struct verdict *verdict)
{
    bool changed = !state->entered || state->verdict.kind != verdict->kind;
    bool news = changed || strcmp(state->verdict.detail, verdict->detail) != 0;

    log_change(state, verdict);
    state->verdict = *verdict;
    state->entered = true;
    if (changed)
        state->since = time(NULL);
    if (news)
        tell_manager(state);
}

static void send_route(struct state *state, const struct verdict *verdict)
{
    struct route route;

    memset(&route, 0, sizeof(route)); /* its padding goes to other processes */
    route.generation = ++state->generation;
    snprintf(route.status, sizeof(route.status), "%s", verdict_status(verdict->kind));
    switch (verdict_mode(verdict->kind)) {
    case VERDICT_MODE_SECURE:
        route.mode = ROUTE_SECURE;
        break;
    case VERDICT_MODE_PLAIN:
        route.mode = ROUTE_PLAIN;
        break;
    case VERDICT_MODE_BLOCKED:
    case VERDICT_MODE_DIRECT:
        route.mode = ROUTE_CLOSED;
        break;
    }
    if (route.mode != ROUTE_CLOSED) {
        route.address = verdict->address;
        memcpy(route.server, verdict->server, sizeof(route.server));
    }
    children_set_route(state->children, &route);
}

/* Closed relays and "Testing", because what is wanted cannot be. */
static void enter_testing(struct state *state, const char *why)
{
    struct verdict testing = {.kind = VERDICT_TESTING};

    snprintf(testing.detail, sizeof(testing.detail), "%.*s", IPC_DETAIL_MAX - 1, why);
    send_route(state, &testing);
    gate_enter(state, &testing);
}

static void enter_refused(struct state *state)
{
    struct status_rules rules;
    char why[IPC_DETAIL_MAX + sizeof(rules.error)];

    rules_status(state->rules, &rules);
    snprintf(why, sizeof(why), "rules for \"%s\" are not installed: %s", verdict_status(state->wanted.kind),
             rules.error);
    enter_testing(state, why);
}

static void go_up(struct state *state)
{
    /* With the redirect in place already, clients meet a closed port while there is no relay; that is blocked too. */
    if (!state->relays_ready && !redirects(state->verdict.kind)) {
        rules_set(state->rules, VERDICT_TESTING);
        enter_testing(state, "no relay is listening yet");
        return;
    }
    send_route(state, &state->wanted);
    if (rules_set(state->rules, state->wanted.kind))
        gate_enter(state, &state->wanted);
    else
        enter_refused(state);
}

static void go_down(struct state *state)
{
    bool installed = rules_set(state->rules, state->wanted.kind);

    /* Traffic that passes beside the proxy is no state to claim without the rules; a blocked one the relays keep. */
    if (!installed && verdict_mode(state->wanted.kind) == VERDICT_MODE_DIRECT) {
        enter_refused(state);
        return;
    }
    send_route(state, &state->wanted);
    gate_enter(state, &state->wanted);
}

void state_pursue(struct state *state, const struct verdict *wanted)
{
    if (wanted != &state->wanted)
        state->wanted = *wanted;
    if (redirects(state->wanted.kind))
        go_up(state);
    else
        go_down(state);
}

void state_retry(struct state *state)
{
    state_pursue(state, &state->wanted);
}

void state_warn(struct state *state, const char *text)
{
    snprintf(state->warning, sizeof(state->warning), "%s", text);
    if (state->entered)
        tell_manager(state);
}

void state_rules_lost(struct state *state, const char *why)
{
    (void)why; /* in rules_status() */
    if (verdict_mode(state->verdict.kind) != VERDICT_MODE_BLOCKED)
        enter_refused(state);
}

void state_relays_ready(struct state *state, bool ready)
{
    state->relays_ready = ready;
    if (ready && state->verdict.kind != state->wanted.kind)
        state_pursue(state, &state->wanted);
}

void state_init(struct state *state, struct rules *rules, struct children *children)
{
    *state = (struct state){.rules = rules, .children = children};
    state->wanted.kind = VERDICT_TESTING;
    state->verdict.kind = VERDICT_TESTING;
}
