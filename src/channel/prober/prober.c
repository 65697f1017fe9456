/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/prober/prober.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/timer.h"
#include "channel/net/happy_eyeballs.h"
#include "channel/net/resolve.h"
#include "channel/prober/mutual_auth.h"
#include "channel/tls/tls.h"
#include "model/error.h"

enum probe_state {
    PROBE_RESOLVE,
    PROBE_NAMED, /* waits until it may connect */
    PROBE_TCP,   /* to the secure port */
    PROBE_AUTH,  /* on the connection that won */
    PROBE_PLAIN, /* TCP to the plain port */
    PROBE_ENDED, /* nothing under way */
};

/* The tests of one server. */
struct probe {
    struct prober *prober;
    struct server_report *report;
    enum probe_state state;
    struct happy_eyeballs *race;
    struct mutual_auth *auth;
    uint64_t started;                     /* looking up the name, then mutual authentication */
    struct addr addrs[RESOLVE_ADDRS_MAX]; /* as resolved, with the secure port */
    size_t n_addrs;                       /* 0: not resolved */
    uint64_t named_id;                    /* as which they were named */
};

struct prober {
    struct ev_loop *loop;
    const struct conf *conf;
    prober_cb *cb;
    prober_named_cb *named_cb; /* NULL: nobody is asked */
    void *data;
    ev_timer timer; /* delivers the report, by the next turn of the loop */
    struct tls_context *tls;
    struct error tls_error;
    struct resolver *resolver;
    bool plain; /* the plain ports are being tested, or were */
    struct test_report report;
    struct probe probes[CONF_SERVERS_MAX];
};

/* ---- stages ---- */

/* Any number of stages that end in one turn of the loop make one report. */
static void prober_report_soon(struct prober *prober)
{
    if (!ev_is_active(&prober->timer)) {
        timer_arm(prober->loop, &prober->timer, 0.);
    }
}

static void stage_pass(struct probe *probe, struct test_stage *stage, uint32_t us)
{
    *stage = (struct test_stage){.outcome = TEST_PASSED, .us = us};
    prober_report_soon(probe->prober);
}

static void stage_fail(struct probe *probe, struct test_stage *stage, uint32_t us, enum cause cause, const char *detail)
{
    *stage = (struct test_stage){.outcome = TEST_FAILED, .cause = (uint8_t)cause, .us = us};
    snprintf(stage->detail, sizeof stage->detail, "%s", detail);
    prober_report_soon(probe->prober);
}

/* It fails untried, for the reason of the one before it. */
static void stage_copy(struct probe *probe, struct test_stage *stage, const struct test_stage *failed)
{
    stage_fail(probe, stage, 0, (enum cause)failed->cause, failed->detail);
}

static void probe_end(struct probe *probe)
{
    probe->state = PROBE_ENDED;
    happy_eyeballs_free(probe->race);
    mutual_auth_free(probe->auth);
    probe->race = NULL;
    probe->auth = NULL;
    prober_report_soon(probe->prober);
}

/* A lack of our own says nothing about the proxy. */
static void probe_fail_memory(struct probe *probe, struct test_stage *stage)
{
    probe->report->no_route = true;
    stage_fail(probe, stage, 0, CAUSE_NO_RESOURCES, "out of memory");
    probe_end(probe);
}

/* ---- the plain port ---- */

static void probe_plain_cb(struct happy_eyeballs *race, const struct happy_eyeballs_result *result, void *data)
{
    struct probe *probe = data;
    struct test_stage *stage = &probe->report->stages[STAGE_PLAIN_TCP];
    probe->report->plain_address = result->address;
    if (result->up) {
        stream_free(happy_eyeballs_take_stream(race), false); /* in order: no error in the proxy's log for every test */
        probe->report->no_route = false;
        stage_pass(probe, stage, result->us);
    } else {
        /* Without a secure test before it, this is the first failure. */
        probe->report->no_route = result->no_route && (probe->report->no_route || !probe->prober->conf->secure);
        stage_fail(probe, stage, result->us, result->cause, result->detail);
    }
    probe_end(probe);
}

static void probe_start_plain(struct probe *probe)
{
    struct prober *prober = probe->prober;
    struct test_stage *stage = &probe->report->stages[STAGE_PLAIN_TCP];
    size_t i;
    if (probe->n_addrs == 0) { /* the names were not resolved for the secure port either */
        stage_copy(probe, stage, &probe->report->stages[STAGE_SECURE_TCP]);
        return;
    }
    for (i = 0; i < probe->n_addrs; i++)
        addr_set_port(&probe->addrs[i], prober->conf->port);
    stage->outcome = TEST_RUNNING;
    probe->race = happy_eyeballs_start(prober->loop, prober->conf, probe->addrs, probe->n_addrs, probe_plain_cb, probe);
    probe->state = PROBE_PLAIN;
    if (!probe->race)
        probe_fail_memory(probe, stage);
}

