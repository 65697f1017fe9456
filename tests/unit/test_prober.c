/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/handover.h"
#include "base/ipc.h"
#include "channel/net/happy_eyeballs.h"
#include "channel/prober/prober.h"
#include "loop_peer.h"
#include "under_filter.h"

#define GUARD_S 30. /* a test that hangs is ended and fails */

/* ---- one test run at a time ---- */

struct run {
    struct ev_loop *loop;
    struct conf *conf;
    struct prober *prober;
    unsigned reports;
    uint64_t first_id;      /* of the first report */
    bool seen_running_auth; /* secure_tcp passed and mutual_auth not ended: a report between the two */
    bool free_in_callback;
    struct test_report report; /* the last one */
};

static struct run run;

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&run, 0, sizeof run);
    run.loop = ev_loop_new(EVFLAG_AUTO);
    run.conf = calloc(1, sizeof *run.conf);
    ck_assert_ptr_nonnull(run.conf);
    run.conf->secure = true;
    run.conf->connect_timeout_ms = (unsigned)peer_patience(5000);
    run.conf->handshake_timeout_ms = (unsigned)peer_patience(5000);
    run.conf->server_name = (char *)"gw.example";
    run.conf->ca_paths[0] = (char *)peer_pki("ca.pem");
    run.conf->n_ca_paths = 1;
    run.conf->certificate = (char *)peer_pki("client.pem");
    run.conf->private_key = (char *)peer_pki("client.key");
}

static void teardown(void)
{
    prober_free(run.prober);
    free(run.conf);
    ev_loop_destroy(run.loop);
}

static void report_cb(const struct test_report *report, void *data)
{
    ck_assert_ptr_eq(data, &run);
    ck_assert_msg(!run.report.complete || run.report.test_id != report->test_id, "a report after the last one");
    if (run.reports++ == 0)
        run.first_id = report->test_id;
    run.report = *report;
    run.seen_running_auth |= report->servers[0].stages[STAGE_SECURE_TCP].outcome == TEST_PASSED &&
                             report->servers[0].stages[STAGE_MUTUAL_AUTH].outcome == TEST_RUNNING;
    if (run.free_in_callback) {
        prober_free(run.prober);
        run.prober = NULL;
        ev_break(run.loop, EVBREAK_ALL);
    } else if (report->complete) {
        ev_break(run.loop, EVBREAK_ALL);
    }
}

static void guard_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    ev_break(loop, EVBREAK_ALL);
}

static void run_loop(double seconds)
{
    ev_timer guard;
    ev_now_update(run.loop);
    ev_timer_init(&guard, guard_cb, seconds, 0.);
    ev_timer_start(run.loop, &guard);
    ev_run(run.loop, 0);
    ev_timer_stop(run.loop, &guard);
}

static void add_server(const char *name)
{
    run.conf->servers[run.conf->n_servers++] = (char *)name;
}

static void begin(uint64_t test_id)
{
    if (!run.prober)
        run.prober = prober_new(run.loop, run.conf, report_cb, &run);
    ck_assert_ptr_nonnull(run.prober);
    prober_start(run.prober, test_id);
    ck_assert_msg(run.reports == 0, "called back inside prober_start()");
}

static void probe(void)
{
    begin(7);
    run_loop(peer_patience(GUARD_S));
    ck_assert_msg(run.report.complete, "the test did not end");
    ck_assert_uint_eq(run.report.test_id, 7);
    ck_assert_uint_eq(run.report.n_servers, run.conf->n_servers);
}

/* One server, 127.0.0.1, whose secure port is the peer's. */
static void probe_peer(const struct peer *peer)
{
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&peer->address);
    probe();
}

static void check_stage(const struct test_stage *stage, enum test_outcome outcome, const char *detail)
{
    ck_assert((stage->outcome == TEST_FAILED) == (stage->cause != CAUSE_NONE));
    ck_assert_str_eq(stage->detail, detail);
    ck_assert_int_eq(stage->outcome, outcome);
}

/* Of the first server's stage. */
static void check_cause(enum stage stage, enum cause cause)
{
    ck_assert_str_eq(cause_slug(run.report.servers[0].stages[stage].cause), cause_slug(cause));
}

static void check_has(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part), "\"%s\" is not in \"%s\"", part, text);
}

/* ---- proxies ---- */

struct proxy {
    struct peer_tls tls;
    const char *answer;      /* to the request; NULL: closes without one */
    struct peer_tls *inside; /* after a CONNECT: the AuthURL's server; NULL: none */
    unsigned silent_for;     /* connections that are closed after the handshake */
    bool reset;
    bool hangs_up;     /* instead of an answer */
    const char *asked; /* how the request must begin; NULL: anyhow */
};

static struct proxy good_proxy(void)
{
    return (struct proxy){
        .tls = {.certificate = peer_pki("server.pem"), .key = peer_pki("server.key"), .client_ca = peer_pki("ca.pem")},
        .answer = "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"};
}

static void script_proxy(int fd, void *data)
{
    struct proxy *proxy = data;
    struct peer_channel *channel = peer_tls_accept(fd, NULL, &proxy->tls), *inside;
    char buf[4096];
    if (proxy->reset)
        peer_reset_at_close(fd);
    if (!channel || !proxy->answer)
        return;
    if (proxy->silent_for > 0) {
        proxy->silent_for--;
        return;
    }
    if (!peer_tls_read_head(channel, buf, sizeof buf))
        return;
    if (proxy->hangs_up || (proxy->asked && strncmp(buf, proxy->asked, strlen(proxy->asked)) != 0))
        return;
    if (proxy->inside && strncmp(buf, "CONNECT auth.example:443 HTTP/1.1\r\n", 35) != 0)
        return;
    peer_tls_write(channel, proxy->answer);
    if (proxy->inside) {
        inside = peer_tls_accept(fd, channel, proxy->inside);
        if (inside)
            peer_tls_drain(inside);
    }
    peer_tls_drain(channel);
}

