/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/forwarding.h"
#include "base/shares.h"
#include "control/json.h"
#include "gate/children/children.h"
#include "gate/decide/enforce.h"
#include "gate/decide/refusals.h"
#include "gate/decide/servers.h"
#include "gate/decide/test_run.h"
#include "gate/reload.h"
#include "gate/rules/foreign.h"
#include "gate/rules/keeper.h"

#define GREEDY_MAX 8 /* that are named */

static void add_unknown_users(struct conf *conf, struct texts *warnings)
{
    const struct conf_user *user = NULL;
    while ((user = conf_next_unknown_user(conf, user)))
        if (!conf_user_counts(user))
            texts_add(warnings, CONF_UNKNOWN_USER_FORMAT, CONF_UNKNOWN_USER_ARGS(user));
}

/* Who could not have as many sessions as he wanted, lately. */
static void add_greedy_users(const struct status_source *source, struct texts *warnings)
{
    const struct shares *shares = children_shares(source->children);
    unsigned most = source->reload->conf->sessions_per_user, full, relays;
    struct share users[GREEDY_MAX];
    size_t n = shares_refused(shares, clock_ms() / 1000, users, GREEDY_MAX);
    shares_count_full(shares, &full, &relays);
    if (full > 0)
        texts_add(warnings, "%u of %u relays have room for no more sessions (LimitNOFILE= of the unit gives more)",
                  full, relays);
    for (size_t i = 0; i < n; i++) {
        char who[32] = "A user not known";
        if (users[i].uid != SHARES_UNKNOWN)
            snprintf(who, sizeof who, "uid %u", (unsigned)users[i].uid);
        texts_add(warnings,
                  "%s has %u sessions of %u that one user may have (SessionsPerUser=); %" PRIu64
                  " of its connections were refused or ended for others'",
                  who, users[i].open, most, users[i].refused);
    }
}

static struct status_traffic traffic_of(const struct keeper *keeper)
{
    const struct counters counters = keeper_count(keeper);
    return (struct status_traffic){
        .known = counters.known, .bypassed = counters.bypassed, .rejected = counters.rejected};
}

static void add_warnings(const struct status_source *source, struct texts *warnings)
{
    const struct texts *children = &source->reload->warnings;
    const char *fallback = source->enforcement->verdict.fallback_detail;
    const char *listen_error = children_listen_error(source->children);
    unsigned ready, wanted;
    children_count_relays(source->children, &ready, &wanted);
    if (ready == 0)
        texts_add(warnings, "%s: web traffic is refused", listen_error[0] ? listen_error : "no relay is listening");
    else if (ready < wanted)
        texts_add(warnings, "only %u of %u relays are listening", ready, wanted);
    if (!test_run_can_test(source->test_run))
        texts_add(warnings, "no test can run: the prober is being started");
    servers_warnings(source->servers, &source->enforcement->verdict, warnings);
    if (fallback[0] != '\0')
        texts_add(warnings, "the secure channel is not used: %s", fallback);
    for (size_t i = source->reload->conflicts.n; i < children->n; i++)
        texts_add(warnings, "%s", children->lines[i]);
    if (source->foreign->text[0] != '\0')
        texts_add(warnings, "%s", source->foreign->text);
}

/* For who asks. */
static void add_told_warnings(const struct status_source *source, struct texts *warnings)
{
    char text[DETAIL_MAX];
    for (size_t i = 0; i < source->reload->conflicts.n; i++)
        texts_add(warnings, "%s", source->reload->conflicts.lines[i]);
    refusals_warnings(source->refusals, source->reload->number, warnings);
    add_unknown_users(source->reload->conf, warnings);
    add_greedy_users(source, warnings);
    if (forwarding_warning(text))
        texts_add(warnings, "%s", text);
}

static struct status_info gather(const struct status_source *source)
{
    struct status_info info = {.verdict = source->enforcement->verdict,
                               .since = source->enforcement->since,
                               .started = source->started,
                               .servers = source->servers->list,
                               .n_servers = source->servers->n,
                               .next_test_at = test_run_next_at(source->test_run),
                               .tested_at = source->test_run->tested_at};
    keeper_status(source->keeper, &info.rules);
    children_read_stats(source->children, &info.stats);
    add_warnings(source, &info.warnings);
    return info;
}

char *status_of(const struct status_source *source)
{
    struct status_info info = gather(source);
    char *json;
    info.traffic = traffic_of(source->keeper);
    add_told_warnings(source, &info.warnings);
    json = status_json(&info);
    texts_clear(&info.warnings);
    return json;
}

char *status_state_of(const struct status_source *source, const struct status_end *end)
{
    struct status_info info = gather(source);
    char *json = status_state_json(&info, end);
    texts_clear(&info.warnings);
    return json;
}

char *status_state_key_of(const struct status_source *source)
{
    struct status_info info = gather(source);
    char *json = status_state_key(&info);
    texts_clear(&info.warnings);
    return json;
}

char *status_config_of(const struct conf *conf, bool secrets)
{
    char *text = NULL, *json = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    (secrets ? conf_print : conf_print_without_secrets)(conf, stream);
    if (fclose(stream) == 0)
        json = status_config_json(text);
    free(text);
    return json;
}