/* ---- the secure port ---- */

static void probe_auth_cb(struct mutual_auth *auth, const struct mutual_auth_result *result, void *data)
{
    struct probe *probe = data;
    struct test_stage *stage = &probe->report->stages[STAGE_MUTUAL_AUTH];
    uint32_t us = clock_us_since(probe->started);
    assert(auth == probe->auth);
    probe->report->tls = result->tls;
    if (result->passed)
        stage_pass(probe, stage, us);
    else
        stage_fail(probe, stage, us, result->cause, result->detail);
    probe_end(probe);
}

/* One address of a server that is mistrusted makes the server mistrusted: its other addresses are not tried. */
static void probe_start_auth(struct probe *probe, struct stream *stream)
{
    struct prober *prober = probe->prober;
    struct test_stage *stage = &probe->report->stages[STAGE_MUTUAL_AUTH];
    struct mutual_auth_request request = {.conf = prober->conf,
                                          .tls = prober->tls,
                                          .stream = stream,
                                          .address = probe->report->secure_address,
                                          .server = probe->report->server};
    if (!prober->tls) {
        stream_free(stream, false);
        stage_fail(probe, stage, 0, prober->tls_error.cause, prober->tls_error.text);
        probe_end(probe);
        return;
    }
    stage->outcome = TEST_RUNNING;
    probe->state = PROBE_AUTH;
    probe->started = clock_us();
    probe->auth = mutual_auth_start(prober->loop, &request, probe_auth_cb, probe);
    if (!probe->auth) {
        stage_fail(probe, stage, 0, CAUSE_NO_RESOURCES, "out of memory");
        probe_end(probe);
    }
}

static void probe_tcp_cb(struct happy_eyeballs *race, const struct happy_eyeballs_result *result, void *data)
{
    struct probe *probe = data;
    struct stream *stream;
    probe->report->secure_address = result->address;
    if (!result->up) {
        probe->report->no_route = result->no_route;
        stage_fail(probe, &probe->report->stages[STAGE_SECURE_TCP], result->us, result->cause, result->detail);
        probe_end(probe);
        return;
    }
    stage_pass(probe, &probe->report->stages[STAGE_SECURE_TCP], result->us);
    stream = happy_eyeballs_take_stream(race);
    happy_eyeballs_free(race);
    probe->race = NULL;
    probe_start_auth(probe, stream);
}

/* ---- names ---- */

static struct test_stage *probe_first_stage(struct probe *probe)
{
    return &probe->report->stages[probe->prober->conf->secure ? STAGE_SECURE_TCP : STAGE_PLAIN_TCP];
}

static void probe_connect(struct probe *probe)
{
    struct prober *prober = probe->prober;
    if (!prober->conf->secure) {
        probe_start_plain(probe);
        return;
    }
    probe->state = PROBE_TCP;
    probe->race = happy_eyeballs_start(prober->loop, prober->conf, probe->addrs, probe->n_addrs, probe_tcp_cb, probe);
    if (!probe->race)
        probe_fail_memory(probe, probe_first_stage(probe));
}

/* The plain ports have the same addresses: asking once is enough. */
static void probe_ask(struct probe *probe)
{
    struct prober *prober = probe->prober;
    struct addr addrs[CONF_SERVERS_MAX * RESOLVE_ADDRS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < prober->report.n_servers; i++) {
        memcpy(addrs + n, prober->probes[i].addrs, prober->probes[i].n_addrs * sizeof *addrs);
        n += prober->probes[i].n_addrs;
    }
    probe->state = PROBE_NAMED;
    probe->named_id = prober->named_cb(addrs, n, prober->data);
}

void prober_ask(struct prober *prober, prober_named_cb *named_cb)
{
    prober->named_cb = named_cb;
}

void prober_allow(struct prober *prober, uint64_t id)
{
    ev_now_update(prober->loop);
    for (size_t i = 0; i < prober->report.n_servers; i++)
        if (prober->probes[i].state == PROBE_NAMED && prober->probes[i].named_id <= id)
            probe_connect(&prober->probes[i]);
}

static void probe_resolved_cb(const struct error *error, const struct addr *addrs, size_t n, void *data)
{
    struct probe *probe = data;
    struct prober *prober = probe->prober;
    if (error) {
        probe->report->no_route = error->code == -ENETUNREACH;
        stage_fail(probe, probe_first_stage(probe), clock_us_since(probe->started), error->cause, error->text);
        probe_end(probe);
        return;
    }
    memcpy(probe->addrs, addrs, n * sizeof *addrs);
    probe->n_addrs = n;
    if (prober->named_cb)
        probe_ask(probe);
    else
        probe_connect(probe);
}