static void script_drain(int fd, void *data)
{
    peer_drain(fd);
}

static void start_proxy(struct peer *peer, const struct proxy *proxy)
{
    ck_assert(peer_start(peer, AF_INET, 0, script_proxy, (void *)proxy));
}

/* ---- the secure port ---- */

START_TEST(good_proxy_passes)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    const struct server_report *server = &run.report.servers[0];
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    ck_assert_str_eq(server->server, "127.0.0.1");
    check_stage(&server->stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    check_stage(&server->stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    check_stage(&server->stages[STAGE_PLAIN_TCP], TEST_NOT_DONE, "");
    ck_assert(addr_equal(&server->secure_address, &peer.address));
    ck_assert_str_eq(server->tls.version, "TLSv1.3");
    ck_assert_int_gt(server->tls.server_expires, 1800000000);
    ck_assert_int_gt(server->tls.client_expires, 1800000000);
    ck_assert_uint_gt(server->stages[STAGE_SECURE_TCP].us, 0);
    ck_assert_uint_gt(server->stages[STAGE_MUTUAL_AUTH].us, 0);
    ck_assert(!server->no_route);
    ck_assert(run.seen_running_auth);
    ck_assert_uint_eq(*peer.accepted, 1); /* both tests on one connection */
    peer_stop(&peer);
}
END_TEST

START_TEST(tls12_passes_over_ipv6)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    proxy.tls.tls12 = true;
    if (!peer_start(&peer, AF_INET6, 0, script_proxy, &proxy))
        return;
    add_server("::1");
    run.conf->secure_port = addr_port(&peer.address);
    probe();
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    ck_assert_str_eq(run.report.servers[0].tls.version, "TLSv1.2");
    ck_assert(addr_equal(&run.report.servers[0].secure_address, &peer.address));
    peer_stop(&peer);
}
END_TEST

START_TEST(server_name_defaults_to_the_server)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    run.conf->server_name = NULL; /* the good certificate is for 127.0.0.1 as well */
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    peer_stop(&peer);
}
END_TEST

START_TEST(refused_port_fails_within_milliseconds)
{
    struct addr address = peer_refusing();
    char text[DETAIL_MAX], buf[ADDR_TEXT_MAX];
    ev_tstamp before;
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&address);
    snprintf(text, sizeof text, "connect to %s: connection refused", addr_text(&address, buf));
    run.prober = prober_new(run.loop, run.conf, report_cb, &run);
    before = ev_time();
    probe();
    ck_assert_double_lt(ev_time() - before, peer_patience(0.5)); /* milliseconds; the rest is for a busy machine */
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_FAILED, text);
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_NOT_DONE, "");
    check_stage(&run.report.servers[0].stages[STAGE_PLAIN_TCP], TEST_NOT_DONE, "");
    ck_assert(!run.report.servers[0].no_route);
    ck_assert(addr_equal(&run.report.servers[0].secure_address, &address));
}
END_TEST

/* ---- asking first ---- */

static struct {
    uint64_t id;
    struct addr addrs[4];
    size_t n;
} named;

static uint64_t named_cb(const struct addr *addrs, size_t n, void *data)
{
    ck_assert_uint_le(n, 4);
    named.id = 42;
    named.n = n;
    memcpy(named.addrs, addrs, n * sizeof *addrs);
    ev_break(run.loop, EVBREAK_ALL);
    return named.id;
}

START_TEST(nothing_is_dialled_before_it_is_allowed)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    start_proxy(&peer, &proxy);
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&peer.address);
    run.prober = prober_new(run.loop, run.conf, report_cb, &run);
    prober_ask(run.prober, named_cb);
    begin(7);
    while (named.n == 0)
        run_loop(peer_patience(GUARD_S));
    ck_assert_uint_eq(named.n, 1);
    ck_assert(addr_equal(&named.addrs[0], &peer.address));
    prober_allow(run.prober, named.id - 1); /* of a test before */
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_NOT_DONE);
    run_loop(0.05);
    ck_assert(run.reports == 0 || run.report.servers[0].stages[STAGE_SECURE_TCP].outcome == TEST_RUNNING);
    prober_allow(run.prober, named.id);
    run_loop(peer_patience(GUARD_S));
    ck_assert(run.report.complete);
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_PASSED);
}
END_TEST

START_TEST(silent_port_ends_at_connect_timeout)
{
    struct addr address = peer_silent();
    run.conf->connect_timeout_ms = 100;
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&address);
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
    check_cause(STAGE_SECURE_TCP, CAUSE_TCP_TIMEOUT);
    check_has(run.report.servers[0].stages[STAGE_SECURE_TCP].detail, ": no answer within 0.1 s");
    ck_assert_uint_ge(run.report.servers[0].stages[STAGE_SECURE_TCP].us, 90000);
}
END_TEST

START_TEST(other_addresses_are_counted)
{
    struct addr address = peer_refusing();
    add_server("localhost");
    run.conf->secure_port = addr_port(&address);
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
    check_cause(STAGE_SECURE_TCP, CAUSE_TCP_REFUSED);
    check_has(run.report.servers[0].stages[STAGE_SECURE_TCP].detail, ": connection refused");
    if (addr_equal(&run.report.servers[0].secure_address, &address))
        return; /* localhost has one address here */
    check_has(run.report.servers[0].stages[STAGE_SECURE_TCP].detail, " (and 1 more address failed)");
}
END_TEST

