/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/decide/refusals.h"

#include "base/clock.h"
#include "base/log.h"
#include "model/message_id.h"

static int64_t this_period(void)
{
    return clock_ms() / 1000 / REFUSALS_SLOT_S;
}

static void sum_up(const struct refusals *refusals, struct answers *ret_sum)
{
    int64_t now = this_period();
    *ret_sum = (struct answers){0};
    for (int64_t period = now - REFUSALS_SLOTS + 1; period <= now; period++) {
        int slot = (int)(period % REFUSALS_SLOTS);
        if (period > 0 && refusals->slots[slot].period == period)
            answers_merge(ret_sum, &refusals->slots[slot].answers);
    }
}

static bool has(const struct answers *answers, const struct answers_count *wanted)
{
    for (uint32_t i = 0; i < answers->n; i++)
        if (answers->counts[i].port == wanted->port && answers->counts[i].status == wanted->status)
            return true;
    return false;
}

/* It is told once, and again only after there was none of it for as long as one remembers. */
static void tell(struct refusals *refusals)
{
    struct answers sum, told = {0};
    char text[ANSWERS_TEXT_MAX];
    sum_up(refusals, &sum);
    for (uint32_t i = 0; i < sum.n; i++) {
        bool known = has(&refusals->told, &sum.counts[i]);
        if (!known && !answers_is_trouble(&sum, i))
            continue;
        told.counts[told.n++] = sum.counts[i];
        if (known)
            continue;
        const struct log_field fields[] = {
            {"MESSAGE_ID", MESSAGE_ID_REFUSALS}, {"PENSTOCK_CAUSE", cause_slug(answers_cause(&sum, i))}, {NULL, NULL}};
        log_event(LOG_LEVEL_WARNING, fields, "%s", answers_text(&sum, i, REFUSALS_WHEN, text));
    }
    refusals->told = told;
}

void refusals_take(struct refusals *refusals, uint64_t reload, const struct answers *answers)
{
    int64_t period = this_period();
    int slot = (int)(period % REFUSALS_SLOTS);
    if (refusals->reload != reload)
        *refusals = (struct refusals){.reload = reload};
    if (refusals->slots[slot].period != period) {
        refusals->slots[slot].answers = (struct answers){0};
        refusals->slots[slot].period = period;
    }
    answers_merge(&refusals->slots[slot].answers, answers);
    tell(refusals);
}

void refusals_warnings(const struct refusals *refusals, uint64_t reload, struct texts *warnings)
{
    struct answers sum;
    char text[ANSWERS_TEXT_MAX];
    if (refusals->reload != reload)
        return;
    sum_up(refusals, &sum);
    for (uint32_t i = 0; i < sum.n; i++)
        if (answers_is_trouble(&sum, i))
            texts_add(warnings, "%s", answers_text(&sum, i, REFUSALS_WHEN, text));
}
