/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/session.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "loop_peer.h"
#include "model/policy.h"
#include "relay/listener.h"
#include "under_filter.h"

#define GUARD_S    20. /* a test that hangs is ended and fails */
#define GOT_MAX    200000
#define HTTP_HELLO "GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"
#define OK         "HTTP/1.1 200 Connection established\r\n\r\n"

/* A ClientHello without any extension: TLS without a name. */
static const unsigned char tls_hello[] = {22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3,    1, 2, 3, 4, 5, 6, 7,
                                          8,  9, 0, 1, 2,  3, 4, 5, 6,  7, 8,    9, 0, 1, 2, 3, 4, 5,
                                          6,  7, 8, 9, 0,  1, 2, 0, 0,  2, 0x13, 1, 1, 0, 0, 0};

/* ---- one relay's worth ---- */

struct rig {
    struct ev_loop *loop;
    struct stats stats;
    struct shares shares;
    struct worker *worker;
    struct settings *settings;
    ev_timer tick, guard;
    bool late;
    unsigned troubles;
    uint64_t trouble_generation;
    enum reason trouble_reason;
    enum cause trouble_cause;
    int log, saved_stderr;
};

static struct rig rig;

/* The application's end of a session. */
struct app {
    int fd;
    ev_io io;
    char got[GOT_MAX];
    size_t n;
    bool ended;
    int error; /* errno, 0: ended in order */
};

static struct app app;

static void trouble_cb(uint64_t generation, enum reason reason, enum cause cause, const char *detail, void *data)
{
    ck_assert_ptr_eq(data, &rig);
    ck_assert_str_ne(detail, "");
    rig.troubles++;
    rig.trouble_generation = generation;
    rig.trouble_reason = reason;
    rig.trouble_cause = cause;
}

static void tick_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    if (timer == &rig.guard)
        rig.late = true;
}

static struct conf *make_conf(bool secure)
{
    struct conf *conf = calloc(1, sizeof *conf);
    conf->connect_timeout_ms = conf->handshake_timeout_ms = (unsigned)peer_patience(5000);
    conf->log_sessions = true;
    conf->log_rate = 1000;
    conf->sessions_per_user = 1000;
    conf->log_level = LOG_LEVEL_INFO;
    conf->secure = secure;
    conf->http = CONF_HTTP_TUNNEL;
    conf->ports[0] = 80;
    conf->ports[1] = 443;
    conf->ports[2] = 25;
    conf->n_ports = 3;
    if (secure) {
        conf->ca_paths[0] = strdup(peer_pki("ca.pem"));
        conf->n_ca_paths = 1;
        conf->certificate = strdup(peer_pki("client.pem"));
        conf->private_key = strdup(peer_pki("client.key"));
    }
    return conf;
}

static void take_settings(struct conf *conf)
{
    struct settings *settings = settings_new(conf);
    ck_assert_ptr_nonnull(settings);
    worker_set_settings(rig.worker, settings);
    settings_unref(settings);
}

static void setup_relay(size_t max)
{
    FILE *log = tmpfile();
    signal(SIGPIPE, SIG_IGN);
    memset(&rig, 0, sizeof rig);
    memset(&app, 0, sizeof app);
    rig.saved_stderr = dup(STDERR_FILENO);
    rig.log = dup(fileno(log));
    fclose(log);
    dup2(rig.log, STDERR_FILENO);
    log_init("relay 0", LOG_LEVEL_DEBUG);
    rig.loop = ev_loop_new(EVFLAG_AUTO);
    rig.worker = worker_new(rig.loop, &rig.stats, &rig.shares, max, 8, trouble_cb, &rig);
    worker_set_row(rig.worker, 1);
    take_settings(make_conf(false));
    ev_timer_init(&rig.tick, tick_cb, 0.01, 0.01);
    ev_timer_init(&rig.guard, tick_cb, GUARD_S, 0.);
    ev_timer_start(rig.loop, &rig.tick);
    ev_timer_start(rig.loop, &rig.guard);
}

static void setup(void)
{
    setup_relay(1000);
}

/* ---- the rule in a session's line: --wrap=log_event ---- */

static char last_rule[POLICY_RULE_TEXT_MAX];

void __real_log_event(enum log_level level, const struct log_field *fields, const char *format, ...);
void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...);

void __wrap_log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    __real_log_event(level, fields, "%s", text);
    for (; fields->name; fields++)
        if (strcmp(fields->name, "PENSTOCK_RULE") == 0)
            snprintf(last_rule, sizeof last_rule, "%s", fields->value ? fields->value : "none");
}

static const char *log_text(void)
{
    static char text[200000];
    ssize_t n = pread(rig.log, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void teardown(void)
{
    worker_free(rig.worker);
    ck_assert_uint_eq(rig.stats.sessions_open, 0);
    for (unsigned i = 0; i < SHARES_USERS; i++)
        ck_assert_uint_eq(rig.shares.rows[1].users[i].open, 0);
    ev_loop_destroy(rig.loop);
    dup2(rig.saved_stderr, STDERR_FILENO);
    close(rig.saved_stderr);
    close(rig.log);
}

/* Runs the loop until the condition holds. */
#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        while (!(condition) && !rig.late)                                                                              \
            ev_run(rig.loop, EVRUN_ONCE);                                                                              \
        ck_assert_msg(condition, "waited in vain for %s; log:\n%s", #condition, log_text());                           \
    } while (0)

#define assert_log(text) ck_assert_msg(strstr(log_text(), text), "\"%s\" is not in the log:\n%s", text, log_text())

static struct addr address(const char *text, uint16_t port)
{
    struct addr addr;
    ck_assert(addr_parse(text, port, &addr));
    return addr;
}

static void set_route(enum route_mode mode, uint64_t generation, const struct addr *proxy, const char *server)
{
    struct route route = {.mode = (uint8_t)mode, .generation = generation};
    if (proxy)
        route.address = *proxy;
    snprintf(route.server, sizeof route.server, "%s", server);
    snprintf(route.status, sizeof route.status, "%s", mode == ROUTE_CLOSED ? "Blocked - Testing" : "Connected");
    worker_set_route(rig.worker, &route);
}

/* ---- the application ---- */

static void app_read_cb(struct ev_loop *loop, ev_io *io, int events)
{
    ssize_t n = recv(app.fd, app.got + app.n, sizeof app.got - 1 - app.n, MSG_DONTWAIT);
    if (n > 0) {
        app.n += (size_t)n;
        app.got[app.n] = '\0';
    } else if (n == 0 || errno != EAGAIN) {
        app.ended = true;
        app.error = n == 0 ? 0 : errno;
        ev_io_stop(loop, io);
    }
}

static void tcp_pair(int ret_fds[static 2])
{
    struct addr addr = address("127.0.0.1", 0);
    socklen_t length = sizeof addr.in4;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, &addr.sa, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, &addr.sa, &length), 0);
    ret_fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(ret_fds[0], &addr.sa, length), 0);
    ret_fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(ret_fds[1], 0);
    close(listener);
}

static void app_watch(int fd)
{
    app.fd = fd;
    ev_io_init(&app.io, app_read_cb, fd, EV_READ);
    ev_io_start(rig.loop, &app.io);
}

static void begin_to(const char *host, uint16_t port, const void *bytes, size_t n)
{
    struct addr client = address("10.0.0.1", 4242), destination = address(host, port);
    struct addr own = address("127.0.0.1", 15443);
    int fds[2];
    tcp_pair(fds);
    if (n > 0)
        ck_assert_int_eq(send(fds[0], bytes, n, 0), (ssize_t)n);
    app_watch(fds[0]);
    session_begin(rig.worker, fds[1], &client, &destination, &own);
}

static void begin(const void *bytes, size_t n)
{
    begin_to("198.51.100.7", 443, bytes, n);
}

static void begin_http(void)
{
    begin(HTTP_HELLO, sizeof HTTP_HELLO - 1);
}

static void app_close(void)
{
    ev_io_stop(rig.loop, &app.io);
    close(app.fd);
}

static void app_reset(void)
{
    peer_reset_at_close(app.fd);
    app_close();
}

static void settle(void)
{
    run_until(rig.worker->n == 0 && lingering_count(rig.worker->lingering) == 0);
    ck_assert_uint_eq(buffers_out(rig.worker->buffers), 0);
    ck_assert_uint_eq(buffers_pipes_out(rig.worker->buffers), 0);
}

/* ---- the proxy ---- */

/* Shared with the peer's process. */
struct seen {
    char head[2048];
    char after[256];
    int end; /* errno, 0: in order, -1: not yet */
};

struct script {
    const char *answer;
    bool reset, drain, silent;
    struct seen *seen;
};

static struct seen *make_seen(void)
{
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(seen, MAP_FAILED);
    seen->end = -1;
    return seen;
}

static void script_main(int fd, void *data)
{
    struct script *script = data;
    char buf[4096];
    ssize_t n = 0;
    if (!peer_read_head(fd, script->seen->head, sizeof script->seen->head))
        return;
    peer_write(fd, script->answer);
    while (script->drain && (n = recv(fd, buf, sizeof buf - 1, 0)) > 0) {
        buf[n] = '\0';
        if (strlen(script->seen->after) + (size_t)n < sizeof script->seen->after)
            strcat(script->seen->after, buf);
    }
    if (script->drain)
        script->seen->end = n < 0 ? errno : 0;
    if (script->reset)
        peer_reset_at_close(fd);
}

static struct peer start_proxy(struct script *script)
{
    struct peer peer;
    script->seen = make_seen();
    ck_assert(peer_start(&peer, AF_INET, 0, script_main, script));
    return peer;
}

static void open_plain(struct script *script, struct peer *peer)
{
    *peer = start_proxy(script);
    set_route(ROUTE_PLAIN, 1, &peer->address, "gw.example");
    begin_http();
}

/* ---- the good way ---- */

