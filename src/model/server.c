/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/server.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *slug, *text;
} states[SERVER_STATE_COUNT] = {
#define SERVER_STATE(name, slug, text) [SERVER_##name] = {slug, text},
#include "model/server.def"
#undef SERVER_STATE
};

static bool any_is(const struct server_report *report, enum test_outcome outcome)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (report->stages[stage].outcome == outcome)
            return true;
    return false;
}

/* The plain port is tested last: what it says counts. */
const struct test_stage *server_failure(const struct server_report *report)
{
    static const enum stage order[] = {STAGE_PLAIN_TCP, STAGE_MUTUAL_AUTH, STAGE_SECURE_TCP};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        if (stage_has_ended(&report->stages[order[i]]))
            return report->stages[order[i]].outcome == TEST_FAILED ? &report->stages[order[i]] : NULL;
    return NULL;
}

const struct addr *server_address(const struct server_report *report)
{
    bool plain = stage_has_ended(&report->stages[STAGE_PLAIN_TCP]);
    return stage_address(report, plain ? STAGE_PLAIN_TCP : STAGE_SECURE_TCP);
}

static enum server_state state_of_failure(const struct server_report *report, const struct test_stage *failure)
{
    if (cause_is_of_this_host(failure->cause))
        return SERVER_UNTESTED;
    if (failure == &report->stages[STAGE_MUTUAL_AUTH])
        return SERVER_MISTRUSTED;
    return addr_port(server_address(report)) == 0 ? SERVER_UNRESOLVED : SERVER_UNREACHABLE;
}

enum server_state server_state_of(const struct server_report *report)
{
    const struct test_stage *failure = server_failure(report);
    if (any_is(report, TEST_RUNNING))
        return SERVER_TESTING;
    if (failure)
        return state_of_failure(report, failure);
    if (report->stages[STAGE_MUTUAL_AUTH].outcome == TEST_PASSED)
        return SERVER_TRUSTED;
    return report->stages[STAGE_PLAIN_TCP].outcome == TEST_PASSED ? SERVER_PLAIN : SERVER_UNTESTED;
}

const char *server_state_slug(enum server_state state)
{
    assert(state < SERVER_STATE_COUNT);
    return states[state].slug;
}

const char *server_state_text(enum server_state state)
{
    assert(state < SERVER_STATE_COUNT);
    return states[state].text;
}

enum server_state server_state_named(const char *slug)
{
    int state = 0;
    while (state < SERVER_STATE_COUNT && (!slug || strcmp(states[state].slug, slug) != 0))
        state++;
    return (enum server_state)state;
}
