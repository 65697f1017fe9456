/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/report.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *key, *text;
    bool plain;
} stages[STAGE_COUNT] = {
#define STAGE(name, key, text, plain) [STAGE_##name] = {key, text, plain},
#include "model/stage.def"
#undef STAGE
};

static const char *const outcomes[] = {
    [TEST_NOT_DONE] = "not done", [TEST_RUNNING] = "running", [TEST_PASSED] = "passed", [TEST_FAILED] = "failed"};

const char *stage_key(enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage].key;
}

const char *stage_text(enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage].text;
}

enum stage stage_of(const char *key)
{
    int stage = 0;
    while (stage < STAGE_COUNT && (!key || strcmp(stages[stage].key, key) != 0))
        stage++;
    return (enum stage)stage;
}

const char *outcome_text(enum test_outcome outcome)
{
    assert(outcome <= TEST_FAILED);
    return outcomes[outcome];
}

enum test_outcome outcome_of(const char *text)
{
    for (int outcome = TEST_RUNNING; text && outcome <= TEST_FAILED; outcome++)
        if (strcmp(outcomes[outcome], text) == 0)
            return (enum test_outcome)outcome;
    return TEST_NOT_DONE;
}

bool stage_has_ended(const struct test_stage *stage)
{
    return stage->outcome == TEST_PASSED || stage->outcome == TEST_FAILED;
}

const struct addr *stage_address(const struct server_report *server, enum stage stage)
{
    assert(stage < STAGE_COUNT);
    return stages[stage].plain ? &server->plain_address : &server->secure_address;
}
