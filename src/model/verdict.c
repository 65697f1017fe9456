/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/verdict.h"

#include <stdio.h>
#include <string.h>

/* What is known of one server on one port. */
enum answer { ANSWER_OPEN, ANSWER_GOOD, ANSWER_TCP_FAILED, ANSWER_AUTH_FAILED };

/* A stage that a complete report leaves unfinished will never pass. */
static enum test_outcome settled(const struct test_stage *stage, bool complete)
{
    if (stage->outcome == TEST_PASSED || stage->outcome == TEST_FAILED)
        return stage->outcome;
    return complete ? TEST_FAILED : TEST_RUNNING;
}

static enum answer secure_answer(const struct server_report *server, bool complete)
{
    enum test_outcome tcp = settled(&server->secure_tcp, complete);
    enum test_outcome auth = settled(&server->mutual_auth, complete);
    if (tcp == TEST_FAILED)
        return ANSWER_TCP_FAILED;
    if (tcp == TEST_RUNNING || auth == TEST_RUNNING)
        return ANSWER_OPEN;
    return auth == TEST_PASSED ? ANSWER_GOOD : ANSWER_AUTH_FAILED;
}

static enum answer plain_answer(const struct server_report *server, bool complete)
{
    enum test_outcome tcp = settled(&server->plain_tcp, complete);
    if (tcp == TEST_RUNNING)
        return ANSWER_OPEN;
    return tcp == TEST_PASSED ? ANSWER_GOOD : ANSWER_TCP_FAILED;
}

typedef enum answer answer_of(const struct server_report *server, bool complete);

/* The first good one that no better-placed server can still overtake. */
static const struct server_report *find_good(const struct test_report *report, answer_of *answer)
{
    for (uint32_t i = 0; i < report->n_servers; i++) {
        enum answer known = answer(&report->servers[i], report->complete);

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
        if (answer(&report->servers[i], report->complete) == wanted)
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

static void set_detail(struct verdict *verdict, const struct server_report *server, const struct test_stage *stage,
                       const char *what)
{
    if (stage->detail[0] != '\0')
        snprintf(verdict->detail, sizeof verdict->detail, "%s", stage->detail);
    else
        snprintf(verdict->detail, sizeof verdict->detail, "%s: %s did not end", server->server, what);
}

static void fill_server(struct verdict *verdict, const struct server_report *server, bool secure)
{
    memcpy(verdict->server, server->server, sizeof verdict->server);
    verdict->tcp = secure ? server->secure_tcp : server->plain_tcp;
    if (secure)
        verdict->mutual_auth = server->mutual_auth;
}

static void make_secure(const struct server_report *server, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){.kind = VERDICT_SECURE, .address = server->secure_address, .tls = server->tls};
    fill_server(ret_verdict, server, true);
}

static void make_plain(const struct server_report *server, bool fallback, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){.kind = VERDICT_PLAIN, .address = server->plain_address};
    fill_server(ret_verdict, server, false);
    if (fallback)
        memcpy(ret_verdict->fallback_detail, server->secure_tcp.detail, sizeof ret_verdict->fallback_detail);
}

static void make_auth_failed(const struct server_report *server, struct verdict *ret_verdict)
{
    *ret_verdict = (struct verdict){.kind = VERDICT_AUTH_FAILED, .tls = server->tls};
    fill_server(ret_verdict, server, true);
    set_detail(ret_verdict, server, &server->mutual_auth, "mutual authentication test");
}

/* Nobody answers on the ports that may be used. plain: the plain port was one of them. */
static void make_unreachable(const struct test_report *report, const struct conf *conf, bool plain,
                             struct verdict *ret_verdict)
{
    const struct server_report *server = find_telling(report);
    enum verdict_kind kind = VERDICT_PORT_NOT_AVAILABLE;
    if (plain)
        kind = conf->on_unavailable == CONF_UNAVAILABLE_DIRECT ? VERDICT_NO_PROXY_DIRECT : VERDICT_NO_PROXY;
    if (no_network(report))
        kind = VERDICT_NO_NETWORK;

    *ret_verdict = (struct verdict){.kind = kind};
    if (!server) {
        snprintf(ret_verdict->detail, sizeof ret_verdict->detail, "no server was tested");
        return;
    }
    fill_server(ret_verdict, server, conf->secure);
    set_detail(ret_verdict, server, plain ? &server->plain_tcp : &server->secure_tcp, "connectivity test");
}

static bool decide_plain(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
{
    const struct server_report *good = find_good(report, plain_answer);
    if (good)
        make_plain(good, conf->secure, ret_verdict);
    else if (find_answer(report, plain_answer, ANSWER_OPEN))
        return false;
    else
        make_unreachable(report, conf, true, ret_verdict);
    return true;
}

bool verdict_decide(const struct test_report *report, const struct conf *conf, struct verdict *ret_verdict)
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
    server = find_answer(report, secure_answer, ANSWER_AUTH_FAILED);
    if (server) {
        make_auth_failed(server, ret_verdict);
        return true;
    }
    if (conf->allow_fallback)
        return decide_plain(report, conf, ret_verdict);
    make_unreachable(report, conf, false, ret_verdict);
    return true;
}

struct texts {
    const char *status, *connection_status, *reason;
    enum verdict_mode mode;
};

static const struct texts texts[] = {
    [VERDICT_TESTING] = {"Blocked - Testing", "Testing", "Testing", VERDICT_MODE_BLOCKED},
    [VERDICT_SECURE] = {"Connected (Secure Channel)", "Proxy Trusted", NULL, VERDICT_MODE_SECURE},
    [VERDICT_PLAIN] = {"Connected (Non-secure)", "Proxy Connected", NULL, VERDICT_MODE_PLAIN},
    [VERDICT_PORT_NOT_AVAILABLE] = {"Blocked - Secure channel port not available", "Proxy Unreachable",
                                    "Secure channel port not available", VERDICT_MODE_BLOCKED},
    [VERDICT_AUTH_FAILED] = {"Blocked - Mutual Auth Failed", "Proxy Mistrust", "Mutual Auth Failed",
                             VERDICT_MODE_BLOCKED},
    [VERDICT_NO_PROXY] = {"Blocked - No proxy available", "Proxy Unreachable", "No proxy available",
                          VERDICT_MODE_BLOCKED},
    [VERDICT_NO_PROXY_DIRECT] = {"Direct - No proxy available", "Proxy Unreachable", "No proxy available",
                                 VERDICT_MODE_DIRECT},
    [VERDICT_NO_NETWORK] = {"Blocked - No network", "No Connectivity", "No network", VERDICT_MODE_BLOCKED},
};

const char *verdict_status(enum verdict_kind kind)
{
    return texts[kind].status;
}

const char *verdict_connection_status(enum verdict_kind kind)
{
    return texts[kind].connection_status;
}

const char *verdict_reason(enum verdict_kind kind)
{
    return texts[kind].reason;
}

enum verdict_mode verdict_mode(enum verdict_kind kind)
{
    return texts[kind].mode;
}

const char *verdict_mode_text(enum verdict_mode mode)
{
    switch (mode) {
    case VERDICT_MODE_SECURE:
        return "secure";
    case VERDICT_MODE_PLAIN:
        return "plain";
    case VERDICT_MODE_BLOCKED:
        return "blocked";
    case VERDICT_MODE_DIRECT:
        return "direct";
    }
    return "blocked";
}