START_TEST(address_that_answers_is_found_among_others)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    start_proxy(&peer, &proxy);
    add_server("localhost"); /* ::1 first, where nobody listens */
    run.conf->secure_port = addr_port(&peer.address);
    probe();
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    ck_assert(addr_equal(&run.report.servers[0].secure_address, &peer.address));
    peer_stop(&peer);
}
END_TEST

START_TEST(unknown_name_fails_the_first_test)
{
    add_server("bad name.invalid");
    run.conf->secure_port = 8081;
    run.conf->connect_timeout_ms = 300;
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
    check_has(run.report.servers[0].stages[STAGE_SECURE_TCP].detail, "resolve bad name.invalid: ");
    ck_assert_uint_gt(run.report.servers[0].stages[STAGE_SECURE_TCP].us, 0);
}
END_TEST

START_TEST(host_without_network_says_so)
{
    if (!peer_leave_network())
        return;
    run.conf->secure_port = 8081;
    run.conf->port = 8080;
    run.conf->allow_fallback = true;
    add_server("192.0.2.1");
    add_server("2001:db8::1");
    add_server("gw.example");
    probe();
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(run.report.servers[i].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
        ck_assert(run.report.servers[i].no_route);
        ck_assert_str_eq(run.report.servers[i].stages[STAGE_PLAIN_TCP].detail,
                         run.report.servers[i].stages[STAGE_SECURE_TCP].detail);
    }
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_FAILED,
                "connect to 192.0.2.1:8081: network is unreachable");
    check_stage(&run.report.servers[2].stages[STAGE_SECURE_TCP], TEST_FAILED,
                "resolve gw.example: this host has no network");
}
END_TEST

/* ---- mutual authentication ---- */

static void check_mistrust(const struct proxy *proxy, enum cause cause, const char *part)
{
    struct peer peer, plain;
    /* Whatever is wrong with it: once TCP has passed, nothing leads to the plain port. */
    ck_assert(peer_start(&plain, AF_INET, 0, script_drain, NULL));
    run.conf->allow_fallback = true;
    run.conf->port = addr_port(&plain.address);
    start_proxy(&peer, proxy);
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    check_cause(STAGE_MUTUAL_AUTH, cause);
    check_has(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].detail, part);
    check_stage(&run.report.servers[0].stages[STAGE_PLAIN_TCP], TEST_NOT_DONE, "");
    ck_assert_uint_eq(*plain.accepted, 0);
    peer_stop(&plain);
    peer_stop(&peer);
}

static const struct {
    const char *server;
    enum cause cause;
    const char *part;
} mistrusted[] = {
    {"wrong-name", CAUSE_CERTIFICATE_NAME, "is for \"wrong.example\", expected \"gw.example\""},
    {"expired", CAUSE_CERTIFICATE_EXPIRED, " expired on 2021-01-01"},
    {"wrong-issuer", CAUSE_CERTIFICATE_UNTRUSTED, "which is not trusted"},
};

START_TEST(bad_server_certificate_is_mistrust)
{
    struct proxy proxy = good_proxy();
    char name[64];
    snprintf(name, sizeof name, "%s.pem", mistrusted[_i].server);
    proxy.tls.certificate = peer_pki(name);
    snprintf(name, sizeof name, "%s.key", mistrusted[_i].server);
    proxy.tls.key = peer_pki(name);
    check_mistrust(&proxy, mistrusted[_i].cause, mistrusted[_i].part);
}
END_TEST

static void use_refused_client(void)
{
    run.conf->certificate = (char *)peer_pki("client-wrong-issuer.pem");
    run.conf->private_key = (char *)peer_pki("client-wrong-issuer.key");
}

START_TEST(client_certificate_refused_in_tls13)
{
    struct proxy proxy = good_proxy();
    use_refused_client();
    check_mistrust(&proxy, CAUSE_CLIENT_CERTIFICATE_REFUSED, "server rejected the client certificate (alert ");
}
END_TEST

START_TEST(client_certificate_refused_in_tls12)
{
    struct proxy proxy = good_proxy();
    use_refused_client();
    proxy.tls.tls12 = true;
    check_mistrust(&proxy, CAUSE_CLIENT_CERTIFICATE_REFUSED, "server rejected the client certificate (alert ");
}
END_TEST

START_TEST(refusal_without_an_alert_is_confirmed)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    use_refused_client();
    proxy.tls.mute = true;
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    check_cause(STAGE_MUTUAL_AUTH, CAUSE_CLIENT_CERTIFICATE_SUSPECTED);
    check_has(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].detail,
              " the connection after the handshake without an alert; it may refuse the client certificate");
    ck_assert_uint_eq(*peer.accepted, 2);
    peer_stop(&peer);
}
END_TEST

START_TEST(reset_after_the_handshake_is_mistrust)
{
    struct proxy proxy = good_proxy();
    proxy.answer = NULL;
    proxy.reset = true;
    check_mistrust(&proxy, CAUSE_CLIENT_CERTIFICATE_SUSPECTED, " the connection after the handshake without an alert");
}
END_TEST

START_TEST(accident_after_the_handshake_is_forgiven)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    proxy.silent_for = 1;
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    ck_assert_uint_eq(*peer.accepted, 2);
    peer_stop(&peer);
}
END_TEST

START_TEST(answer_that_is_not_http_does_not_pass)
{
    struct proxy proxy = good_proxy();
    proxy.answer = "220 mail.example ESMTP\r\n";
    check_mistrust(&proxy, CAUSE_PROXY_NOT_HTTP, " to OPTIONS is not HTTP");
}
END_TEST

