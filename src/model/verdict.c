/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/verdict.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MODE_COUNT (VERDICT_MODE_OPEN + 1)

/* What is known of one server on one port. */
enum answer { ANSWER_OPEN, ANSWER_GOOD, ANSWER_TCP_FAILED, ANSWER_AUTH_FAILED };

static enum answer secure_answer(const struct server_report *server)
{
    const struct test_stage *tcp = &server->stages[STAGE_SECURE_TCP], *auth = &server->stages[STAGE_MUTUAL_AUTH];
    if (tcp->outcome == TEST_FAILED)
        return ANSWER_TCP_FAILED;
    if (!stage_has_ended(tcp) || !stage_has_ended(auth))
        return ANSWER_OPEN;
    return auth->outcome == TEST_PASSED ? ANSWER_GOOD : ANSWER_AUTH_FAILED;
}

static enum answer plain_answer(const struct server_report *server)
{
    const struct test_stage *tcp = &server->stages[STAGE_PLAIN_TCP];
    if (!stage_has_ended(tcp))
        return ANSWER_OPEN;
    return tcp->outcome == TEST_PASSED ? ANSWER_GOOD : ANSWER_TCP_FAILED;
}

typedef enum answer answer_of(const struct server_report *server);

/* The first good one that no better-placed server can still overtake. */
static const struct server_report *find_good(const struct test_report *report, answer_of *answer)
{
    for (uint32_t i = 0; i < report->n_servers; i++) {
        enum answer known = answer(&report->servers[i]);

        if (known == ANSWER_GOOD)
            return &report->servers[i];
        if (known == ANSWER_OPEN)
            return NULL;
    }
    return NULL;
}

static const struct server_report *find_answer(const struct test_report *report, answer_of *answer, enum answer wanted)
{
    for (uint32_t i = 0; i < report->n_servers; i++)
        if (answer(&report->servers[i]) == wanted)
            return &report->servers[i];
    return NULL;
}

/* The server whose failure tells most: one that was reached over a working network rather than one that was not. */
static const struct server_report *find_telling(const struct test_report *report)
{
    for (uint32_t i = 0; i < report->n_servers; i++)
        if (!report->servers[i].no_route)
            return &report->servers[i];
    return report->n_servers > 0 ? &report->servers[0] : NULL;
}

static bool no_network(const struct test_report *report)
{
    for (uint32_t i = 0; i < report->n_servers; i++)
        if (!report->servers[i].no_route)
            return false;
    return report->n_servers > 0;
}

static void set_detail(struct verdict *verdict, const struct server_report *server, enum stage stage)
{
    verdict->cause = server->stages[stage].cause;
    memcpy(verdict->detail, server->stages[stage].detail, sizeof verdict->detail);
    if (verdict->detail[0] != '\0')
        return;
    verdict->cause = CAUSE_TEST_UNFINISHED;
    snprintf(verdict->detail, sizeof verdict->detail, "%s: test of %s did not end", server->server, stage_text(stage));
}

static void fill_server(struct verdict *verdict, const struct server_report *server)
{
    memcpy(verdict->server, server->server, sizeof verdict->server);
    memcpy(verdict->stages, server->stages, sizeof verdict->stages);
}

static void make_secure(const struct server_report *server, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){.kind = VERDICT_SECURE, .address = server->secure_address, .tls = server->tls};
    fill_server(ret_verdict, server);
}

static void make_plain(const struct server_report *server, bool fallback, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){.kind = VERDICT_PLAIN, .address = server->plain_address};
    fill_server(ret_verdict, server);
    if (!fallback)
        return;
    ret_verdict->fallback_cause = server->stages[STAGE_SECURE_TCP].cause;
    memcpy(ret_verdict->fallback_detail, server->stages[STAGE_SECURE_TCP].detail, sizeof ret_verdict->fallback_detail);
}

/* The first whose failure is the proxy's or between the two; else the first: then this host is at fault everywhere. */
static const struct server_report *find_mistrusted(const struct test_report *report)
{
    for (uint32_t i = 0; i < report->n_servers; i++)
        if (secure_answer(&report->servers[i]) == ANSWER_AUTH_FAILED &&
            !cause_is_of_this_host(report->servers[i].stages[STAGE_MUTUAL_AUTH].cause))
            return &report->servers[i];
    return find_answer(report, secure_answer, ANSWER_AUTH_FAILED);
}

static void make_auth_failed(const struct server_report *server, struct verdict *ret_verdict)
{
    bool local = cause_is_of_this_host(server->stages[STAGE_MUTUAL_AUTH].cause);
    *ret_verdict = (struct verdict){.kind = local ? VERDICT_LOCAL_ERROR : VERDICT_AUTH_FAILED, .tls = server->tls};
    fill_server(ret_verdict, server);
    set_detail(ret_verdict, server, STAGE_MUTUAL_AUTH);
}

/* Nobody answers on the ports that may be used. plain: the plain port was one of them. */
static void make_unreachable(const struct test_report *report, const struct conf *conf, bool plain,
                             struct verdict *ret_verdict)
{
    const struct server_report *server = find_telling(report);
    enum verdict_kind kind = VERDICT_PORT_NOT_AVAILABLE;
    assert(plain || (conf->secure && !conf->allow_fallback));
    if (plain)
        kind = conf->on_unavailable == CONF_UNAVAILABLE_DIRECT ? VERDICT_NO_PROXY_DIRECT : VERDICT_NO_PROXY;
    if (no_network(report))
        kind = VERDICT_NO_NETWORK;

