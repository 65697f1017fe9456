/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/net/happy_eyeballs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/timer.h"
#include "channel/link/link.h"

#define STAGGER_S 0.25 /* RFC 8305: Connection Attempt Delay */

struct runner {
    struct happy_eyeballs *race;
    struct link *link; /* NULL: not started, or failed */
    uint64_t started;
};

struct happy_eyeballs {
    struct ev_loop *loop;
    const struct conf *conf;
    happy_eyeballs_cb *cb;
    void *data;
    ev_timer timer; /* starts the next runner */
    size_t n, n_started, n_failed;
    struct runner *winner; /* NULL: none (yet) */
    uint64_t started;
    struct happy_eyeballs_result failure; /* of the most telling address */
    struct addr addrs[HAPPY_EYEBALLS_ADDRS_MAX];
    struct runner runners[HAPPY_EYEBALLS_ADDRS_MAX];
};

static void race_stop(struct happy_eyeballs *race)
{
    size_t i;
    ev_timer_stop(race->loop, &race->timer);
    for (i = 0; i < race->n_started; i++) {
        if (&race->runners[i] == race->winner)
            continue;
        link_free(race->runners[i].link);
        race->runners[i].link = NULL;
    }
}

static void race_won(struct happy_eyeballs *race, struct runner *runner)
{
    struct happy_eyeballs_result result = {.up = true, .us = clock_us_since(runner->started)};
    race->winner = runner;
    result.address = race->addrs[runner - race->runners];
    race_stop(race);
    race->cb(race, &result, race->data);
}

static void race_lost(struct happy_eyeballs *race)
{
    struct happy_eyeballs_result result = race->failure;
    size_t length = strlen(result.detail), others = race->n - 1;
    result.us = clock_us_since(race->started);
    if (others > 0)
        snprintf(result.detail + length, sizeof result.detail - length, " (and %zu more address%s failed)", others,
                 others == 1 ? "" : "es");
    race_stop(race);
    race->cb(race, &result, race->data);
}

/* What the network said tells more than what this host could not even try. */
static void race_note_failure(struct happy_eyeballs *race, const struct runner *runner,
                              const struct link_failure *failure)
{
    if (race->n_failed > 0 && (failure->no_route || !race->failure.no_route))
        return;
    race->failure.no_route = failure->no_route;
    race->failure.address = race->addrs[runner - race->runners];
    race->failure.cause = failure->cause;
    memcpy(race->failure.detail, failure->detail, sizeof race->failure.detail);
}

static void race_start_next(struct happy_eyeballs *race);

static void race_link_cb(struct link *link, const struct link_failure *failure, void *data)
{
    struct runner *runner = data;
    struct happy_eyeballs *race = runner->race;
    assert(link == runner->link);
    if (!failure) {
        race_won(race, runner);
        return;
    }
    race_note_failure(race, runner, failure);
    race->n_failed++;
    link_free(link);
    runner->link = NULL;
    if (race->n_failed == race->n)
        race_lost(race);
    else if (race->n_started < race->n)
        race_start_next(race);
}

/* Out of memory for a link: the timer tries again, the address is not skipped. */
static void race_start_next(struct happy_eyeballs *race)
{
    struct runner *runner = &race->runners[race->n_started];
    struct link_request request = {.conf = race->conf, .address = race->addrs[race->n_started]};
    runner->race = race;
    runner->started = clock_us();
    runner->link = link_start(race->loop, &request, race_link_cb, runner);
    if (runner->link)
        race->n_started++;
    ev_timer_stop(race->loop, &race->timer);
    if (race->n_started < race->n) {
        timer_arm(race->loop, &race->timer, STAGGER_S);
    }
}

static void race_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    race_start_next(timer->data);
}

struct happy_eyeballs *happy_eyeballs_start(struct ev_loop *loop, const struct conf *conf, const struct addr *addrs,
                                            size_t n, happy_eyeballs_cb *cb, void *data)
{
    struct happy_eyeballs *race = calloc(1, sizeof *race);
    assert(n > 0);
    if (!race)
        return NULL;
    race->loop = loop;
    race->conf = conf;
    race->cb = cb;
    race->data = data;
    race->n = n < HAPPY_EYEBALLS_ADDRS_MAX ? n : HAPPY_EYEBALLS_ADDRS_MAX;
    memcpy(race->addrs, addrs, race->n * sizeof *addrs);
    ev_init(&race->timer, race_timer_cb);
    race->timer.data = race;
    race->started = clock_us();
    race_start_next(race);
    return race;
}

struct stream *happy_eyeballs_take_stream(struct happy_eyeballs *race)
{
    assert(race->winner && race->winner->link);
    return link_take_stream(race->winner->link);
}

void happy_eyeballs_free(struct happy_eyeballs *race)
{
    if (!race)
        return;
    race->winner = NULL;
    race_stop(race);
    free(race);
}