static void script_http(int fd, void *data)
{
    peer_write(fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    peer_drain(fd);
}

START_TEST(port_without_tls_is_mistrust)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_http, NULL));
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    peer_stop(&peer);
}
END_TEST

START_TEST(silence_after_tcp_ends_at_handshake_timeout)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    run.conf->handshake_timeout_ms = 100;
    probe_peer(&peer);
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    check_cause(STAGE_MUTUAL_AUTH, CAUSE_TLS_TIMEOUT);
    check_has(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].detail, ": not finished within 0.1 s");
    peer_stop(&peer);
}
END_TEST

START_TEST(missing_key_leaves_the_tcp_test)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    run.conf->private_key = (char *)"/nonexistent/client.key";
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    check_cause(STAGE_MUTUAL_AUTH, CAUSE_FILE_MISSING);
    check_has(run.report.servers[0].stages[STAGE_MUTUAL_AUTH].detail, "/nonexistent/client.key");
    ck_assert_ptr_nonnull(prober_tls_error(run.prober));
    peer_stop(&peer);
}
END_TEST

/* ---- AuthURL ---- */

static void use_auth_url(struct proxy *proxy, struct peer_tls *inside)
{
    run.conf->auth_url =
        (struct conf_endpoint){.text = (char *)"https://auth.example/", .host = (char *)"auth.example", .port = 443};
    proxy->inside = inside;
    proxy->answer = "HTTP/1.1 200 Connection established\r\n\r\n";
}

START_TEST(auth_url_is_reached_through_the_channel)
{
    struct proxy proxy = good_proxy();
    struct peer_tls inside = {.certificate = peer_pki("server.pem"), .key = peer_pki("server.key")};
    struct peer peer;
    use_auth_url(&proxy, &inside);
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    ck_assert_str_eq(run.report.servers[0].tls.version, "TLSv1.3");
    peer_stop(&peer);
}
END_TEST

START_TEST(auth_url_with_another_certificate_is_mistrust)
{
    struct proxy proxy = good_proxy();
    struct peer_tls inside = {.certificate = peer_pki("wrong-name.pem"), .key = peer_pki("wrong-name.key")};
    use_auth_url(&proxy, &inside);
    check_mistrust(&proxy, CAUSE_AUTH_URL_FAILED,
                   "AuthURL https://auth.example/: certificate of auth.example is for \"wrong.example\"");
    ck_assert_str_eq(run.report.servers[0].tls.version, "TLSv1.3"); /* of the channel, which is there */
}
END_TEST

static const struct {
    const char *answer;
    enum cause cause;
    const char *part;
} auth_url_answers[] = {
    {"HTTP/1.1 403 Forbidden\r\n\r\n", CAUSE_AUTH_URL_REFUSED,
     "AuthURL https://auth.example/: proxy answered 403 Forbidden"},
    {"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", CAUSE_PROXY_AUTHENTICATION,
     "AuthURL https://auth.example/: proxy answered 407 No; it offers Basic"},
    {"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n", CAUSE_PROXY_AUTHENTICATION_SCHEME,
     "AuthURL https://auth.example/: proxy answered 407 No; it offers NTLM"},
    {"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n\r\n", CAUSE_PROXY_REDIRECT,
     "AuthURL https://auth.example/: proxy answered 302 Found, a redirect to login.example"},
};

START_TEST(auth_url_refused_by_the_proxy)
{
    struct proxy proxy = good_proxy();
    struct peer_tls inside = {.certificate = peer_pki("server.pem"), .key = peer_pki("server.key")};
    use_auth_url(&proxy, &inside);
    proxy.answer = auth_url_answers[_i].answer;
    check_mistrust(&proxy, auth_url_answers[_i].cause, auth_url_answers[_i].part);
}
END_TEST

START_TEST(auth_url_of_an_inspecting_proxy_names_the_missing_ca)
{
    struct proxy proxy = good_proxy();
    struct peer_tls inside = {.certificate = peer_pki("wrong-issuer.pem"), .key = peer_pki("wrong-issuer.key")};
    use_auth_url(&proxy, &inside);
    check_mistrust(&proxy, CAUSE_AUTH_URL_UNTRUSTED, "AuthURL https://auth.example/: certificate of auth.example is");
    check_has(cause_cure(CAUSE_AUTH_URL_UNTRUSTED), "TrustedCA=");
}
END_TEST

/* ---- Target, and what remains without it ---- */

static const struct {
    const char *answer;
    enum cause cause; /* CAUSE_NONE: passed */
    const char *part;
} target_answers[] = {
    {"HTTP/1.1 200 OK\r\n\r\n", CAUSE_NONE, ""},
    {"HTTP/1.1 502 No\r\n\r\n", CAUSE_NONE, ""}, /* the target is gone, the proxy is there */
    {"HTTP/1.1 403 No\r\n\r\n", CAUSE_TARGET_REFUSED, "Target [2001:db8::7]:8443: proxy answered 403 No"},
    {"HTTP/1.1 407 No\r\n\r\n", CAUSE_PROXY_AUTHENTICATION, "Target [2001:db8::7]:8443: proxy answered 407 No"},
    {"220 hello\r\n", CAUSE_TARGET_REFUSED, "Target [2001:db8::7]:8443: answer of "},
};

START_TEST(target_is_asked_for_as_sessions_ask)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    const struct server_report *server = &run.report.servers[0];
    proxy.asked = "CONNECT [2001:db8::7]:8443 HTTP/1.1\r\n";
    proxy.answer = target_answers[_i].answer;
    run.conf->test_target =
        (struct conf_endpoint){.text = (char *)"[2001:db8::7]:8443", .host = (char *)"2001:db8::7", .port = 8443};
    if (target_answers[_i].cause != CAUSE_NONE) {
        check_mistrust(&proxy, target_answers[_i].cause, target_answers[_i].part);
        return;
    }
    start_proxy(&peer, &proxy);
    probe_peer(&peer);
    check_stage(&server->stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    ck_assert_str_eq(server->tls.version, "TLSv1.3");
    peer_stop(&peer);
}
END_TEST