START_TEST(a_session_goes_through_by_name_and_is_logged)
{
    struct script script = {.answer = OK "right behind the answer", .drain = true};
    struct peer peer;
    char expected[200], proxy[ADDR_TEXT_MAX];
    open_plain(&script, &peer);
    run_until(strstr(app.got, "right behind the answer"));
    ck_assert_uint_eq(rig.stats.sessions_open, 1);
    shutdown(app.fd, SHUT_WR);
    settle();
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_ptr_nonnull(strstr(script.seen->head, "CONNECT www.example:443 HTTP/1.1\r\n"));
    ck_assert_str_eq(script.seen->after, HTTP_HELLO);
    ck_assert_int_eq(script.seen->end, 0);
    snprintf(expected, sizeof expected,
             "session 1, 10.0.0.1:4242 -> 198.51.100.7:443 (www.example) via plain %s: %zu up, 23 down, ",
             addr_text(&peer.address, proxy), sizeof HTTP_HELLO - 1);
    assert_log(expected);
    assert_log(" s, finished\n");
    ck_assert_uint_eq(rig.stats.sessions_total, 1);
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    ck_assert_uint_eq(rig.stats.bytes_up, sizeof HTTP_HELLO - 1);
    ck_assert_uint_eq(rig.stats.bytes_down, 23);
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(lines_over_the_rate_are_counted_and_said_in_one)
{
    struct script script = {.answer = OK "right behind the answer", .drain = true};
    struct peer peer;
    rig.worker->settings->conf->log_rate = 2;
    open_plain(&script, &peer);
    run_until(strstr(app.got, "right behind the answer"));
    ck_assert(worker_may_log(rig.worker)); /* of two others */
    ck_assert(worker_may_log(rig.worker));
    app_reset();
    run_until(rig.worker->n == 0);
    ck_assert_ptr_null(strstr(log_text(), ", 10.0.0.1"));
    ck_assert(!worker_may_log(rig.worker));
    run_until(strstr(log_text(), "more sessions ended"));
    assert_log("2 more sessions ended, without a line each");
    peer_stop(&peer);
}
END_TEST

START_TEST(without_a_name_it_goes_by_address)
{
    struct script script = {.answer = OK "hello"};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_to("2001:db8::7", 443, tls_hello, sizeof tls_hello);
    run_until(app.ended);
    ck_assert_ptr_nonnull(strstr(script.seen->head, "CONNECT [2001:db8::7]:443 HTTP/1.1\r\n"));
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_client_that_waits_for_the_server_gets_its_greeting)
{
    struct script script = {.answer = OK "220 mail.example\r\n"};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin(NULL, 0);
    run_until(app.ended);
    ck_assert_str_eq(app.got, "220 mail.example\r\n");
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_hello_in_one_byte_pieces_arrives_whole)
{
    struct script script = {.answer = OK, .drain = true};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin("G", 1);
    for (size_t i = 1; i < sizeof HTTP_HELLO - 1; i++) {
        ck_assert_int_eq(send(app.fd, HTTP_HELLO + i, 1, 0), 1);
        ev_run(rig.loop, EVRUN_ONCE);
    }
    shutdown(app.fd, SHUT_WR);
    run_until(app.ended);
    settle();
    ck_assert_str_eq(script.seen->after, HTTP_HELLO);
    assert_log("(www.example)");
    peer_stop(&peer);
    app_close();
}
END_TEST

/* ---- plain HTTP, request by request ---- */

#define HTTP_SENT "GET http://www.example:443/ HTTP/1.1\r\nHost: www.example:443\r\nVia: 1.1 penstock\r\n\r\n"
#define HTTP_OK   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

static void take_requests(void)
{
    struct conf *conf = make_conf(false);
    conf->http = CONF_HTTP_REQUEST;
    take_settings(conf);
}

static void open_http(struct script *script, struct peer *peer, const char *text)
{
    take_requests();
    *peer = start_proxy(script);
    set_route(ROUTE_PLAIN, 1, &peer->address, "gw.example");
    begin(text, strlen(text));
}

static void expect_listed_state(const char *state)
{
    struct ipc_session session;
    worker_list_start(rig.worker);
    ck_assert(worker_list_peek(rig.worker, &session));
    ck_assert_str_eq(session.state, state);
}

START_TEST(plain_http_goes_request_by_request)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer;
    char expected[200], proxy[ADDR_TEXT_MAX];
    open_http(&script, &peer, HTTP_HELLO);
    run_until(app.n == strlen(HTTP_OK));
    expect_listed_state("idle");
    ck_assert_str_eq(app.got, HTTP_OK);
    ck_assert_str_eq(script.seen->head, HTTP_SENT);
    ck_assert_uint_eq(rig.stats.bytes_up, sizeof HTTP_SENT - 1);
    ck_assert_uint_eq(rig.stats.bytes_down, strlen(HTTP_OK));
    shutdown(app.fd, SHUT_WR);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    settle();
    snprintf(expected, sizeof expected,
             "session 1, 10.0.0.1:4242 -> 198.51.100.7:443 (www.example) via plain %s: %zu up, %zu down, 1 request, ",
             addr_text(&peer.address, proxy), sizeof HTTP_SENT - 1, strlen(HTTP_OK));
    assert_log(expected);
    assert_log(" s, finished\n");
    ck_assert_str_eq(last_rule, "[Redirect] Ports=443");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(a_request_that_can_be_read_in_two_ways_gets_a_page)
{
    struct script script = {.answer = HTTP_OK};
    struct peer peer;
    open_http(&script, &peer, "GET / HTTP/1.1\r\nHost: www.example\r\nHost: b.example\r\n\r\n");
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_ptr_eq(strstr(app.got, "HTTP/1.1 400 Bad Request\r\n"), app.got);
    ck_assert_ptr_nonnull(strstr(app.got, "several Host fields"));
    app_close();
    settle();
    ck_assert_uint_eq(*peer.accepted, 0);
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    peer_stop(&peer);
}
END_TEST

START_TEST(a_407_becomes_a_page_that_says_what_to_configure)
{
    struct script script = {.answer = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"};
    struct peer peer;
    open_http(&script, &peer, HTTP_HELLO);
    run_until(app.ended);
    ck_assert_ptr_eq(strstr(app.got, "HTTP/1.1 502 Bad Gateway\r\n"), app.got);
    ck_assert_ptr_nonnull(strstr(app.got, "by Basic: set Header=Proxy-Authorization: ... in [Proxy] of penstock.conf"));
    app_close();
    settle();
    ck_assert_uint_eq(rig.troubles, 0);
    peer_stop(&peer);
}
END_TEST

START_TEST(another_protocol_gets_a_tunnel)
{
    static const char upgrade[] =
        "GET / HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    struct script script = {.answer = OK "HTTP/1.1 101 Switching\r\n\r\n", .drain = true};
    struct peer peer;
    open_http(&script, &peer, upgrade);
    run_until(strstr(app.got, "101 Switching"));
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_ptr_eq(strstr(script.seen->head, "CONNECT www.example:443 HTTP/1.1\r\n"), script.seen->head);
    ck_assert_str_eq(script.seen->after, upgrade);
    ck_assert_ptr_null(strstr(log_text(), "request,"));
    peer_stop(&peer);
    app_close();
}
END_TEST

/* Many proxies allow CONNECT to port 443 alone: the words are theirs. */
START_TEST(a_proxy_that_refuses_the_tunnel_for_another_protocol_is_heard)
{
    static const char upgrade[] =
        "GET / HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    struct script script = {.answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\nX-Why: port\r\n\r\nforbidden"};
    struct peer peer;
    open_http(&script, &peer, upgrade);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_str_eq(
        app.got, "HTTP/1.1 403 Forbidden\r\nX-Why: port\r\nContent-Length: 9\r\nConnection: close\r\n\r\nforbidden");
    ck_assert_ptr_eq(strstr(script.seen->head, "CONNECT www.example:443 HTTP/1.1\r\n"), script.seen->head);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(what_is_said_to_another_proxy_goes_to_the_address)
{
    static const char *const said[] = {"GET http://www.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n",
                                       "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n\r\n"};
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    open_http(&script, &peer, said[_i]);
    run_until(app.n == 5);
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_ptr_eq(strstr(script.seen->head, "CONNECT 198.51.100.7:443 HTTP/1.1\r\n"), script.seen->head);
    ck_assert_str_eq(script.seen->after, said[_i]);
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(a_proxy_that_says_nothing_to_a_request_is_an_error_page)
{
    struct script script = {.answer = ""};
    struct peer peer;
    open_http(&script, &peer, HTTP_HELLO);
    run_until(app.ended);
    ck_assert_ptr_eq(strstr(app.got, "HTTP/1.1 502 Bad Gateway\r\n"), app.got);
    app_close();
    settle();
    assert_log("proxy closed the connection instead of an answer");
    ck_assert_uint_eq(rig.stats.sessions_failed, 1);
    peer_stop(&peer);
}
END_TEST

START_TEST(a_request_waits_for_a_route_and_is_not_lost)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer = start_proxy(&script);
    struct addr nowhere = peer_refusing();
    take_requests();
    set_route(ROUTE_PLAIN, 1, &nowhere, "gw.example");
    begin_http();
    run_until(rig.troubles == 1);
    ck_assert_uint_eq(app.n, 0);
    set_route(ROUTE_PLAIN, 2, &peer.address, "gw.example");
    run_until(app.n == strlen(HTTP_OK));
    ck_assert_str_eq(script.seen->head, HTTP_SENT);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

/* The peer takes one connection after the other: a second one would wait for ever. */
static void two_requests_main(int fd, void *data)
{
    struct seen *seen = data;
    for (int i = 0; i < 2; i++) {
        if (!peer_read_head(fd, seen->head, sizeof seen->head))
            return;
        peer_write(fd, HTTP_OK);
    }
    peer_drain(fd);
}

START_TEST(a_link_is_used_by_one_client_after_the_other)
{
    struct seen *seen = make_seen();
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, two_requests_main, seen));
    take_requests();
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    for (int i = 0; i < 2; i++) {
        begin_http();
        run_until(app.n == strlen(HTTP_OK));
        app_close();
        run_until(rig.worker->n == 0);
        ck_assert_uint_eq(warm_count(rig.worker->warm), 1);
        app.n = 0;
    }
    ck_assert_uint_eq(*peer.accepted, 1);
    /* Another generation of the same way changes nothing, another way does. */
    set_route(ROUTE_PLAIN, 2, &peer.address, "gw.example");
    ck_assert_uint_eq(warm_count(rig.worker->warm), 1);
    set_route(ROUTE_PLAIN, 3, &peer.address, "gw2.example");
    ck_assert_uint_eq(warm_count(rig.worker->warm), 0);
    settle();
    peer_stop(&peer);
}
END_TEST

/* Between two requests there is nothing to be told but the end. */
START_TEST(a_blocked_verdict_ends_a_client_of_plain_http)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer;
    open_http(&script, &peer, HTTP_HELLO);
    run_until(app.n == strlen(HTTP_OK));
    set_route(ROUTE_CLOSED, 2, NULL, "");
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_str_eq(app.got, HTTP_OK);
    assert_log("cut because the verdict became blocked");
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_request_on_its_way_is_an_open_session)
{
    struct script script = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", .drain = true};
    struct peer peer;
    open_http(&script, &peer, HTTP_HELLO);
    run_until(strstr(app.got, "half"));
    expect_listed_state("open");
    app_reset();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(half_an_answer_ends_in_an_error)
{
    struct script script = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf"};
    struct peer peer;
    open_http(&script, &peer, HTTP_HELLO);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    ck_assert_ptr_nonnull(strstr(app.got, "half"));
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

/* ---- bad answers ---- */

static const struct {
    const char *answer;
    bool reset;
    const char *http; /* the status line that the client gets */
    unsigned char alert;
    const char *log;
} bad[] = {
    {"HTTP/1.1 403 Forbidden\r\n\r\n", false, "HTTP/1.1 403 Forbidden\r\n", 49,
     "proxy refused the request (proxy answered 403 Forbidden)"},
    {"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false, "HTTP/1.1 502 Bad Gateway\r\n", 49,
     "proxy refused the request (proxy answered 407 Proxy Authentication Required)"},
    {"SSH-2.0-OpenSSH\r\n", false, "HTTP/1.1 502 Bad Gateway\r\n", 80, "proxy's answer is not HTTP"},
    {"", false, "HTTP/1.1 502 Bad Gateway\r\n", 80, "proxy closed the connection instead of an answer"},
    {"HTTP/1.1 200 O", true, "HTTP/1.1 502 Bad Gateway\r\n", 80, "proxy closed the connection instead of an answer"},
    {"header", false, "HTTP/1.1 502 Bad Gateway\r\n", 80, "header of the proxy's answer is too large"},
};

static char *large_answer(void)
{
    char *answer = malloc(1100000), *at = answer + sprintf(answer, "HTTP/1.1 200 OK\r\n");
    while (at - answer < 1000000)
        at += sprintf(at, "X-Filler: 0123456789012345678901234567890123456789\r\n");
    return answer;
}

START_TEST(a_bad_answer_is_told_to_an_http_client)
{
    struct script script = {.answer = bad[_i].answer, .reset = bad[_i].reset};
    char *large = large_answer();
    struct peer peer;
    if (strcmp(script.answer, "header") == 0)
        script.answer = large;
    open_plain(&script, &peer);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_msg(strncmp(app.got, bad[_i].http, strlen(bad[_i].http)) == 0, "%s", app.got);
    ck_assert_ptr_nonnull(strstr(app.got, "Connection: close\r\n"));
    ck_assert_ptr_nonnull(strstr(app.got, "\r\n\r\npenstock: "));
    assert_log(bad[_i].log);
    ck_assert_uint_eq(rig.stats.sessions_failed, 1);
    ck_assert_uint_eq(rig.troubles, 0);
    app_close();
    settle();
    peer_stop(&peer);
    free(large);
}
END_TEST

START_TEST(a_bad_answer_is_an_alert_for_a_tls_client)
{
    struct script script = {.answer = bad[_i].answer, .reset = bad[_i].reset};
    const unsigned char alert[] = {21, 3, 1, 0, 2, 2, bad[_i].alert};
    char *large = large_answer();
    if (strcmp(script.answer, "header") == 0)
        script.answer = large;
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin(tls_hello, sizeof tls_hello);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_uint_eq(app.n, sizeof alert);
    ck_assert_mem_eq(app.got, alert, sizeof alert);
    app_close();
    settle();
    peer_stop(&peer);
    free(large);
}
END_TEST

START_TEST(a_client_that_speaks_something_else_is_reset)
{
    struct script script = {.answer = "HTTP/1.1 403 Forbidden\r\n\r\n"};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin("SSH-2.0-x\r\n", 11);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    ck_assert_uint_eq(app.n, 0);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(an_answer_is_not_destroyed_by_what_the_client_still_sends)
{
    static char body[200000];
    struct script script = {.answer = "HTTP/1.1 403 Forbidden\r\n\r\n"};
    struct peer peer;
    open_plain(&script, &peer);
    memset(body, 'x', sizeof body);
    ck_assert_int_eq(send(app.fd, body, sizeof body, 0), (ssize_t)sizeof body);
    ev_io_stop(rig.loop, &app.io); /* the client looks for an answer only later */
    run_until(rig.worker->n == 0);
    for (int i = 0; i < 20; i++)
        ev_run(rig.loop, EVRUN_ONCE);
    ev_io_start(rig.loop, &app.io);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_ptr_nonnull(strstr(app.got, "403 Forbidden"));
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

/* ---- by name, by address ---- */

#define STEPS_MAX       4
#define REFUSED(status) "HTTP/1.1 " status " No\r\n\r\n"

/* One connection after another; NULL: asked, it says nothing. */
struct steps {
    const char *answers[STEPS_MAX];
    struct {
        char heads[STEPS_MAX][1024];
        char after[STEPS_MAX][512];
        unsigned begun, ended; /* connections */
    } * seen;
};

static void steps_main(int fd, void *data)
{
    struct steps *steps = data;
    char buf[512];
    ssize_t n;
    unsigned i = steps->seen->begun;
    if (i >= STEPS_MAX || !peer_read_head(fd, steps->seen->heads[i], sizeof steps->seen->heads[i]))
        return;
    steps->seen->begun++;
    if (steps->answers[i])
        peer_write(fd, steps->answers[i]);
    while (!(steps->answers[i] && strstr(steps->answers[i], "bye")) && (n = recv(fd, buf, sizeof buf, 0)) > 0)
        strncat(steps->seen->after[i], buf, (size_t)n);
    steps->seen->ended++;
}

static struct peer start_steps(struct steps *steps)
{
    struct peer peer;
    steps->seen = mmap(NULL, sizeof *steps->seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(steps->seen, MAP_FAILED);
    ck_assert(peer_start(&peer, AF_INET, 0, steps_main, steps));
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    return peer;
}

/* Has the proxy been asked for these, in this order, and for no more? */
static void assert_asked(const struct steps *steps, const char *first, const char *second)
{
    const char *hosts[] = {first, second};
    char expected[200];
    unsigned n = first ? second ? 2 : 1 : 0;
    ck_assert_uint_eq(steps->seen->begun, n);
    for (unsigned i = 0; i < n; i++) {
        snprintf(expected, sizeof expected, "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n", hosts[i], hosts[i]);
        ck_assert_msg(strncmp(steps->seen->heads[i], expected, strlen(expected)) == 0, "%s is not\n%s",
                      steps->seen->heads[i], expected);
    }
}

static void app_send(const void *bytes, size_t n)
{
    ck_assert_int_eq(send(app.fd, bytes, n, 0), (ssize_t)n);
}

static void end_test(struct peer *peer)
{
    app_close();
    settle();
    peer_stop(peer);
}

static bool only_session_is(const char *state)
{
    struct ipc_session shown;
    worker_list_start(rig.worker);
    return worker_list_peek(rig.worker, &shown) && strcmp(shown.state, state) == 0;
}

static const char *const unreached[] = {REFUSED("404"), REFUSED("500"), REFUSED("502"), REFUSED("503"), REFUSED("504")};

START_TEST(a_name_that_the_proxy_cannot_reach_is_tried_by_address)
{
    struct steps steps = {.answers = {unreached[_i], OK "hello"}};
    struct peer peer = start_steps(&steps);
    struct ipc_session shown;
    begin_http();
    run_until(strcmp(app.got, "hello") == 0);
    assert_asked(&steps, "www.example", "198.51.100.7");
    worker_list_start(rig.worker);
    ck_assert(worker_list_peek(rig.worker, &shown));
    ck_assert_int_eq(shown.target, TARGET_NAME_FAILED);
    ck_assert_str_eq(shown.name, "www.example");
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_str_eq(steps.seen->after[1], HTTP_HELLO);
    assert_log("(www.example; by address: the proxy could not reach the name) via plain");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    end_test(&peer);
}
END_TEST

START_TEST(a_refused_name_is_not_tried_by_address)
{
    static const char *const answers[] = {REFUSED("400"), REFUSED("403"), REFUSED("407")};
    struct steps steps = {.answers = {answers[_i], OK "hello"}};
    struct peer peer = start_steps(&steps);
    begin_http();
    run_until(app.ended);
    assert_asked(&steps, "www.example", NULL);
    end_test(&peer);
}
END_TEST

START_TEST(where_both_fail_the_client_is_told_of_the_name)
{
    struct steps steps = {.answers = {REFUSED("503"), REFUSED("403")}};
    struct peer peer = start_steps(&steps);
    begin_http();
    run_until(app.ended);
    assert_asked(&steps, "www.example", "198.51.100.7");
    ck_assert_msg(strncmp(app.got, "HTTP/1.1 502 Bad Gateway\r\n", 26) == 0, "%s", app.got);
    ck_assert_ptr_nonnull(strstr(app.got, "(by name: proxy answered 503 No; by address: proxy answered 403 No)"));
    assert_log("refused the request (by name: proxy answered 503 No; by address: proxy answered 403 No)");
    ck_assert_uint_eq(rig.stats.sessions_failed, 1);
    end_test(&peer);
}
END_TEST

/* An alert would be the server's last word; after a reset the client tries its next address. */
START_TEST(an_address_without_a_name_that_the_proxy_cannot_reach_is_reset)
{
    struct steps steps = {.answers = {unreached[_i], OK "hello"}};
    struct peer peer = start_steps(&steps);
    begin(tls_hello, sizeof tls_hello);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    ck_assert_uint_eq(app.n, 0);
    assert_asked(&steps, "198.51.100.7", NULL);
    assert_log("(by address: no name was said)");
    end_test(&peer);
}
END_TEST

START_TEST(a_server_that_speaks_first_is_asked_for_soon)
{
    struct steps steps = {.answers = {OK "SSH-2.0-x\r\n"}};
    struct peer peer = start_steps(&steps);
    ev_tstamp began = ev_time();
    begin(NULL, 0);
    run_until(app.n > 0);
    ck_assert_double_ge(ev_time() - began, SESSION_SILENCE_S / 2); /* the loop counts from when it last slept */
    ck_assert_double_lt(ev_time() - began, peer_patience(SESSION_SILENCE_S + 0.4));
    assert_asked(&steps, "198.51.100.7", NULL);
    app_send("SSH-2.0-y\r\n", 11);
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_str_eq(steps.seen->after[0], "SSH-2.0-y\r\n");
    assert_log("(by address: nothing was said)");
    end_test(&peer);
}
END_TEST

/* As nc does with nothing to send. */
START_TEST(a_silent_client_may_end_its_direction_once_there_is_a_tunnel)
{
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(only_session_is("ready"));
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_uint_eq(steps.seen->ended, 1);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    assert_log("finished\n");
    end_test(&peer);
}
END_TEST

START_TEST(a_server_that_ends_before_anybody_has_spoken_ends_the_client)
{
    struct steps steps = {.answers = {"HTTP/1.1 200 OK\r\nX-Then: bye\r\n\r\n"}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    end_test(&peer);
    assert_log("finished\n");
}
END_TEST

/* _i: there is a tunnel to the address; the proxy has refused it; it has not answered yet. */
START_TEST(a_late_name_replaces_the_address)
{
    static const char *const answers[] = {OK, REFUSED("403"), NULL}, *const states[] = {"ready", "refused", "dial"};
    struct steps steps = {.answers = {answers[_i], OK "hello"}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(steps.seen->begun == 1 && only_session_is(states[_i]));
    app_send(HTTP_HELLO, sizeof HTTP_HELLO - 1);
    run_until(strcmp(app.got, "hello") == 0);
    assert_asked(&steps, "198.51.100.7", "www.example");
    ck_assert_str_eq(steps.seen->after[0], "");
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_str_eq(steps.seen->after[1], HTTP_HELLO);
    assert_log("(www.example; by name, which came late)");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    end_test(&peer);
}
END_TEST

START_TEST(a_late_name_that_the_proxy_cannot_reach_leads_back_to_the_address)
{
    struct steps steps = {.answers = {OK, REFUSED("502"), OK "hello"}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(only_session_is("ready"));
    app_send(HTTP_HELLO, sizeof HTTP_HELLO - 1);
    run_until(strcmp(app.got, "hello") == 0);
    ck_assert_ptr_nonnull(strstr(steps.seen->heads[2], "CONNECT 198.51.100.7:443 "));
    end_test(&peer);
}
END_TEST

START_TEST(a_late_client_without_a_name_goes_on_through_the_tunnel)
{
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(only_session_is("ready"));
    app_send("SSH-2.0-y\r\n", 11);
    run_until(strcmp(steps.seen->after[0], "SSH-2.0-y\r\n") == 0);
    assert_asked(&steps, "198.51.100.7", NULL);
    end_test(&peer);
}
END_TEST

/* The rest comes after a while; nobody has been asked for anything before that. */
START_TEST(a_hello_in_late_pieces_keeps_its_name)
{
    struct steps steps = {.answers = {OK "hello"}};
    struct peer peer = start_steps(&steps);
    ev_tstamp began = ev_time();
    begin(HTTP_HELLO, 5);
    run_until(ev_time() - began > 2 * SESSION_SILENCE_S);
    ck_assert_uint_eq(*peer.accepted, 0);
    app_send(HTTP_HELLO + 5, sizeof HTTP_HELLO - 1 - 5);
    run_until(strcmp(app.got, "hello") == 0);
    assert_asked(&steps, "www.example", NULL);
    end_test(&peer);
}
END_TEST

/* The first piece comes late, too, and the second later. */
START_TEST(a_late_hello_in_pieces_keeps_its_name)
{
    struct steps steps = {.answers = {_i ? REFUSED("403") : OK, OK "hello"}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(only_session_is(_i ? "refused" : "ready"));
    app_send(HTTP_HELLO, 5);
    ev_tstamp began = ev_time();
    run_until(ev_time() - began > SESSION_SILENCE_S);
    app_send(HTTP_HELLO + 5, sizeof HTTP_HELLO - 1 - 5);
    run_until(strcmp(app.got, "hello") == 0);
    assert_asked(&steps, "198.51.100.7", "www.example");
    end_test(&peer);
}
END_TEST

START_TEST(a_refused_address_whose_client_stays_silent_is_told_in_the_end)
{
    struct steps steps = {.answers = {REFUSED("403")}};
    struct peer peer = start_steps(&steps);
    ev_tstamp began = ev_time();
    begin(NULL, 0);
    run_until(app.ended);
    ck_assert_double_ge(ev_time() - began, SESSION_LATE_S - 0.1);
    ck_assert_int_eq(app.error, ECONNRESET);
    assert_log("(by address: nothing was said)");
    assert_log("proxy refused the request (proxy answered 403 No)");
    end_test(&peer);
}
END_TEST

/* Neither a client that leaves at once nor a later one keeps a tunnel. */
START_TEST(a_silent_client_that_leaves_takes_its_tunnel_along)
{
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    if (_i) {
        run_until(only_session_is("ready"));
        app_reset();
        settle();
        run_until(steps.seen->ended == 1);
    } else {
        app_close();
        settle();
        ck_assert_uint_eq(*peer.accepted, 0);
    }
    assert_log("client left before the proxy had answered");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    peer_stop(&peer);
}
END_TEST

START_TEST(a_tunnel_that_waits_for_a_name_is_cut_and_drained_as_any_other)
{
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    begin(NULL, 0);
    run_until(only_session_is("ready"));
    if (_i) {
        set_route(ROUTE_CLOSED, 2, NULL, "");
    } else {
        set_route(ROUTE_SECURE, 2, &peer.address, "gw.example");
        ev_feed_event(rig.loop, &rig.worker->draining, EV_TIMER);
    }
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    assert_log(_i ? "cut because the verdict became blocked" : "non-secure session ended after");
    end_test(&peer);
}
END_TEST

static const struct {
    const char *bytes, *told; /* NULL: reset */
    size_t n;
} nameless[] = {
    {(const char *)tls_hello, "\x15\x03\x01\x00\x02\x02\x6d", sizeof tls_hello},
    {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", 18},
    {"SSH-2.0-y\r\n", NULL, 11},
    {"", NULL, 0},
};

START_TEST(where_names_are_required_an_address_is_not_asked_for)
{
    struct steps steps = {.answers = {OK "hello"}};
    struct peer peer = start_steps(&steps);
    rig.worker->settings->conf->names = CONF_NAMES_REQUIRE;
    begin(nameless[_i].bytes, nameless[_i].n);
    run_until(app.ended);
    if (nameless[_i].told)
        ck_assert_mem_eq(app.got, nameless[_i].told, 7);
    else
        ck_assert_int_eq(app.error, ECONNRESET);
    ck_assert_uint_eq(*peer.accepted, 0);
    assert_log("via plain 127.0.0.1:");
    assert_log("no name was said, and only names may go to the proxy (Names=require)");
    end_test(&peer);
}
END_TEST

START_TEST(where_names_are_required_a_late_one_and_no_address_is_asked_for)
{
    struct steps steps = {.answers = {REFUSED("502"), OK "hello"}};
    struct peer peer = start_steps(&steps);
    rig.worker->settings->conf->names = CONF_NAMES_REQUIRE;
    ev_tstamp began = ev_time();
    begin(NULL, 0);
    run_until(ev_time() - began > 2 * SESSION_SILENCE_S);
    ck_assert_uint_eq(*peer.accepted, 0);
    app_send(HTTP_HELLO, sizeof HTTP_HELLO - 1);
    run_until(app.ended);
    assert_asked(&steps, "www.example", NULL);
    ck_assert_ptr_nonnull(strstr(app.got, "502 Bad Gateway"));
    end_test(&peer);
}
END_TEST

/* _i: the client speaks at once, late, or not at all. */
START_TEST(where_names_are_ignored_the_address_is_asked_for)
{
    struct steps steps = {.answers = {OK "hello"}};
    struct peer peer = start_steps(&steps);
    rig.worker->settings->conf->names = CONF_NAMES_IGNORE;
    begin(HTTP_HELLO, _i ? 0 : sizeof HTTP_HELLO - 1);
    run_until(strcmp(app.got, "hello") == 0);
    if (_i == 1)
        app_send(HTTP_HELLO, sizeof HTTP_HELLO - 1);
    shutdown(app.fd, SHUT_WR);
    settle();
    assert_asked(&steps, "198.51.100.7", NULL);
    ck_assert_str_eq(steps.seen->after[0], _i == 2 ? "" : HTTP_HELLO);
    assert_log(_i ? "(by address: Names=ignore)" : "(www.example; by address: Names=ignore)");
    end_test(&peer);
}
END_TEST

/* ---- rules about names ---- */

#define RULE_PAGE "penstock: refused by a rule of the configuration ([Block] Domains=example)\n"

static void block_example(void)
{
    struct conf *conf = rig.worker->settings->conf;
    conf->block_domains[conf->n_block_domains++] = strdup("example");
}

START_TEST(a_blocked_name_is_refused_with_the_rule)
{
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    block_example();
    begin_http();
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert(strncmp(app.got, "HTTP/1.1 403 Forbidden\r\n", 24) == 0 && strstr(app.got, RULE_PAGE));
    ck_assert_uint_eq(*peer.accepted, 0);
    settle();
    ck_assert_uint_eq(rig.stats.sessions_refused, 1);
    assert_log("refused by a rule of the configuration ([Block] Domains=example)");
    ck_assert_str_eq(last_rule, "[Block] Domains=example");
    end_test(&peer);
}
END_TEST

/* The name of a ClientHello: its last extension. */
static size_t hello_with_name(const char *name, unsigned char buf[static 256])
{
    const size_t length = strlen(name), total = sizeof tls_hello + 9 + length;
    memcpy(buf, tls_hello, sizeof tls_hello);
    buf[4] = (unsigned char)(total - 5);
    buf[8] = (unsigned char)(total - 9);
    buf[sizeof tls_hello - 1] = (unsigned char)(9 + length); /* of all extensions */
    const unsigned char extension[] = {
        0, 0, 0, (unsigned char)(5 + length), 0, (unsigned char)(3 + length), 0, 0, (unsigned char)length};
    memcpy(buf + sizeof tls_hello, extension, sizeof extension);
    memcpy(buf + sizeof tls_hello + sizeof extension, name, length);
    return total;
}

START_TEST(a_blocked_name_of_tls_gets_an_alert)
{
    static const unsigned char alert[] = {21, 3, 1, 0, 2, 2, 49}; /* access_denied */
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    unsigned char hello[256];
    block_example();
    begin(hello, hello_with_name("WWW.Example", hello));
    run_until(app.ended);
    ck_assert_uint_eq(app.n, sizeof alert);
    ck_assert_mem_eq(app.got, alert, sizeof alert);
    ck_assert_uint_eq(*peer.accepted, 0);
    end_test(&peer);
    assert_log("(www.example) via none");
}
END_TEST

/* _i: there is a tunnel to the address; the proxy has refused it; it has not answered yet. Whatever Names= says. */
START_TEST(a_blocked_name_that_comes_late_goes_nowhere)
{
    static const char *const answers[] = {OK, REFUSED("403"), NULL, OK};
    static const char *const states[] = {"ready", "refused", "dial", "ready"};
    struct steps steps = {.answers = {answers[_i]}};
    struct peer peer = start_steps(&steps);
    block_example();
    if (_i == 3)
        rig.worker->settings->conf->names = CONF_NAMES_IGNORE;
    begin(NULL, 0);
    run_until(steps.seen->begun == 1 && only_session_is(states[_i]));
    app_send(HTTP_HELLO, sizeof HTTP_HELLO - 1);
    run_until(app.ended);
    ck_assert(strstr(app.got, RULE_PAGE));
    ck_assert_str_eq(steps.seen->after[0], "");
    end_test(&peer);
}
END_TEST

START_TEST(each_plain_request_is_judged_by_its_own_host)
{
    static const char second[] = "GET / HTTP/1.1\r\nHost: WWW.EXAMPLE.:80\r\n\r\n";
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer;
    take_requests();
    block_example();
    peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    static const char first[] = "GET / HTTP/1.1\r\nHost: www.other\r\n\r\n";
    begin_to("198.51.100.7", 80, first, sizeof first - 1);
    run_until(app.n == strlen(HTTP_OK));
    app_send(second, sizeof second - 1);
    run_until(app.ended);
    ck_assert(strncmp(app.got + strlen(HTTP_OK), "HTTP/1.1 403 Forbidden\r\n", 24) == 0);
    ck_assert(strstr(app.got, RULE_PAGE));
    app_close();
    settle();
    ck_assert_ptr_null(strstr(script.seen->after, "EXAMPLE"));
    assert_log("1 request, ");
    peer_stop(&peer);
}
END_TEST

/* The proxy would go there in the client's place. */
START_TEST(a_request_for_a_blocked_address_is_refused)
{
    static const char *const hosts[] = {"192.0.2.9", "[2001:db8::9]:80", "[::ffff:192.0.2.9]"};
    static const char *const rules[] = {"[Block] Networks=192.0.2.0/24", "[Block] Networks=2001:db8::/32",
                                        "[Block] Networks=192.0.2.0/24"};
    struct steps steps = {.answers = {OK}};
    struct peer peer = start_steps(&steps);
    struct conf *conf = rig.worker->settings->conf;
    char request[100];
    conf->http = CONF_HTTP_REQUEST;
    ck_assert(prefix_parse("192.0.2.0/24", &conf->block_networks[0]));
    ck_assert(prefix_parse("2001:db8::/32", &conf->block_networks[1]));
    conf->n_block_networks = 2;
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", hosts[_i]);
    begin_to("198.51.100.7", 80, request, strlen(request));
    run_until(app.ended);
    ck_assert_msg(strstr(app.got, "403 Forbidden") && strstr(app.got, rules[_i]), "%s", app.got);
    ck_assert_uint_eq(*peer.accepted, 0);
    end_test(&peer);
}
END_TEST

/* ---- what the gate is told of answers ---- */

static struct answers told;
static unsigned tellings;

static bool answers_cb(const struct answers *answers, void *data)
{
    ck_assert_ptr_eq(data, &rig);
    if (tellings++ == 0)
        return false; /* no room: they come again */
    answers_merge(&told, answers);
    return true;
}

/* What was only one of two tries does not count. */
START_TEST(the_last_answer_of_each_session_is_told_soon)
{
    struct steps steps = {.answers = {OK "hello", REFUSED("502"), OK "hello", REFUSED("407")}};
    struct peer peer = start_steps(&steps);
    told = (struct answers){0};
    tellings = 0;
    rig.worker->answers_cb = answers_cb;
    for (unsigned i = 0; i < 3; i++) {
        memset(&app, 0, sizeof app);
        begin_http();
        run_until(app.n > 0);
        app_close();
        settle();
    }
    ck_assert_uint_eq(tellings, 0);
    run_until(tellings == 2);
    ck_assert_uint_eq(told.n, 2);
    ck_assert_uint_eq(told.counts[0].n, 2);
    ck_assert_int_eq(told.counts[0].cause, CAUSE_NONE);
    ck_assert_uint_eq(told.counts[1].port, 443);
    ck_assert_uint_eq(told.counts[1].status, 407);
    ck_assert_str_eq(told.counts[1].detail, "proxy answered 407 No");
    ck_assert(!ev_is_active(&rig.worker->telling));
    peer_stop(&peer);
}
END_TEST

/* ---- refused at the door ---- */

START_TEST(refused_at_the_door)
{
    static const struct {
        const char *host;
        uint16_t port;
        bool closed;
        const char *log;
    } cases[] = {
        {"127.0.0.1", 15443, false, "via none: 0 up, 0 down, 0.000 s, connection was made to the relay port itself\n"},
        {"192.0.2.7", 8081, false, "destination is the proxy or penstock itself\n"},
        {"127.0.0.9", 15443, false, "destination is the proxy or penstock itself\n"},
        {"198.51.100.7", 443, true, "blocked by the current verdict (Blocked - Testing)\n"},
    };
    struct addr proxy = address("192.0.2.7", 8081);
    set_route(cases[_i].closed ? ROUTE_CLOSED : ROUTE_PLAIN, 1, &proxy, "gw.example");
    begin_to(cases[_i].host, cases[_i].port, HTTP_HELLO, sizeof HTTP_HELLO - 1);
    ck_assert_uint_eq(rig.worker->n, 0);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    assert_log(cases[_i].log);
    ck_assert_uint_eq(rig.stats.sessions_refused, 1);
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    app_close();
}
END_TEST

/* As the gate opens it; *address gets the port. -1: there is no such address here. */
static int listen_at(struct addr *address)
{
    int fd = socket(address->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof *address;
    if (fd < 0 || bind(fd, &address->sa, addr_length(address)) < 0)
        return -1;
    ck_assert_int_eq(listen(fd, 16), 0);
    ck_assert_int_eq(getsockname(fd, &address->sa, &length), 0);
    return fd;
}

START_TEST(a_direct_connection_to_the_relay_port_is_refused)
{
    struct addr any = address(_i ? "::1" : "127.0.0.1", 0);
    struct listener *listener;
    int listening = listen_at(&any);
    if (_i && listening < 0)
        return; /* no IPv6 here */
    ck_assert_int_eq(listener_new(rig.loop, listening, rig.worker, &listener), 0);
    set_route(ROUTE_PLAIN, 1, &any, "gw.example");
    int fd = socket(any.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, &any.sa, addr_length(&any)), 0);
    app_watch(fd);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    assert_log("connection was made to the relay port itself");
    listener_free(listener);
    close(listening);
    app_close();
}
END_TEST

/* As if another relay had room. */
START_TEST(a_full_relay_leaves_connections_to_another_and_takes_them_when_it_does_not)
{
    struct addr any = address("127.0.0.1", 0), silent = peer_silent();
    struct listener *listener;
    teardown();
    setup_relay(1);
    shares_begin_row(&rig.shares.rows[0], 10);
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
    int listening = listen_at(&any);
    ck_assert_int_eq(listener_new(rig.loop, listening, rig.worker, &listener), 0);
    begin_http();
    ck_assert_uint_eq(rig.worker->n, 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, &any.sa, sizeof any.in4), 0);
    run_until(strstr(log_text(), "the limit of sessions is reached, other relays have room; new connections wait"));
    ck_assert_uint_eq(rig.stats.sessions_shed, 0);
    run_until(rig.stats.sessions_shed == 1);
    ck_assert_uint_eq(rig.worker->n, 1);
    ck_assert_int_eq(recv(fd, (char[1]){0}, 1, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    close(fd);
    app_reset();
    listener_free(listener);
    close(listening);
}
END_TEST

/* ---- clients that leave ---- */

START_TEST(a_client_that_leaves_while_dialling_is_noticed)
{
    struct addr silent = peer_silent();
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
    begin(_i ? (const void *)tls_hello : HTTP_HELLO, _i ? sizeof tls_hello : sizeof HTTP_HELLO - 1);
    ck_assert_uint_eq(rig.worker->n, 1);
    if (_i)
        app_close(); /* nobody half-closes in the middle of a handshake */
    else
        app_reset();
    settle();
    assert_log("client left before the proxy had answered");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
}
END_TEST

START_TEST(a_client_that_leaves_without_a_word_is_not_dialled_for)
{
    struct addr silent = peer_silent();
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
    begin(tls_hello, _i ? 20 : 0);
    app_close();
    settle();
    assert_log("via none: 0 up, 0 down");
    assert_log("client left before the proxy had answered");
}
END_TEST

START_TEST(a_client_that_asks_and_ends_its_direction_gets_its_answer)
{
    struct script script = {.answer = OK "the answer", .drain = true};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_http();
    shutdown(app.fd, SHUT_WR);
    run_until(app.ended);
    ck_assert_str_eq(app.got, "the answer");
    ck_assert_str_eq(script.seen->after, HTTP_HELLO);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

/* ---- errors pass through ---- */

START_TEST(a_reset_by_the_proxy_reaches_the_client_behind_the_bytes)
{
    struct script script = {.answer = OK "some bytes", .reset = true};
    struct peer peer;
    open_plain(&script, &peer);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    ck_assert_str_eq(app.got, "some bytes");
    assert_log("proxy reset the connection\n");
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_reset_by_the_client_reaches_the_proxy)
{
    struct script script = {.answer = OK "x", .drain = true};
    struct peer peer;
    open_plain(&script, &peer);
    run_until(app.n == 1 && strcmp(script.seen->after, HTTP_HELLO) == 0);
    app_reset();
    settle();
    run_until(script.seen->end != -1);
    ck_assert_int_eq(script.seen->end, ECONNRESET);
    assert_log("client reset the connection\n");
    ck_assert_uint_eq(rig.stats.sessions_client_ended, 1);
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    peer_stop(&peer);
}
END_TEST

/* As begin_http(), but with the addresses that the client's socket really has, so that the kernel can be asked. */
static void begin_http_local(void)
{
    struct addr client, destination, own = address("127.0.0.1", 15443);
    socklen_t length = sizeof client;
    int fds[2];
    tcp_pair(fds);
    ck_assert_int_eq(getsockname(fds[0], &client.sa, &length), 0);
    length = sizeof destination;
    ck_assert_int_eq(getpeername(fds[0], &destination.sa, &length), 0);
    rig.worker->settings->conf->ports[0] = addr_port(&destination);
    ck_assert_int_eq(send(fds[0], HTTP_HELLO, sizeof HTTP_HELLO - 1, 0), sizeof HTTP_HELLO - 1);
    app_watch(fds[0]);
    session_begin(rig.worker, fds[1], &client, &destination, &own);
}

/* Ends of connections to the peer's port that are in TIME_WAIT, but for those of seen: somebody else may have had that
 * port before. They are added to seen. */
static unsigned time_waits(const struct peer *peer, bool seen[static UINT16_MAX + 1])
{
    char line[256];
    unsigned ours, port, state, n = 0;
    FILE *file = fopen("/proc/net/tcp", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*s %*[^:]:%x %*[^:]:%x %x", &ours, &port, &state) == 3 && state == 6 &&
            port == addr_port(&peer->address) && ours <= UINT16_MAX && !seen[ours]) {
            seen[ours] = true;
            n++;
        }
    }
    fclose(file);
    return n;
}

START_TEST(a_client_that_closes_after_its_answer_leaves_no_port_in_time_wait)
{
    struct script script = {.answer = OK "hello", .drain = true};
    static bool seen[UINT16_MAX + 1];
    struct peer peer = start_proxy(&script);
    (void)time_waits(&peer, seen);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_http_local();
    run_until(strcmp(app.got, "hello") == 0 && strcmp(script.seen->after, HTTP_HELLO) == 0);
    app_close();
    settle();
    run_until(script.seen->end != -1);
    ck_assert_int_eq(script.seen->end, ECONNRESET);
    ck_assert_uint_eq(time_waits(&peer, seen), 0);
    assert_log("finished");
    peer_stop(&peer);
}
END_TEST

static void ask_cb(uint64_t id, void *data)
{
    *(uint64_t *)data = id;
}

START_TEST(the_line_says_who_made_the_connection)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct ipc_unit unit = {.unit = "backup.service"};
    struct peer peer = start_proxy(&script);
    char expected[64];
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    names_init(&rig.worker->units, 0., ask_cb, &unit.cgroup);
    begin_http_local();
    worker_take_unit(rig.worker, &unit);
    run_until(strcmp(app.got, "hello") == 0);
    app_close();
    settle();
    /* Before Linux 5.9 the kernel does not tell the group. */
    snprintf(expected, sizeof expected, " of uid %u%s -> ", (unsigned)getuid(), unit.cgroup ? " (backup.service)" : "");
    assert_log(expected);
    peer_stop(&peer);
}
END_TEST

/* ---- shares ---- */

/* Of a socket that this user makes; it stays open. */
static int begin_of(uid_t uid)
{
    setfsuid(uid);
    begin_http_local();
    setfsuid(0);
    ev_io_stop(rig.loop, &app.io);
    return app.fd;
}

/* 0: ended in order; EAGAIN: not yet. */
static int end_of(int fd)
{
    return recv(fd, (char[1]){0}, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

static bool may_be_others(void)
{
    return geteuid() == 0;
}

static void setup_shares(size_t max, unsigned sessions_per_user)
{
    struct addr silent = peer_silent();
    teardown();
    setup_relay(max);
    rig.worker->settings->conf->sessions_per_user = sessions_per_user;
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
}

START_TEST(no_user_has_more_sessions_than_he_may)
{
    unsigned share;
    setup_shares(100, 3);
    if (!may_be_others())
        return;
    begin_of(1001);
    begin_of(1001);
    /* The third is in another relay. */
    shares_begin_row(&rig.shares.rows[0], 10);
    share = shares_enter(&rig.shares.rows[0], 1001);
    ck_assert_int_eq(end_of(begin_of(1001)), ECONNRESET);
    ck_assert_uint_eq(rig.worker->n, 2);
    ck_assert_int_eq(end_of(begin_of(1002)), EAGAIN);
    ck_assert_uint_eq(rig.worker->n, 3);
    ck_assert_uint_eq(rig.stats.sessions_shed, 1);
    ck_assert_uint_eq(rig.stats.sessions_total, 3);
    assert_log("too many: 1; the last was of uid 1001, with 4 open sessions");
    shares_leave(&rig.shares.rows[0], share);
    ck_assert_int_eq(end_of(begin_of(1001)), EAGAIN);
}
END_TEST

/* Their addresses are no socket's of this host, as when the kernel has given a redirected connection another port. */
START_TEST(those_who_are_not_known_are_one_user)
{
    setup_shares(100, 2);
    for (int i = 0; i < 3; i++) {
        begin_http();
        ev_io_stop(rig.loop, &app.io);
        ck_assert_int_eq(end_of(app.fd), i < 2 ? EAGAIN : ECONNRESET);
    }
    ck_assert_uint_eq(rig.worker->n, 2);
    assert_log("the last was of a user not known, with 3 open sessions");
}
END_TEST

START_TEST(what_is_refused_has_one_line_a_minute)
{
    const char *line = "connections refused, or ended for others'";
    setup_shares(100, 1);
    if (!may_be_others())
        return;
    begin_of(1001);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(end_of(begin_of(1001)), ECONNRESET);
    ck_assert_uint_eq(rig.stats.sessions_shed, 20);
    ck_assert_ptr_null(strstr(strstr(log_text(), line) + 1, line));
}
END_TEST

START_TEST(the_greediest_users_newest_makes_room)
{
    int greedy[5];
    setup_shares(5, 1000);
    if (!may_be_others())
        return;
    for (int i = 0; i < 5; i++)
        greedy[i] = begin_of(1001);
    ck_assert_int_eq(end_of(begin_of(1001)), ECONNRESET);
    int modest = begin_of(1002), second = begin_of(1002);
    ck_assert_int_eq(end_of(greedy[4]), ECONNRESET);
    ck_assert_int_eq(end_of(greedy[3]), ECONNRESET);
    ck_assert_int_eq(end_of(greedy[2]), EAGAIN);
    /* Now the newcomer would have as many as the greediest. */
    ck_assert_int_eq(end_of(begin_of(1002)), ECONNRESET);
    ck_assert_int_eq(end_of(begin_of(1001)), ECONNRESET);
    ck_assert_int_eq(end_of(modest), EAGAIN);
    ck_assert_int_eq(end_of(second), EAGAIN);
    ck_assert_uint_eq(rig.worker->n, 5);
    ck_assert_uint_eq(rig.stats.sessions_shed, 5);
    assert_log("ended for another user's: there was room for no more, and this user had the most");
}
END_TEST

START_TEST(an_open_tunnel_makes_room_at_once_on_both_sides)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    char got[8];
    setup_shares(1, 1000);
    if (!may_be_others())
        return;
    shares_begin_row(&rig.shares.rows[0], 0);
    shares_enter(&rig.shares.rows[0], 1001);
    peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 2, &peer.address, "gw.example");
    int greedy = begin_of(1001);
    run_until(rig.stats.bytes_down == strlen("hello") && strcmp(script.seen->after, HTTP_HELLO) == 0);
    begin_of(1002);
    ck_assert_uint_eq(rig.worker->n, 1);
    ck_assert_uint_eq(lingering_count(rig.worker->lingering), 0);
    ck_assert_int_eq(recv(greedy, got, sizeof got, MSG_DONTWAIT), strlen("hello"));
    ck_assert_int_eq(end_of(greedy), ECONNRESET);
    run_until(script.seen->end != -1);
    ck_assert_int_eq(script.seen->end, ECONNRESET);
    peer_stop(&peer);
}
END_TEST

/* ---- who it was ---- */

static struct ipc_user user;
static struct ipc_unit unit;

/* A proxy that is told, over the plain route if it may be. */
static struct peer start_told(struct script *script, enum conf_http http, bool on_plain)
{
    struct conf *conf = make_conf(false);
    struct peer peer = start_proxy(script);
    conf->headers[conf->n_headers++] = strdup("X-User: %u");
    conf->headers[conf->n_headers++] = strdup("X-Uid: %U");
    conf->headers[conf->n_headers++] = strdup("X-Unit: %n");
    conf->headers[conf->n_headers++] = strdup("X-Host: %H");
    strcpy(conf->host_name, "host1");
    conf->identity_on_plain = on_plain;
    conf->http = http;
    take_settings(conf);
    user = (struct ipc_user){.uid = UINT64_MAX, .name = "ann"};
    unit = (struct ipc_unit){.unit = "app.scope", .system_unit = "backup.service"};
    names_init(&rig.worker->users, 60., ask_cb, &user.uid);
    names_init(&rig.worker->system_units, 0., ask_cb, &unit.cgroup);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_http_local();
    return peer;
}

static void expect_told(const struct script *script, bool named)
{
    char uid[64];
    snprintf(uid, sizeof uid, "\r\nX-Uid: %u\r\n", (unsigned)getuid());
    ck_assert(strstr(script->seen->head, uid));
    ck_assert(strstr(script->seen->head, "\r\nX-Host: host1\r\n"));
    ck_assert_int_eq(!!strstr(script->seen->head, "\r\nX-User: ann\r\n"), named);
    ck_assert_int_eq(!!strstr(script->seen->head, "\r\nX-Unit: backup.service\r\n"), named && unit.cgroup);
    ck_assert_int_eq(!!strstr(script->seen->head, "X-User"), named);
}

static const enum conf_http both[] = {CONF_HTTP_TUNNEL, CONF_HTTP_REQUEST};

START_TEST(a_session_waits_for_the_names_that_the_proxy_is_told)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer = start_told(&script, both[_i], true);
    run_until(user.uid != UINT64_MAX);
    ck_assert_uint_eq(user.uid, getuid());
    expect_listed_state("unnamed");
    worker_take_user(rig.worker, &user);
    if (unit.cgroup) {
        expect_listed_state("unnamed");
        worker_take_unit(rig.worker, &unit);
    }
    run_until(app.n > 0);
    expect_told(&script, true);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(what_is_not_told_in_time_is_left_out)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer = start_told(&script, both[_i], true);
    ev_tstamp began = ev_now(rig.loop);
    run_until(app.n > 0);
    expect_told(&script, false);
    ck_assert(ev_now(rig.loop) - began >= NAMES_PATIENCE_S - .01);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(over_the_plain_route_it_is_not_told_and_not_waited_for)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer = start_told(&script, both[_i], false);
    run_until(app.n > 0);
    ck_assert_uint_eq(user.uid, UINT64_MAX); /* nobody has asked */
    ck_assert_ptr_nonnull(strstr(script.seen->head, "X-Host: host1\r\n"));
    ck_assert_ptr_null(strstr(script.seen->head, "X-U"));
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_session_that_waits_for_a_name_can_be_cut)
{
    struct script script = {.answer = HTTP_OK, .drain = true};
    struct peer peer = start_told(&script, both[_i], true);
    expect_listed_state(both[_i] == CONF_HTTP_TUNNEL ? "unnamed" : "idle");
    run_until(user.uid != UINT64_MAX);
    set_route(ROUTE_CLOSED, 2, NULL, "");
    settle();
    run_until(app.ended);
    ck_assert_str_eq(script.seen->head, "");
    app_close();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_client_that_only_ends_its_direction_is_not_taken_for_gone)
{
    struct script script = {.answer = OK "hello", .drain = true};
    static bool seen[UINT16_MAX + 1];
    struct peer peer = start_proxy(&script);
    (void)time_waits(&peer, seen);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_http_local();
    run_until(strcmp(app.got, "hello") == 0 && strcmp(script.seen->after, HTTP_HELLO) == 0);
    shutdown(app.fd, SHUT_WR);
    settle();
    ck_assert_int_eq(script.seen->end, 0);
    ck_assert_uint_eq(time_waits(&peer, seen), 1);
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(a_client_that_asks_and_closes_is_heard_to_its_end)
{
    struct script script = {.answer = OK, .drain = true};
    struct peer peer = start_proxy(&script);
    set_route(ROUTE_PLAIN, 1, &peer.address, "gw.example");
    begin_http_local();
    shutdown(app.fd, SHUT_WR);
    app_close();
    settle();
    ck_assert_str_eq(script.seen->after, HTTP_HELLO);
    ck_assert_int_eq(script.seen->end, 0);
    peer_stop(&peer);
}
END_TEST

/* ---- routes ---- */

START_TEST(a_failed_dial_is_held_and_goes_on_over_the_next_route)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer = start_proxy(&script);
    struct addr refusing = peer_refusing();
    set_route(ROUTE_PLAIN, 7, &refusing, "gw.example");
    begin_http();
    run_until(rig.worker->n_held == 1);
    ck_assert_uint_eq(rig.troubles, 1);
    ck_assert_uint_eq(rig.trouble_generation, 7);
    ck_assert_int_eq(rig.trouble_reason, REASON_CONNECT_FAILED);
    ck_assert_int_eq(rig.trouble_cause, CAUSE_TCP_REFUSED);
    set_route(ROUTE_PLAIN, 8, &peer.address, "gw2.example");
    ck_assert_uint_eq(rig.worker->n_held, 0);
    run_until(strcmp(app.got, "hello") == 0);
    shutdown(app.fd, SHUT_WR);
    settle();
    app_close();
    assert_log("finished");
    peer_stop(&peer);
}
END_TEST

START_TEST(three_tries_are_enough)
{
    struct addr refusing = peer_refusing();
    set_route(ROUTE_PLAIN, 1, &refusing, "gw.example");
    begin_http();
    run_until(rig.worker->n_held == 1);
    set_route(ROUTE_PLAIN, 2, &refusing, "gw.example");
    run_until(rig.worker->n_held == 1);
    set_route(ROUTE_PLAIN, 3, &refusing, "gw.example");
    settle();
    ck_assert_uint_eq(rig.troubles, 3);
    run_until(app.ended);
    ck_assert_ptr_nonnull(strstr(app.got, "502 Bad Gateway"));
    ck_assert_ptr_nonnull(strstr(app.got, "penstock: proxy could not be reached (connect to 127.0.0.1:"));
    assert_log("proxy could not be reached (connect to 127.0.0.1:");
    app_close();
}
END_TEST

START_TEST(trouble_is_reported_once_per_generation)
{
    struct addr refusing = peer_refusing();
    set_route(ROUTE_PLAIN, 1, &refusing, "gw.example");
    begin_http();
    int first = app.fd;
    ev_io_stop(rig.loop, &app.io);
    begin_http();
    run_until(rig.worker->n_held == 2);
    ck_assert_uint_eq(rig.troubles, 1);
    close(first);
    app_close();
}
END_TEST

START_TEST(holding_is_limited_in_time)
{
    struct addr refusing = peer_refusing();
    ev_tstamp began = ev_time();
    set_route(ROUTE_PLAIN, 1, &refusing, "gw.example");
    begin_http();
    run_until(app.ended);
    ck_assert_double_ge(ev_time() - began, WORKER_HELD_S - 0.1);
    ck_assert_ptr_nonnull(strstr(app.got, "HTTP/1.1 504 Gateway Timeout\r\n"));
    assert_log("waited too long for a usable route (connect to 127.0.0.1:");
    app_close();
}
END_TEST

START_TEST(holding_is_limited_in_number)
{
    struct addr refusing = peer_refusing();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * WORKER_HELD_MAX + 100)
        return;
    setup_shares(2 * WORKER_HELD_MAX, 100000);
    rig.worker->settings->conf->log_level = LOG_LEVEL_INFO;
    log_set_level(LOG_LEVEL_INFO);
    set_route(ROUTE_PLAIN, 1, &refusing, "gw.example");
    for (int i = 0; i < WORKER_HELD_MAX / 2; i++) {
        begin_http();
        ev_io_stop(rig.loop, &app.io); /* left open until the process ends */
    }
    run_until(rig.worker->n_held == WORKER_HELD_MAX / 2);
    begin_http();
    run_until(app.ended);
    assert_log("too many connections wait for a usable route");
    ck_assert_uint_eq(rig.worker->n_held, WORKER_HELD_MAX / 2);
    app_close();
    if (!may_be_others())
        return;
    /* Of another user there is room. */
    begin_of(1001);
    run_until(rig.worker->n_held == WORKER_HELD_MAX / 2 + 1);
}
END_TEST

START_TEST(open_sessions_are_cut_when_the_verdict_blocks)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    open_plain(&script, &peer);
    run_until(strcmp(app.got, "hello") == 0);
    set_route(ROUTE_CLOSED, 2, NULL, "");
    ck_assert_uint_eq(rig.worker->n, 0);
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    run_until(script.seen->end != -1);
    ck_assert_int_eq(script.seen->end, ECONNRESET);
    assert_log("cut because the verdict became blocked (Blocked - Testing)");
    peer_stop(&peer);
    app_close();
}
END_TEST

/* _i: the session is held, dialling, or still silent. */
START_TEST(waiting_sessions_are_refused_when_the_verdict_blocks)
{
    struct addr proxy = _i == 0 ? peer_refusing() : peer_silent();
    set_route(ROUTE_PLAIN, 1, &proxy, "gw.example");
    begin(HTTP_HELLO, _i == 2 ? 5 : sizeof HTTP_HELLO - 1);
    run_until(_i > 0 || rig.worker->n_held == 1);
    set_route(ROUTE_CLOSED, 2, NULL, "");
    ck_assert_uint_eq(rig.worker->n, 0);
    ck_assert_uint_eq(rig.worker->n_held, 0);
    run_until(app.ended);
    ck_assert_ptr_nonnull(strstr(app.got, "penstock: blocked by the current verdict (Blocked - Testing)\n"));
    app_close();
    settle();
}
END_TEST

START_TEST(plain_sessions_are_drained_when_the_channel_returns)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    struct addr elsewhere = address("127.0.0.1", 9);
    open_plain(&script, &peer);
    run_until(strcmp(app.got, "hello") == 0);
    set_route(ROUTE_SECURE, 2, &elsewhere, "gw.example");
    ck_assert_uint_eq(rig.worker->n, 1);
    ck_assert(ev_is_active(&rig.worker->draining));
    ck_assert_double_le(ev_timer_remaining(rig.loop, &rig.worker->draining), WORKER_DRAINING_S + .001);
    set_route(ROUTE_PLAIN, 3, &peer.address, "gw.example");
    ck_assert(!ev_is_active(&rig.worker->draining));
    set_route(ROUTE_SECURE, 4, &elsewhere, "gw.example");
    ev_feed_event(rig.loop, &rig.worker->draining, EV_TIMER); /* a minute later */
    run_until(app.ended);
    ck_assert_int_eq(app.error, ECONNRESET);
    assert_log("non-secure session ended after the secure channel returned");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    settle();
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(open_sessions_live_on_when_another_server_is_chosen)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    struct addr elsewhere = address("127.0.0.1", 9);
    open_plain(&script, &peer);
    run_until(strcmp(app.got, "hello") == 0);
    set_route(ROUTE_PLAIN, 2, &elsewhere, "gw2.example");
    shutdown(app.fd, SHUT_WR);
    settle();
    assert_log("finished");
    peer_stop(&peer);
    app_close();
}
END_TEST

START_TEST(a_dial_under_way_changes_over_to_another_route)
{
    struct script script = {.answer = OK "hello"};
    struct peer peer = start_proxy(&script);
    struct addr silent = peer_silent();
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
    begin_http();
    set_route(ROUTE_PLAIN, 2, &silent, "gw.example"); /* the same again: goes on */
    set_route(ROUTE_PLAIN, 3, &peer.address, "gw.example");
    run_until(app.ended);
    ck_assert_str_eq(app.got, "hello");
    ck_assert_uint_eq(rig.troubles, 0);
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

/* ---- secure ---- */

struct secure_script {
    struct peer_tls tls;
    bool truncate;
    struct seen *seen;
};

static void secure_main(int fd, void *data)
{
    struct secure_script *script = data;
    struct peer_channel *channel = peer_tls_accept(fd, NULL, &script->tls);
    if (!channel || !peer_tls_read_head(channel, script->seen->head, sizeof script->seen->head))
        return;
    peer_tls_write(channel, OK "secret");
    if (script->truncate) {
        shutdown(fd, SHUT_WR);
        peer_drain(fd); /* closed with bytes that nobody has read, it would be a reset */
        return;
    }
    peer_tls_drain(channel);
    script->seen->end = 0;
    peer_tls_close(channel);
    peer_drain(fd); /* who closes first keeps TIME_WAIT, and that must not be the relay: it waits for our FIN */
}

static struct peer start_secure(struct secure_script *script)
{
    struct peer peer;
    script->seen = make_seen();
    script->tls.certificate = peer_pki("server.pem");
    script->tls.key = peer_pki("server.key");
    script->tls.client_ca = peer_pki("ca.pem");
    ck_assert(peer_start(&peer, AF_INET, 0, secure_main, script));
    take_settings(make_conf(true));
    ck_assert_msg(rig.worker->settings->tls, "%s", rig.worker->settings->tls_error.text);
    set_route(ROUTE_SECURE, 1, &peer.address, "gw.example");
    return peer;
}

START_TEST(a_secure_session_goes_through)
{
    struct secure_script script = {.tls.tls12 = _i};
    struct peer peer = start_secure(&script);
    begin_http();
    run_until(strcmp(app.got, "secret") == 0);
    shutdown(app.fd, SHUT_WR);
    run_until(rig.worker->n == 0);
    run_until(app.ended);
    ck_assert_int_eq(app.error, 0);
    ck_assert_int_eq(script.seen->end, 0);
    assert_log("(www.example) via secure 127.0.0.1:");
    assert_log("6 down");
    assert_log("finished");
    take_settings(make_conf(false)); /* what the channel was made with must live as long as it lingers */
    app_close();
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_channel_that_ends_without_close_notify_ends_in_order_with_a_note)
{
    struct secure_script script = {.truncate = true};
    struct peer peer = start_secure(&script);
    begin_http();
    run_until(app.ended);
    ck_assert_str_eq(app.got, "secret");
    ck_assert_int_eq(app.error, 0);
    app_close();
    run_until(rig.worker->n == 0);
    assert_log("finished; the proxy closed the channel without TLS close_notify");
    ck_assert_uint_eq(rig.stats.sessions_failed, 0);
    settle();
    peer_stop(&peer);
}
END_TEST

START_TEST(a_secure_route_without_tls_files_fails_with_their_fault)
{
    struct addr proxy = address("127.0.0.1", 9);
    struct conf *conf = make_conf(true);
    free(conf->certificate);
    conf->certificate = strdup("/nonexistent/client.pem");
    take_settings(conf);
    set_route(ROUTE_SECURE, 1, &proxy, "gw.example");
    begin_http();
    run_until(app.ended);
    assert_log("TLS handshake with the proxy failed (");
    assert_log("/nonexistent/client.pem");
    app_close();
    settle();
}
END_TEST

/* ---- listing ---- */

START_TEST(a_list_survives_sessions_that_end_in_between)
{
    struct addr silent = peer_silent();
    struct ipc_session shown;
    int fds[3];
    set_route(ROUTE_PLAIN, 1, &silent, "gw.example");
    for (int i = 0; i < 3; i++) {
        begin(tls_hello, sizeof tls_hello);
        fds[i] = app.fd;
        ev_io_stop(rig.loop, &app.io);
    }
    worker_list_start(rig.worker);
    ck_assert(worker_list_peek(rig.worker, &shown));
    ck_assert_uint_eq(shown.id, 1);
    ck_assert_str_eq(shown.state, "dial");
    ck_assert_uint_eq(addr_port(&shown.client), 4242);
    ck_assert_uint_eq(addr_port(&shown.destination), 443);
    worker_list_advance(rig.worker);
    close(fds[1]);
    run_until(rig.worker->n == 2);
    ck_assert(worker_list_peek(rig.worker, &shown));
    ck_assert_uint_eq(shown.id, 3);
    worker_list_advance(rig.worker);
    ck_assert(!worker_list_peek(rig.worker, &shown));
    close(fds[0]);
    close(fds[2]);
}
END_TEST

START_TEST(at_the_end_of_the_relay_everything_is_closed)
{
    struct script script = {.answer = OK "hello", .drain = true};
    struct peer peer;
    open_plain(&script, &peer);
    run_until(strcmp(app.got, "hello") == 0);
    worker_free(rig.worker);
    rig.worker = NULL;
    run_until(app.ended);
    assert_log("penstock stopped");
    peer_stop(&peer);
    app_close();
}
END_TEST

static TCase *http_case(void)
{
    TCase *tcase = tcase_create("http");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, plain_http_goes_request_by_request);
    tcase_add_test(tcase, a_request_that_can_be_read_in_two_ways_gets_a_page);
    tcase_add_test(tcase, a_407_becomes_a_page_that_says_what_to_configure);
    tcase_add_test(tcase, another_protocol_gets_a_tunnel);
    tcase_add_test(tcase, a_proxy_that_refuses_the_tunnel_for_another_protocol_is_heard);
    tcase_add_loop_test(tcase, what_is_said_to_another_proxy_goes_to_the_address, 0, 2);
    tcase_add_test(tcase, a_proxy_that_says_nothing_to_a_request_is_an_error_page);
    tcase_add_test(tcase, a_request_waits_for_a_route_and_is_not_lost);
    tcase_add_test(tcase, a_link_is_used_by_one_client_after_the_other);
    tcase_add_test(tcase, a_blocked_verdict_ends_a_client_of_plain_http);
    tcase_add_test(tcase, a_request_on_its_way_is_an_open_session);
    tcase_add_test(tcase, half_an_answer_ends_in_an_error);
    return tcase;
}

static TCase *who_case(void)
{
    TCase *tcase = tcase_create("who");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_line_says_who_made_the_connection);
    tcase_add_loop_test(tcase, a_session_waits_for_the_names_that_the_proxy_is_told, 0, 2);
    tcase_add_loop_test(tcase, what_is_not_told_in_time_is_left_out, 0, 2);
    tcase_add_loop_test(tcase, over_the_plain_route_it_is_not_told_and_not_waited_for, 0, 2);
    tcase_add_loop_test(tcase, a_session_that_waits_for_a_name_can_be_cut, 0, 2);
    return tcase;
}

static void add_tests_of_names(TCase *tcase)
{
    tcase_add_loop_test(tcase, where_names_are_ignored_the_address_is_asked_for, 0, 3);
    tcase_add_test(tcase, a_blocked_name_is_refused_with_the_rule);
    tcase_add_test(tcase, a_blocked_name_of_tls_gets_an_alert);
    tcase_add_loop_test(tcase, a_blocked_name_that_comes_late_goes_nowhere, 0, 4);
    tcase_add_test(tcase, each_plain_request_is_judged_by_its_own_host);
    tcase_add_loop_test(tcase, a_request_for_a_blocked_address_is_refused, 0, 3);
}

static void add_tests_of_shares(TCase *tcase)
{
    tcase_add_test(tcase, no_user_has_more_sessions_than_he_may);
    tcase_add_test(tcase, those_who_are_not_known_are_one_user);
    tcase_add_test(tcase, what_is_refused_has_one_line_a_minute);
    tcase_add_test(tcase, the_greediest_users_newest_makes_room);
}

static Suite *session_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *tcase = tcase_create("session");
    int n_bad = sizeof bad / sizeof bad[0];
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_session_goes_through_by_name_and_is_logged);
    tcase_add_test(tcase, without_a_name_it_goes_by_address);
    tcase_add_test(tcase, lines_over_the_rate_are_counted_and_said_in_one);
    tcase_add_test(tcase, a_client_that_waits_for_the_server_gets_its_greeting);
    tcase_add_test(tcase, a_hello_in_one_byte_pieces_arrives_whole);
    tcase_add_loop_test(tcase, a_bad_answer_is_told_to_an_http_client, 0, n_bad);
    tcase_add_loop_test(tcase, a_bad_answer_is_an_alert_for_a_tls_client, 0, n_bad);
    tcase_add_test(tcase, a_client_that_speaks_something_else_is_reset);
    tcase_add_test(tcase, an_answer_is_not_destroyed_by_what_the_client_still_sends);
    tcase_add_loop_test(tcase, a_name_that_the_proxy_cannot_reach_is_tried_by_address, 0, 5);
    tcase_add_loop_test(tcase, a_refused_name_is_not_tried_by_address, 0, 3);
    tcase_add_test(tcase, where_both_fail_the_client_is_told_of_the_name);
    tcase_add_loop_test(tcase, an_address_without_a_name_that_the_proxy_cannot_reach_is_reset, 0, 5);
    tcase_add_test(tcase, a_server_that_speaks_first_is_asked_for_soon);
    tcase_add_test(tcase, a_silent_client_may_end_its_direction_once_there_is_a_tunnel);
    tcase_add_test(tcase, a_server_that_ends_before_anybody_has_spoken_ends_the_client);
    tcase_add_loop_test(tcase, a_late_name_replaces_the_address, 0, 3);
    tcase_add_test(tcase, a_late_name_that_the_proxy_cannot_reach_leads_back_to_the_address);
    tcase_add_test(tcase, a_late_client_without_a_name_goes_on_through_the_tunnel);
    tcase_add_test(tcase, a_hello_in_late_pieces_keeps_its_name);
    tcase_add_loop_test(tcase, a_late_hello_in_pieces_keeps_its_name, 0, 2);
    tcase_add_test(tcase, a_refused_address_whose_client_stays_silent_is_told_in_the_end);
    tcase_add_loop_test(tcase, a_silent_client_that_leaves_takes_its_tunnel_along, 0, 2);
    tcase_add_loop_test(tcase, a_tunnel_that_waits_for_a_name_is_cut_and_drained_as_any_other, 0, 2);
    tcase_add_loop_test(tcase, where_names_are_required_an_address_is_not_asked_for, 0, 4);
    tcase_add_test(tcase, where_names_are_required_a_late_one_and_no_address_is_asked_for);
    add_tests_of_names(tcase);
    tcase_add_test(tcase, the_last_answer_of_each_session_is_told_soon);
    tcase_add_loop_test(tcase, refused_at_the_door, 0, 4);
    tcase_add_loop_test(tcase, a_direct_connection_to_the_relay_port_is_refused, 0, 2);
    tcase_add_test(tcase, a_full_relay_leaves_connections_to_another_and_takes_them_when_it_does_not);
    add_tests_of_shares(tcase);
    tcase_add_test(tcase, an_open_tunnel_makes_room_at_once_on_both_sides);
    tcase_add_loop_test(tcase, a_client_that_leaves_while_dialling_is_noticed, 0, 2);
    tcase_add_loop_test(tcase, a_client_that_leaves_without_a_word_is_not_dialled_for, 0, 2);
    tcase_add_test(tcase, a_client_that_asks_and_ends_its_direction_gets_its_answer);
    tcase_add_test(tcase, a_reset_by_the_proxy_reaches_the_client_behind_the_bytes);
    tcase_add_test(tcase, a_reset_by_the_client_reaches_the_proxy);
    tcase_add_test(tcase, a_client_that_closes_after_its_answer_leaves_no_port_in_time_wait);
    tcase_add_test(tcase, a_client_that_only_ends_its_direction_is_not_taken_for_gone);
    tcase_add_test(tcase, a_client_that_asks_and_closes_is_heard_to_its_end);
    tcase_add_test(tcase, a_failed_dial_is_held_and_goes_on_over_the_next_route);
    tcase_add_test(tcase, three_tries_are_enough);
    tcase_add_test(tcase, trouble_is_reported_once_per_generation);
    tcase_add_test(tcase, holding_is_limited_in_time);
    tcase_add_test(tcase, holding_is_limited_in_number);
    tcase_add_test(tcase, open_sessions_are_cut_when_the_verdict_blocks);
    tcase_add_loop_test(tcase, waiting_sessions_are_refused_when_the_verdict_blocks, 0, 3);
    tcase_add_test(tcase, plain_sessions_are_drained_when_the_channel_returns);
    tcase_add_test(tcase, open_sessions_live_on_when_another_server_is_chosen);
    tcase_add_test(tcase, a_dial_under_way_changes_over_to_another_route);
    tcase_add_loop_test(tcase, a_secure_session_goes_through, 0, 2);
    tcase_add_test(tcase, a_channel_that_ends_without_close_notify_ends_in_order_with_a_note);
    tcase_add_test(tcase, a_secure_route_without_tls_files_fails_with_their_fault);
    tcase_add_test(tcase, a_list_survives_sessions_that_end_in_between);
    tcase_add_test(tcase, at_the_end_of_the_relay_everything_is_closed);
    suite_add_tcase(suite, http_case());
    suite_add_tcase(suite, who_case());
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void)
{
    peer_make_pki();
    SRunner *runner = srunner_create(session_suite());
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    peer_remove_pki();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