static void probe_start(struct probe *probe, const char *server, const struct error *resolver_error)
{
    struct prober *prober = probe->prober;
    const struct conf *conf = prober->conf;
    struct test_stage *stage = probe_first_stage(probe);
    uint16_t port = conf->secure ? conf->secure_port : conf->port;
    snprintf(probe->report->server, sizeof probe->report->server, "%s", server);
    stage->outcome = TEST_RUNNING;
    probe->started = clock_us();
    if (!prober->resolver) {
        probe->report->no_route = true;
        stage_fail(probe, stage, 0, resolver_error->cause, resolver_error->text);
        probe_end(probe);
    } else if (!resolve_start(prober->resolver, server, port, conf->connect_timeout_ms / 1e3, probe_resolved_cb,
                              probe)) {
        probe_fail_memory(probe, stage);
    }
}

/* ---- the whole test ---- */

static bool prober_busy(const struct prober *prober)
{
    size_t i;
    for (i = 0; i < prober->report.n_servers; i++)
        if (prober->probes[i].state != PROBE_ENDED)
            return true;
    return false;
}

/* Only when TCP to every secure port has failed: one that passed forbids the plain ports to all. */
static bool prober_wants_plain(const struct prober *prober)
{
    size_t i;
    if (prober->plain || !prober->conf->allow_fallback)
        return false;
    for (i = 0; i < prober->report.n_servers; i++)
        if (prober->report.servers[i].stages[STAGE_SECURE_TCP].outcome != TEST_FAILED)
            return false;
    return true;
}

static bool prober_has_route(const struct prober *prober)
{
    size_t i;
    for (i = 0; i < prober->report.n_servers; i++)
        if (!prober->report.servers[i].no_route)
            return true;
    return false;
}

/* Where this host could not send at all, nothing was learned about the secure ports: then the plain ones fail untried,
 * so that a lack of our own never leads to them. */
static void prober_start_plain(struct prober *prober)
{
    bool has_route = prober_has_route(prober);
    size_t i;
    prober->plain = true;
    for (i = 0; i < prober->report.n_servers; i++) {
        struct probe *probe = &prober->probes[i];

        if (has_route)
            probe_start_plain(probe);
        else
            stage_copy(probe, &probe->report->stages[STAGE_PLAIN_TCP], &probe->report->stages[STAGE_SECURE_TCP]);
    }
}

static void prober_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct prober *prober = timer->data;
    if (!prober_busy(prober) && prober_wants_plain(prober))
        prober_start_plain(prober);
    prober->report.complete = !prober_busy(prober);
    /* Stages that ended just now are in this report already. */
    ev_timer_stop(prober->loop, &prober->timer);
    prober->cb(&prober->report, prober->data); /* may free the prober */
}

static void prober_abandon(struct prober *prober)
{
    size_t i;
    for (i = 0; i < prober->report.n_servers; i++) {
        happy_eyeballs_free(prober->probes[i].race);
        mutual_auth_free(prober->probes[i].auth);
    }
    resolver_free(prober->resolver);
    prober->resolver = NULL;
    ev_timer_stop(prober->loop, &prober->timer);
    memset(prober->probes, 0, sizeof prober->probes);
    memset(&prober->report, 0, sizeof prober->report);
}

void prober_start(struct prober *prober, uint64_t test_id)
{
    const struct conf *conf = prober->conf;
    struct error resolver_error;
    size_t i;
    prober_abandon(prober);
    ev_now_update(prober->loop); /* limits count from now, not from when the loop last slept */
    prober->plain = !conf->secure;
    prober->report.test_id = test_id;
    prober->report.n_servers = (uint32_t)conf->n_servers;
    if (conf->n_servers == 0)
        prober_report_soon(prober);
    prober->resolver = resolver_new(prober->loop, &resolver_error);
    for (i = 0; i < conf->n_servers; i++) {
        prober->probes[i].prober = prober;
        prober->probes[i].report = &prober->report.servers[i];
        probe_start(&prober->probes[i], conf->servers[i], &resolver_error);
    }
}

struct prober *prober_new(struct ev_loop *loop, const struct conf *conf, prober_cb *cb, void *data)
{
    struct prober *prober = calloc(1, sizeof *prober);
    if (!prober)
        return NULL;
    prober->loop = loop;
    prober->conf = conf;
    prober->cb = cb;
    prober->data = data;
    ev_init(&prober->timer, prober_timer_cb);
    prober->timer.data = prober;
    if (conf->secure && tls_context_new(conf, &prober->tls_error, &prober->tls) < 0)
        prober->tls = NULL;
    return prober;
}

int64_t prober_client_expires(const struct prober *prober)
{
    return prober->tls ? tls_context_client_expires(prober->tls) : 0;
}

const char *prober_tls_error(const struct prober *prober)
{
    return prober->conf->secure && !prober->tls ? prober->tls_error.text : NULL;
}

void prober_free(struct prober *prober)
{
    if (!prober)
        return;
    prober_abandon(prober);
    tls_context_free(prober->tls);
    free(prober);
}