/* It hangs up, or says nothing. */
START_TEST(a_proxy_without_an_answer_to_options_is_not_said_to_refuse_a_certificate)
{
    struct proxy proxy = good_proxy();
    proxy.asked = "OPTIONS * HTTP/1.1\r\n";
    proxy.hangs_up = _i == 0;
    proxy.answer = "";
    run.conf->handshake_timeout_ms = _i == 0 ? run.conf->handshake_timeout_ms : (unsigned)peer_patience(300);
    check_mistrust(&proxy, CAUSE_OPTIONS_UNANSWERED,
                   _i == 0 ? " closed the connection instead of an answer to OPTIONS"
                           : " did not answer OPTIONS within");
    check_has(cause_cure(CAUSE_OPTIONS_UNANSWERED), "Target=");
}
END_TEST

/* ---- the plain port ---- */

static void script_expect_nothing(int fd, void *data)
{
    char byte;
    /* Told through the pipe: 0 bytes came, in order. */
    byte = recv(fd, &byte, 1, 0) == 0 ? '0' : 'X';
    if (write(*(int *)data, &byte, 1) != 1)
        abort();
}

static void check_fallback(bool secure)
{
    struct addr refusing = peer_refusing();
    struct peer plain;
    int fds[2];
    char byte = 0;
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert(peer_start(&plain, AF_INET, 0, script_expect_nothing, &fds[1]));
    run.conf->secure = secure;
    run.conf->allow_fallback = secure;
    run.conf->secure_port = addr_port(&refusing);
    run.conf->port = addr_port(&plain.address);
    add_server("127.0.0.1");
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, secure ? TEST_FAILED : TEST_NOT_DONE);
    check_stage(&run.report.servers[0].stages[STAGE_PLAIN_TCP], TEST_PASSED, "");
    ck_assert(addr_equal(&run.report.servers[0].plain_address, &plain.address));
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, '0');
    peer_stop(&plain);
}

START_TEST(fallback_is_tested_without_a_byte)
{
    check_fallback(true);
}
END_TEST

START_TEST(without_secure_channel_only_the_plain_port_is_tested)
{
    check_fallback(false);
}
END_TEST

START_TEST(plain_port_may_be_refused_too)
{
    struct addr secure = peer_refusing(), plain = peer_refusing();
    run.conf->allow_fallback = true;
    run.conf->secure_port = addr_port(&secure);
    run.conf->port = addr_port(&plain);
    add_server("127.0.0.1");
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_PLAIN_TCP].outcome, TEST_FAILED);
    check_cause(STAGE_PLAIN_TCP, CAUSE_TCP_REFUSED);
    check_has(run.report.servers[0].stages[STAGE_PLAIN_TCP].detail, ": connection refused");
    ck_assert(!run.report.servers[0].no_route);
}
END_TEST

/* ---- several servers ---- */

START_TEST(servers_are_tested_side_by_side)
{
    struct addr silent = peer_silent();
    ev_tstamp before = ev_time();
    run.conf->connect_timeout_ms = 400;
    run.conf->secure_port = addr_port(&silent);
    for (size_t i = 0; i < 5; i++)
        add_server("127.0.0.1");
    probe();
    ck_assert_double_lt(ev_time() - before, peer_patience(1.5)); /* and not 5 times 0.4 s */
    for (size_t i = 0; i < 5; i++)
        ck_assert_int_eq(run.report.servers[i].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
}
END_TEST

START_TEST(one_server_in_reach_forbids_the_plain_port_to_all)
{
    struct proxy proxy = good_proxy();
    struct peer secure, plain;
    proxy.tls.certificate = peer_pki("expired.pem");
    proxy.tls.key = peer_pki("expired.key");
    start_proxy(&secure, &proxy);
    ck_assert(peer_start(&plain, AF_INET, 0, script_drain, NULL));
    run.conf->allow_fallback = true;
    run.conf->secure_port = addr_port(&secure.address);
    run.conf->port = addr_port(&plain.address);
    add_server("127.0.0.2"); /* loopback as well, and nobody there */
    add_server("127.0.0.1");
    probe();
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_SECURE_TCP].outcome, TEST_FAILED);
    ck_assert_int_eq(run.report.servers[1].stages[STAGE_SECURE_TCP].outcome, TEST_PASSED);
    ck_assert_int_eq(run.report.servers[1].stages[STAGE_MUTUAL_AUTH].outcome, TEST_FAILED);
    ck_assert_int_eq(run.report.servers[0].stages[STAGE_PLAIN_TCP].outcome, TEST_NOT_DONE);
    ck_assert_int_eq(run.report.servers[1].stages[STAGE_PLAIN_TCP].outcome, TEST_NOT_DONE);
    ck_assert_uint_eq(*plain.accepted, 0);
    peer_stop(&secure);
    peer_stop(&plain);
}
END_TEST

START_TEST(no_server_gives_an_empty_report)
{
    probe();
    ck_assert_uint_eq(run.report.n_servers, 0);
}
END_TEST

/* ---- several addresses ---- */

struct race_run {
    bool called;
    struct happy_eyeballs_result result;
};

static void raced_cb(struct happy_eyeballs *race, const struct happy_eyeballs_result *result, void *data)
{
    struct race_run *this = data;
    ck_assert_ptr_nonnull(race);
    ck_assert(!this->called);
    this->called = true;
    this->result = *result;
    ev_break(run.loop, EVBREAK_ALL);
}