    *ret_verdict = (struct verdict){.kind = kind};
    if (!server) {
        ret_verdict->cause = CAUSE_TEST_UNFINISHED;
        snprintf(ret_verdict->detail, sizeof ret_verdict->detail, "no server was tested");
        return;
    }
    fill_server(ret_verdict, server);
    set_detail(ret_verdict, server, plain ? STAGE_PLAIN_TCP : STAGE_SECURE_TCP);
}

static bool decide_plain(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
{
    const struct server_report *good = find_good(report, plain_answer);
    assert(!conf->secure || conf->allow_fallback); /* nobody else may be led to the plain port */
    if (good)
        make_plain(good, conf->secure, ret_verdict);
    else if (find_answer(report, plain_answer, ANSWER_OPEN))
        return false;
    else
        make_unreachable(report, conf, true, ret_verdict);
    return true;
}

/* What was not tested is neither good nor bad: it leads to no port, to no open gate, and calls nobody mistrusted. */
static void make_unfinished(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
{
    const struct server_report *server = conf->secure ? find_answer(report, secure_answer, ANSWER_OPEN) : NULL;
    enum stage stage = STAGE_PLAIN_TCP;
    if (server)
        stage = stage_has_ended(&server->stages[STAGE_SECURE_TCP]) ? STAGE_MUTUAL_AUTH : STAGE_SECURE_TCP;
    else
        server = find_answer(report, plain_answer, ANSWER_OPEN);
    assert(server);
    *ret_verdict = (struct verdict){.kind = VERDICT_TESTING};
    fill_server(ret_verdict, server);
    set_detail(ret_verdict, server, stage);
}

static bool decide(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
{
    const struct server_report *server;
    if (!conf->secure)
        return decide_plain(report, conf, ret_verdict);

    server = find_good(report, secure_answer);
    if (server) {
        make_secure(server, ret_verdict);
        return true;
    }
    /* While one may still pass both tests, nothing else is decided. */
    if (find_answer(report, secure_answer, ANSWER_OPEN))
        return false;
    server = find_mistrusted(report);
    if (server) {
        make_auth_failed(server, ret_verdict);
        return true;
    }
    if (conf->allow_fallback)
        return decide_plain(report, conf, ret_verdict);
    make_unreachable(report, conf, false, ret_verdict);
    return true;
}

bool verdict_decide(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
{
    if (decide(report, conf, ret_verdict))
        return true;
    if (!report->complete)
        return false;
    make_unfinished(report, conf, ret_verdict);
    return true;
}

/* ---- words ---- */

static const struct {
    const char *slug, *status, *connection_status, *reason, *cure;
    enum verdict_mode mode;
    int exit;
} kinds[VERDICT_COUNT] = {
#define VERDICT(name, slug, status, connection_status, reason, mode, exit, cure)                                       \
    [VERDICT_##name] = {slug, status, connection_status, reason, cure, VERDICT_MODE_##mode, exit},
#include "model/verdict.def"
#undef VERDICT
};

static const struct {
    const char *text;
    enum route_mode route;
} modes[MODE_COUNT] = {[VERDICT_MODE_SECURE] = {"secure", ROUTE_SECURE},
                       [VERDICT_MODE_PLAIN] = {"plain", ROUTE_PLAIN},
                       [VERDICT_MODE_BLOCKED] = {"blocked", ROUTE_CLOSED},
                       [VERDICT_MODE_DIRECT] = {"direct", ROUTE_CLOSED},
                       [VERDICT_MODE_OPEN] = {"open", ROUTE_CLOSED}};

const char *verdict_slug(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].slug;
}

const char *verdict_status(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].status;
}

const char *verdict_connection_status(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].connection_status;
}

const char *verdict_reason(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].reason;
}

const char *verdict_cure(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].cure;
}

int verdict_exit(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].exit;
}

enum verdict_mode verdict_mode(enum verdict_kind kind)
{
    assert(kind < VERDICT_COUNT);
    return kinds[kind].mode;
}

enum verdict_kind verdict_of(const char *slug)
{
    int kind = 0;
    while (kind < VERDICT_COUNT && (!slug || strcmp(kinds[kind].slug, slug) != 0))
        kind++;
    return (enum verdict_kind)kind;
}

enum route_mode verdict_mode_route(enum verdict_mode mode)
{
    assert(mode < MODE_COUNT);
    return modes[mode].route;
}

bool verdict_redirects(enum verdict_kind kind)
{
    return verdict_mode_route(verdict_mode(kind)) != ROUTE_CLOSED;
}

const char *verdict_mode_text(enum verdict_mode mode)
{
    assert(mode < MODE_COUNT);
    return modes[mode].text;
}

bool verdict_mode_of(const char *text, enum verdict_mode *ret_mode)
{
    for (int mode = 0; text && mode < MODE_COUNT; mode++) {
        if (strcmp(modes[mode].text, text) != 0)
            continue;
        *ret_mode = (enum verdict_mode)mode;
        return true;
    }
    return false;
}

const char *route_mode_text(enum route_mode mode)
{
    for (int i = 0; i < MODE_COUNT && mode != ROUTE_CLOSED; i++)
        if (modes[i].route == mode)
            return modes[i].text;
    return NULL;
}