/* Seconds that it took. */
static double race_addresses(const struct addr *addrs, size_t n, struct happy_eyeballs_result *ret_result)
{
    struct race_run this = {.called = false};
    struct happy_eyeballs *race;
    ev_tstamp before = ev_time();
    ev_now_update(run.loop);
    race = happy_eyeballs_start(run.loop, run.conf, addrs, n, raced_cb, &this);
    ck_assert_ptr_nonnull(race);
    ck_assert_msg(!this.called, "called back inside happy_eyeballs_start()");
    run_loop(peer_patience(GUARD_S));
    ck_assert(this.called);
    if (this.result.up)
        stream_free(happy_eyeballs_take_stream(race), true);
    happy_eyeballs_free(race);
    *ret_result = this.result;
    return ev_time() - before;
}

START_TEST(failed_address_is_followed_at_once)
{
    struct addr addrs[3] = {peer_refusing(), peer_refusing()};
    struct happy_eyeballs_result result;
    struct peer peer;
    double seconds;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    addrs[2] = peer.address;
    seconds = race_addresses(addrs, 3, &result);
    ck_assert(result.up);
    ck_assert(addr_equal(&result.address, &peer.address));
    ck_assert_double_lt(seconds, peer_patience(0.2)); /* less than one stagger */
    peer_stop(&peer);
}
END_TEST

START_TEST(silent_address_is_overtaken)
{
    struct addr addrs[2] = {peer_silent()};
    struct happy_eyeballs_result result;
    struct peer peer;
    double seconds;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    addrs[1] = peer.address;
    seconds = race_addresses(addrs, 2, &result);
    ck_assert(result.up);
    ck_assert(addr_equal(&result.address, &peer.address));
    ck_assert_double_ge(seconds, 0.2);
    ck_assert_double_lt(seconds, peer_patience(2.));
    ck_assert_uint_lt(result.us, 200000); /* the winner's own connect, without the wait before it */
    peer_stop(&peer);
}
END_TEST

START_TEST(lost_race_tells_the_most_telling_address)
{
    struct addr addrs[3] = {{.sa.sa_family = AF_UNSPEC}, peer_refusing(), peer_silent()};
    struct happy_eyeballs_result result;
    char text[DETAIL_MAX], buf[ADDR_TEXT_MAX];
    /* 255.255.255.255 cannot be connected to from here: that says less than the refusal after it. */
    ck_assert(addr_parse("255.255.255.255", 1, &addrs[0]));
    run.conf->connect_timeout_ms = 100;
    race_addresses(addrs, 3, &result);
    ck_assert(!result.up);
    ck_assert(!result.no_route);
    ck_assert_uint_ge(result.us, 90000);
    snprintf(text, sizeof text, "connect to %s: connection refused (and 2 more addresses failed)",
             addr_text(&addrs[1], buf));
    ck_assert_str_eq(result.detail, text);
    ck_assert(addr_equal(&result.address, &addrs[1]));
}
END_TEST

START_TEST(race_may_be_abandoned)
{
    struct addr addrs[2] = {peer_silent(), peer_refusing()};
    struct race_run this = {.called = false};
    struct happy_eyeballs *race = happy_eyeballs_start(run.loop, run.conf, addrs, 2, raced_cb, &this);
    ck_assert_ptr_nonnull(race);
    run_loop(0.1);
    happy_eyeballs_free(race);
    run_loop(0.4);
    ck_assert(!this.called);
}
END_TEST

/* ---- the end of a test ---- */

START_TEST(new_test_abandons_the_running_one)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    struct addr silent = peer_silent();
    uint16_t port;
    start_proxy(&peer, &proxy);
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&silent);
    begin(6);
    run_loop(0.05);
    port = addr_port(&peer.address);
    run.conf->secure_port = port;
    probe();
    ck_assert_uint_eq(run.first_id, 7);
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    run.reports = 0;
    run.report.complete = false;
    probe(); /* and once more, from the end of one */
    check_stage(&run.report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    peer_stop(&peer);
}
END_TEST

START_TEST(no_callback_after_free)
{
    struct addr refusing = peer_refusing();
    add_server("127.0.0.1");
    add_server("localhost");
    add_server("gw.invalid");
    run.conf->secure_port = addr_port(&refusing);
    begin(1);
    prober_free(run.prober);
    run.prober = NULL;
    run_loop(0.1);
    ck_assert_uint_eq(run.reports, 0);
}
END_TEST

START_TEST(prober_may_go_in_its_callback)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    run.free_in_callback = true;
    start_proxy(&peer, &proxy);
    add_server("127.0.0.1");
    run.conf->secure_port = addr_port(&peer.address);
    begin(1);
    run_loop(peer_patience(GUARD_S));
    ck_assert_uint_eq(run.reports, 1);
    peer_stop(&peer);
}
END_TEST

/* ---- the process ---- */

struct process {
    pid_t pid;
    int fd;
};

static struct process start_process(void)
{
    struct process process;
    int fds[2];
    ck_assert_int_eq(ipc_pair(fds), 0);
    process.pid = fork();
    ck_assert_int_ge(process.pid, 0);
    if (process.pid == 0) {
        close(fds[0]);
        if (fds[1] != IPC_FD && (dup2(fds[1], IPC_FD) < 0 || close(fds[1]) < 0))
            _exit(99);
        _exit(prober_main());
    }
    close(fds[1]);
    process.fd = fds[0];
    return process;
}

static void allow(const struct process *process, uint64_t id)
{
    struct ipc_message message = {.type = IPC_ALLOWED, .request = {.id = id}};
    ck_assert_int_eq(ipc_send(process->fd, &message, -1), 0);
}

/* The next message of that type; reports on the way are dropped, and it may connect wherever it wants to. */
static struct ipc_message await(const struct process *process, enum ipc_type type)
{
    static struct ipc_message message;
    int fd, result;
    for (;;) {
        result = ipc_receive(process->fd, &message, &fd);
        if (result == 1 && message.type == type)
            return message;
        if (result == 1 && message.type == IPC_NAMED)
            allow(process, message.named.id);
        ck_assert_msg(result >= 0, "the process ended: %s", strerror(-result));
        if (result == 0)
            ck_assert_int_eq(
                poll(&(struct pollfd){.fd = process->fd, .events = POLLIN}, 1, (int)(peer_patience(GUARD_S) * 1e3)), 1);
    }
}

static struct ipc_conf_done send_conf(const struct process *process, const struct conf *conf, uint64_t serial)
{
    struct ipc_message message = {.type = IPC_CONF, .conf = {.serial = serial}};
    int fd = -1;
    ck_assert_int_eq(handover_write(conf, &fd), 0);
    ck_assert_int_eq(ipc_send(process->fd, &message, fd), 0);
    close(fd);
    message = await(process, IPC_CONF_DONE);
    ck_assert_uint_eq(message.conf_done.serial, serial);
    return message.conf_done;
}

static struct test_report run_test(const struct process *process, uint64_t id)
{
    struct ipc_message message = {.type = IPC_TEST, .test = {.test_id = id}};
    ck_assert_int_eq(ipc_send(process->fd, &message, -1), 0);
    do
        message = await(process, IPC_REPORT);
    while (!message.report.complete || message.report.test_id != id);
    return message.report;
}

/* What a file says, as the gate has it. */
static struct conf *whole_conf(uint16_t secure_port, const char *key)
{
    char text[2048];
    FILE *stream;
    struct conf *conf;
    snprintf(text, sizeof text,
             "[Proxy]\nServers=127.0.0.1 "
             "localhost\nSecurePort=%u\nPort=8080\n[SecureChannel]\nServerName=gw.example\nAuthURL=\n"
             "TrustedCA=%s\nCertificate=%s\nPrivateKey=%s\n",
             secure_port, peer_pki("ca.pem"), peer_pki("client.pem"), key);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

static void end_process(const struct process *process)
{
    int status;
    close(process->fd);
    ck_assert_int_eq(waitpid(process->pid, &status, 0), process->pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
}

START_TEST(process_tests_in_its_sandbox)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    struct process process;
    struct test_report report;
    struct ipc_conf_done done;
    struct conf *conf, *bad;
    struct ipc_message ping = {.type = IPC_PING, .request = {.id = 77}};
    start_proxy(&peer, &proxy);
    process = start_process();
    conf = whole_conf(addr_port(&peer.address), peer_pki("client.key"));
    bad = whole_conf(addr_port(&peer.address), peer_pki("none.key"));

    done = send_conf(&process, conf, 1);
    ck_assert_msg(done.ok, "%s", done.detail);
    report = run_test(&process, 11);
    check_stage(&report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");
    check_stage(&report.servers[1].stages[STAGE_MUTUAL_AUTH], TEST_PASSED,
                ""); /* by name: the hosts file is in reach */

    done = send_conf(&process, bad, 2);
    ck_assert(!done.ok);
    check_has(done.detail, "none.key");
    report = run_test(&process, 12);
    check_stage(&report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");

    done = send_conf(&process, conf, 3); /* keys can be read again */
    ck_assert_msg(done.ok, "%s", done.detail);
    report = run_test(&process, 13);
    check_stage(&report.servers[0].stages[STAGE_MUTUAL_AUTH], TEST_PASSED, "");

    ck_assert_int_eq(ipc_send(process.fd, &ping, -1), 0);
    ck_assert_uint_eq(await(&process, IPC_PONG).request.id, 77);
    end_process(&process);
    conf_free(conf);
    conf_free(bad);
    peer_stop(&peer);
}
END_TEST

START_TEST(process_starts_with_a_missing_key)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    struct process process;
    struct test_report report;
    struct ipc_conf_done done;
    struct conf *conf = whole_conf(1, "/nonexistent/client.key");
    start_proxy(&peer, &proxy);
    conf->secure_port = addr_port(&peer.address);
    process = start_process();
    done = send_conf(&process, conf, 1);
    ck_assert(done.ok);
    check_has(done.detail, "/nonexistent/client.key");
    report = run_test(&process, 1);
    check_stage(&report.servers[0].stages[STAGE_SECURE_TCP], TEST_PASSED, "");
    check_has(report.servers[0].stages[STAGE_MUTUAL_AUTH].detail, "/nonexistent/client.key");
    end_process(&process);
    conf_free(conf);
    peer_stop(&peer);
}
END_TEST

/* Fills the way to us with answers that nobody reads. */
static void send_pings(const struct process *process, unsigned n)
{
    struct ipc_message ping = {.type = IPC_PING};
    int error;
    while (n-- > 0)
        while ((error = ipc_send(process->fd, &ping, -1)) < 0) {
            ck_assert_int_eq(error, -EAGAIN);
            ck_assert_int_eq(poll(&(struct pollfd){.fd = process->fd, .events = POLLOUT}, 1, 20000), 1);
        }
}

static void await_accepted(const struct peer *peer, unsigned n)
{
    int i;
    for (i = 0; i < 2000 && *peer->accepted < n; i++)
        poll(NULL, 0, 10);
    ck_assert_uint_eq(*peer->accepted, n);
}

/* The peer serves one connection after the other: it takes ours once the prober's has ended. */
static void await_end_of_test(const struct peer *peer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    await_accepted(peer, 1);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, &peer->address.sa, addr_length(&peer->address)), 0);
    await_accepted(peer, 2);
    close(fd);
}

START_TEST(last_report_waits_for_a_slow_gate)
{
    struct proxy proxy = good_proxy();
    struct peer peer;
    struct process process;
    struct ipc_message message = {.type = IPC_TEST, .test = {.test_id = 5}};
    struct conf *conf;
    start_proxy(&peer, &proxy);
    process = start_process();
    conf = whole_conf(addr_port(&peer.address), peer_pki("client.key"));
    conf->n_servers = 1;
    ck_assert(send_conf(&process, conf, 1).ok);
    send_pings(&process, 20000);
    ck_assert_int_eq(ipc_send(process.fd, &message, -1), 0);
    for (int i = 0; i < 2000 && *peer.accepted < 1; i++) {
        allow(&process, 1); /* what it asked for stands behind the answers */
        poll(NULL, 0, 10);
    }
    await_end_of_test(&peer);
    do
        message = await(&process, IPC_REPORT);
    while (!message.report.complete);
    ck_assert_uint_eq(message.report.test_id, 5);
    conf->n_servers = 2;
    end_process(&process);
    conf_free(conf);
    peer_stop(&peer);
}
END_TEST

START_TEST(process_ends_with_its_gate)
{
    struct process process = start_process();
    end_process(&process);
}
END_TEST

static TCase *add_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return t;
}

static void add_secure_port(Suite *s)
{
    TCase *t = add_case(s, "secure");
    tcase_add_test(t, good_proxy_passes);
    tcase_add_test(t, tls12_passes_over_ipv6);
    tcase_add_test(t, server_name_defaults_to_the_server);
    tcase_add_test(t, refused_port_fails_within_milliseconds);
    tcase_add_test(t, nothing_is_dialled_before_it_is_allowed);
    tcase_add_test(t, silent_port_ends_at_connect_timeout);
    tcase_add_test(t, other_addresses_are_counted);
    tcase_add_test(t, address_that_answers_is_found_among_others);
    tcase_add_test(t, unknown_name_fails_the_first_test);
    tcase_add_test(t, host_without_network_says_so);
}

static void add_mutual_auth(Suite *s)
{
    TCase *t = add_case(s, "auth");
    tcase_add_loop_test(t, bad_server_certificate_is_mistrust, 0, 3);
    tcase_add_test(t, client_certificate_refused_in_tls13);
    tcase_add_test(t, client_certificate_refused_in_tls12);
    tcase_add_test(t, refusal_without_an_alert_is_confirmed);
    if (!peer_under_valgrind()) /* whose peer needs longer for its reset than the prober listens for one */
        tcase_add_test(t, reset_after_the_handshake_is_mistrust);
    tcase_add_test(t, accident_after_the_handshake_is_forgiven);
    tcase_add_test(t, answer_that_is_not_http_does_not_pass);
    tcase_add_test(t, port_without_tls_is_mistrust);
    tcase_add_test(t, silence_after_tcp_ends_at_handshake_timeout);
    tcase_add_test(t, missing_key_leaves_the_tcp_test);
    tcase_add_test(t, auth_url_is_reached_through_the_channel);
    tcase_add_test(t, auth_url_with_another_certificate_is_mistrust);
    tcase_add_loop_test(t, auth_url_refused_by_the_proxy, 0, sizeof auth_url_answers / sizeof auth_url_answers[0]);
    tcase_add_test(t, auth_url_of_an_inspecting_proxy_names_the_missing_ca);
    tcase_add_loop_test(t, target_is_asked_for_as_sessions_ask, 0, sizeof target_answers / sizeof target_answers[0]);
    tcase_add_loop_test(t, a_proxy_without_an_answer_to_options_is_not_said_to_refuse_a_certificate, 0, 2);
}

static void add_rest(Suite *s)
{
    TCase *t = add_case(s, "plain");
    tcase_add_test(t, fallback_is_tested_without_a_byte);
    tcase_add_test(t, without_secure_channel_only_the_plain_port_is_tested);
    tcase_add_test(t, plain_port_may_be_refused_too);
    t = add_case(s, "servers");
    tcase_add_test(t, servers_are_tested_side_by_side);
    tcase_add_test(t, one_server_in_reach_forbids_the_plain_port_to_all);
    tcase_add_test(t, no_server_gives_an_empty_report);
    t = add_case(s, "race");
    tcase_add_test(t, failed_address_is_followed_at_once);
    tcase_add_test(t, silent_address_is_overtaken);
    tcase_add_test(t, lost_race_tells_the_most_telling_address);
    tcase_add_test(t, race_may_be_abandoned);
    t = add_case(s, "end");
    tcase_add_test(t, new_test_abandons_the_running_one);
    tcase_add_test(t, no_callback_after_free);
    tcase_add_test(t, prober_may_go_in_its_callback);
    t = add_case(s, "process");
    if (peer_under_valgrind())
        return; /* no sandbox to be had */
    tcase_add_test(t, process_ends_with_its_gate);
    tcase_add_test(t, process_tests_in_its_sandbox);
    tcase_add_test(t, process_starts_with_a_missing_key);
    tcase_add_test(t, last_report_waits_for_a_slow_gate);
}

int main(void)
{
    Suite *s = suite_create("prober");
    SRunner *runner;
    int failed;
    peer_make_pki();
    add_secure_port(s);
    add_mutual_auth(s);
    add_rest(s);
    runner = srunner_create(s);
    under_filter(FILTER_PROBER);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    peer_remove_pki();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
