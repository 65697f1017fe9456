/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "channel/link/dial.h"
#include "loop_peer.h"

#define GUARD_S 20. /* a test that hangs is ended and fails */

/* ---- one dial at a time ---- */

struct run {
    struct ev_loop *loop;
    struct conf *conf;
    struct dial *dial;
    bool called, free_in_callback;
    struct dial_result result;
    struct tls_summary tls;
    struct tls_context *context;
};

static struct run run;

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&run, 0, sizeof run);
    run.loop = ev_loop_new(EVFLAG_AUTO);
    run.conf = calloc(1, sizeof *run.conf);
    ck_assert_ptr_nonnull(run.conf);
    run.conf->connect_timeout_ms = (unsigned)peer_patience(5000);
    run.conf->handshake_timeout_ms = (unsigned)peer_patience(5000);
}

static void teardown(void)
{
    dial_free(run.dial);
    tls_context_free(run.context);
    free(run.conf);
    ev_loop_destroy(run.loop);
}

static void dialled_cb(struct dial *dial, const struct dial_result *result, void *data)
{
    ck_assert_ptr_eq(data, &run);
    ck_assert_ptr_eq(dial, run.dial);
    ck_assert(!run.called);
    run.called = true;
    run.result = *result;
    if (result->up)
        dial_tls_summary(dial, &run.tls);
    if (run.free_in_callback) {
        dial_free(dial);
        run.dial = NULL;
    }
    ev_break(run.loop, EVBREAK_ALL);
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

static void dial_begin(const struct dial_request *request)
{
    struct dial_request whole = *request;
    whole.conf = run.conf;
    ev_now_update(run.loop);
    run.called = false;
    run.dial = dial_start(run.loop, &whole, dialled_cb, &run);
    ck_assert_ptr_nonnull(run.dial);
    ck_assert_msg(!run.called, "called back inside dial_start()");
}

static void dial(const struct dial_request *request)
{
    dial_begin(request);
    run_loop(peer_patience(GUARD_S));
    ck_assert_msg(run.called, "the dial did not end");
}

static void dial_host(const struct addr *address)
{
    dial(&(struct dial_request){.address = *address, .host = "www.example", .port = 443});
}

/* "%" in text is the peer's address. */
static void check_failed(enum reason reason, bool proxy_at_fault, const struct addr *address, const char *text)
{
    char detail[DETAIL_MAX], buf[ADDR_TEXT_MAX];
    int before = (int)strcspn(text, "%");
    snprintf(detail, sizeof detail, "%.*s%s%s", before, text, text[before] ? addr_text(address, buf) : "",
             text[before] ? text + before + 1 : "");
    ck_assert(!run.result.up);
    ck_assert_str_eq(run.result.detail, detail);
    ck_assert_int_eq(run.result.reason, reason);
    ck_assert_int_eq(run.result.proxy_at_fault, proxy_at_fault);
}

static void check_up(void)
{
    ck_assert_msg(run.result.up, "%s", run.result.detail);
}

/* Blocking, for the tests' own end. */
static void read_text(struct stream *stream, char *buf, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        size_t count;
        enum stream_status status = stream_read(stream, buf + length, size - 1 - length, &count);
        if (status == STREAM_AGAIN_READ) {
            ck_assert_int_eq(poll(&(struct pollfd){.fd = stream->fd, .events = POLLIN}, 1, 10000), 1);
            continue;
        }
        if (status != STREAM_OK)
            break;
        length += count;
    }
    buf[length] = '\0';
}

/* ---- TCP ---- */

static void script_drain(int fd, void *data)
{
    peer_drain(fd);
}

static void check_tcp_only(int family)
{
    struct peer peer;
    if (!peer_start(&peer, family, 0, script_drain, NULL))
        return;
    dial(&(struct dial_request){.address = peer.address});
    check_up();
    ck_assert_int_eq(run.result.http_status, 0);
    ck_assert_str_eq(run.tls.version, "");
    stream_free(dial_take_stream(run.dial), false);
    peer_stop(&peer);
}

START_TEST(tcp_alone_is_up)
{
    check_tcp_only(AF_INET);
}
END_TEST

START_TEST(tcp_over_ipv6_is_up)
{
    check_tcp_only(AF_INET6);
}
END_TEST

START_TEST(refused_connection_is_the_proxys_fault)
{
    struct addr address = peer_refusing();
    ev_tstamp before = ev_time();
    dial_host(&address);
    check_failed(REASON_CONNECT_FAILED, true, &address, "connect to %: connection refused");
    ck_assert(!run.result.no_route);
    ck_assert_double_lt(ev_time() - before, peer_patience(1.));
}
END_TEST

START_TEST(silent_address_ends_at_connect_timeout)
{
    struct addr address = peer_silent();
    run.conf->connect_timeout_ms = 100;
    dial_host(&address);
    check_failed(REASON_CONNECT_TIMEOUT, true, &address, "connect to %: no answer within 0.1 s");
}
END_TEST

START_TEST(missing_route_is_told_apart)
{
    struct addr address;
    if (!peer_leave_network())
        return;
    ck_assert(addr_parse("192.0.2.1", 8081, &address));
    dial_host(&address);
    check_failed(REASON_CONNECT_FAILED, true, &address, "connect to %: network is unreachable");
    ck_assert(run.result.no_route);
}
END_TEST

START_TEST(missing_descriptor_is_not_the_proxys_fault)
{
    struct rlimit limit = {0, 0};
    struct addr address = peer_refusing();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    dial_host(&address);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_failed(REASON_NO_MEMORY, false, &address, "connect to %: too many open files");
    ck_assert(run.result.no_route);
}
END_TEST

/* ---- CONNECT ---- */

/* Passes when the request is what it must be. */
static void script_ask(int fd, void *data)
{
    char buf[4096];
    if (peer_read_head(fd, buf, sizeof buf) &&
        strncmp(buf, "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\n", 56) == 0)
        peer_write(fd, data);
    else
        peer_write(fd, "HTTP/1.1 400 Not The Request\r\n\r\n");
    peer_drain(fd);
}

static void dial_plain_proxy(peer_script *script, const void *data, struct peer *ret_peer)
{
    ck_assert(peer_start(ret_peer, AF_INET, 0, script, (void *)data));
    dial_host(&ret_peer->address);
    peer_stop(ret_peer);
}

START_TEST(bytes_behind_the_answer_are_kept)
{
    struct peer peer;
    struct stream *stream;
    char buf[64];
    ck_assert(peer_start(
        &peer, AF_INET, 0, script_ask,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n\x16\x03\x03hello"));
    dial_host(&peer.address);
    check_up();
    ck_assert_int_eq(run.result.http_status, 200);
    stream = dial_take_stream(run.dial);
    ck_assert_int_eq(stream_shutdown_write(stream), STREAM_OK);
    read_text(stream, buf, sizeof buf);
    ck_assert_str_eq(buf, "\x16\x03\x03hello");
    stream_free(stream, false);
    peer_stop(&peer);
}
END_TEST

static const struct {
    const char *answer, *detail;
    int status;
} refusals[] = {
    {"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy answered 403 Forbidden", 403},
    {"HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nbody",
     "proxy answered 407 Proxy Authentication Required", 407},
    {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "proxy answered 502 Bad Gateway", 502},
    {"HTTP/1.1 503 \r\n\r\n", "proxy answered 503", 503},
    {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "proxy answered 302 Found", 302},
};

START_TEST(refusal_names_the_status)
{
    struct peer peer;
    dial_plain_proxy(script_ask, refusals[_i].answer, &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, refusals[_i].detail);
    ck_assert_int_eq(run.result.http_status, refusals[_i].status);
}
END_TEST

START_TEST(garbage_is_not_http)
{
    struct peer peer;
    dial_plain_proxy(script_ask, "SSH-2.0-OpenSSH_9.2p1\r\n", &peer);
    check_failed(REASON_PROXY_GARBAGE, false, &peer.address, "answer of % to CONNECT is not HTTP");
}
END_TEST

static void script_endless(int fd, void *data)
{
    char buf[4096];
    int i;
    if (!peer_read_head(fd, buf, sizeof buf))
        return;
    peer_write(fd, "HTTP/1.1 200 OK\r\n");
    for (i = 0; i < 32768; i++)
        peer_write(fd, "X-Padding: 0123456789abcdef012\r\n");
    peer_drain(fd);
}

START_TEST(header_without_an_end_is_refused)
{
    struct peer peer;
    dial_plain_proxy(script_endless, NULL, &peer);
    check_failed(REASON_PROXY_HEADER, false, &peer.address,
                 "header of the answer of % to CONNECT is larger than 16384 bytes");
}
END_TEST

static void script_close(int fd, void *data)
{
    char buf[4096];
    if (peer_read_head(fd, buf, sizeof buf) && data)
        peer_write(fd, data);
}

static void script_reset(int fd, void *data)
{
    script_close(fd, data);
    peer_reset_at_close(fd);
}

START_TEST(close_instead_of_an_answer)
{
    struct peer peer;
    dial_plain_proxy(script_close, NULL, &peer);
    check_failed(REASON_PROXY_CLOSED, false, &peer.address, "% closed the connection instead of an answer to CONNECT");
}
END_TEST

START_TEST(close_in_the_middle_of_an_answer)
{
    struct peer peer;
    dial_plain_proxy(script_close, "HTTP/1.1 200 OK\r\nX-Ha", &peer);
    check_failed(REASON_PROXY_CLOSED, false, &peer.address,
                 "% closed the connection in the middle of its answer to CONNECT");
}
END_TEST

START_TEST(reset_in_the_middle_of_an_answer)
{
    struct peer peer;
    dial_plain_proxy(script_reset, "HTTP/1.1 200 OK\r\nX-Ha", &peer);
    ck_assert(!run.result.up);
    ck_assert_int_eq(run.result.reason, REASON_PROXY_CLOSED);
    ck_assert(!run.result.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.result.detail, " reset the connection "));
}
END_TEST

START_TEST(no_answer_ends_at_its_limit)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    dial(&(struct dial_request){.address = peer.address, .host = "www.example", .port = 443, .answer_ms = 100});
    check_failed(REASON_PROXY_TIMEOUT, false, &peer.address, "% did not answer CONNECT within 0.1 s");
    peer_stop(&peer);
}
END_TEST

START_TEST(early_answer_of_a_proxy_that_does_not_read)
{
    struct peer peer;
    dial_plain_proxy(script_reset, "HTTP/1.1 403 Forbidden\r\n\r\n", &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, "proxy answered 403 Forbidden");
}
END_TEST

START_TEST(host_that_is_none_is_not_sent)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    dial(&(struct dial_request){.address = peer.address, .host = "a b\r\nX: y", .port = 443});
    ck_assert(!run.result.up);
    ck_assert(!run.result.proxy_at_fault);
    ck_assert_int_eq(run.result.reason, REASON_PROXY_ERROR);
    peer_stop(&peer);
}
END_TEST

static void script_ping(int fd, void *data)
{
    char buf[4096];
    if (peer_read_head(fd, buf, sizeof buf) && strncmp(buf, "OPTIONS * HTTP/1.1\r\n", 20) == 0)
        peer_write(fd, data);
    peer_drain(fd);
}

START_TEST(any_status_answers_a_ping)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_ping, "HTTP/1.1 501 Not Implemented\r\n\r\n"));
    dial(&(struct dial_request){.address = peer.address, .host = "gw.example", .ping = true});
    check_up();
    ck_assert_int_eq(run.result.http_status, 501);
    peer_stop(&peer);
}
END_TEST

START_TEST(connection_that_is_there_is_used)
{
    struct peer peer;
    struct stream *stream;
    ck_assert(peer_start(&peer, AF_INET, 0, script_ask, "HTTP/1.1 200 OK\r\n\r\n"));
    dial(&(struct dial_request){.address = peer.address});
    check_up();
    stream = dial_take_stream(run.dial);
    dial_free(run.dial);
    dial(&(struct dial_request){.address = peer.address, .below = stream, .host = "www.example", .port = 443});
    check_up();
    ck_assert_uint_eq(*peer.accepted, 1);
    peer_stop(&peer);
}
END_TEST

/* ---- the end of a dial ---- */

START_TEST(no_callback_after_free)
{
    struct peer peer;
    struct addr refusing = peer_refusing(), silent = peer_silent();
    const struct addr *addresses[] = {&refusing, &silent, &peer.address};
    size_t i;
    ck_assert(peer_start(&peer, AF_INET, 0, script_ask, "HTTP/1.1 200 OK\r\n\r\n"));
    for (i = 0; i < 3; i++) {
        dial_begin(&(struct dial_request){.address = *addresses[i], .host = "www.example", .port = 443});
        dial_free(run.dial);
    }
    run.dial = NULL;
    run_loop(0.1);
    ck_assert(!run.called);
    peer_stop(&peer);
}
END_TEST

START_TEST(dial_may_go_in_its_callback)
{
    struct peer peer;
    struct addr address = peer_refusing();
    run.free_in_callback = true;
    dial_host(&address);
    ck_assert(!run.result.up);
    dial_plain_proxy(script_ask, "HTTP/1.1 200 OK\r\n\r\n", &peer);
    check_up();
}
END_TEST

static void script_await_reset(int fd, void *data)
{
    char byte;
    /* The pipe's reader learns whether it was RST. */
    byte = recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET ? 'R' : 'F';
    ck_assert_int_eq(write(*(int *)data, &byte, 1), 1);
}

START_TEST(abandoned_connection_is_reset)
{
    struct peer peer;
    int fds[2];
    char byte = 0;
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert(peer_start(&peer, AF_INET, 0, script_await_reset, &fds[1]));
    dial(&(struct dial_request){.address = peer.address});
    check_up();
    dial_free(run.dial);
    run.dial = NULL;
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'R');
    peer_stop(&peer);
}
END_TEST

/* ---- TLS ---- */

static struct tls_context *make_context(const char *client)
{
    char error[TLS_TEXT_MAX], certificate[64], key[64];
    snprintf(certificate, sizeof certificate, "%s.pem", client);
    snprintf(key, sizeof key, "%s.key", client);
    run.conf->ca_paths[0] = (char *)peer_pki("ca.pem");
    run.conf->n_ca_paths = 1;
    run.conf->certificate = (char *)peer_pki(certificate);
    run.conf->private_key = (char *)peer_pki(key);
    ck_assert_msg(tls_context_new(run.conf, error, &run.context) == 0, "%s", error);
    return run.context;
}

struct tls_script {
    struct peer_tls tls;
    const char *answer; /* NULL: none */
    bool reset;
};

static void script_tls(int fd, void *data)
{
    const struct tls_script *script = data;
    struct peer_channel *channel = peer_tls_accept(fd, NULL, &script->tls);
    char buf[4096];
    if (channel && script->answer && peer_tls_read_head(channel, buf, sizeof buf)) {
        peer_tls_write(channel, script->answer);
        peer_tls_drain(channel);
    }
    if (script->reset)
        peer_reset_at_close(fd);
}

static struct peer_tls good_server(void)
{
    return (struct peer_tls){
        .certificate = peer_pki("server.pem"), .key = peer_pki("server.key"), .client_ca = peer_pki("ca.pem")};
}

static void dial_tls_proxy(const char *client, const struct tls_script *script, struct peer *ret_peer)
{
    struct tls_context *context = make_context(client);
    ck_assert(peer_start(ret_peer, AF_INET, 0, script_tls, (void *)script));
    dial(&(struct dial_request){
        .address = ret_peer->address, .tls = context, .tls_name = "gw.example", .host = "www.example", .port = 443});
    if (!run.result.up)
        peer_stop(ret_peer);
}

static void check_channel(bool tls12, const char *version)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 200 OK\r\n\r\nbehind"};
    struct peer peer;
    struct stream *stream;
    char buf[7];
    script.tls.tls12 = tls12;
    dial_tls_proxy("client", &script, &peer);
    check_up();
    ck_assert_str_eq(run.tls.version, version);
    ck_assert_str_ne(run.tls.cipher, "");
    ck_assert(run.tls.server_expires > 1800000000);
    ck_assert(run.tls.client_expires > 1800000000);
    stream = dial_take_stream(run.dial);
    read_text(stream, buf, sizeof buf);
    ck_assert_str_eq(buf, "behind");
    stream_free(stream, false);
    peer_stop(&peer);
}

START_TEST(channel_of_tls13_is_up)
{
    check_channel(false, "TLSv1.3");
}
END_TEST

START_TEST(channel_of_tls12_is_up)
{
    check_channel(true, "TLSv1.2");
}
END_TEST

static const char *const bad_servers[] = {"wrong-name", "expired", "wrong-issuer"};

START_TEST(server_that_must_not_be_trusted)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 200 OK\r\n\r\n"};
    struct peer peer;
    char name[64];
    snprintf(name, sizeof name, "%s.pem", bad_servers[_i]);
    script.tls.certificate = peer_pki(name);
    snprintf(name, sizeof name, "%s.key", bad_servers[_i]);
    script.tls.key = peer_pki(name);
    dial_tls_proxy("client", &script, &peer);
    ck_assert(!run.result.up);
    ck_assert_msg(run.result.reason == REASON_AUTH_FAILED, "%s", run.result.detail);
    ck_assert(run.result.proxy_at_fault);
}
END_TEST

static void check_client_refused(bool tls12)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 200 OK\r\n\r\n"};
    struct peer peer;
    script.tls.tls12 = tls12;
    dial_tls_proxy("client-wrong-issuer", &script, &peer);
    ck_assert(!run.result.up);
    ck_assert_msg(run.result.reason == REASON_AUTH_FAILED, "%s", run.result.detail);
    ck_assert(run.result.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.result.detail, "server rejected the client certificate (alert "));
}

START_TEST(client_certificate_refused_in_tls13)
{
    check_client_refused(false);
}
END_TEST

START_TEST(client_certificate_refused_in_tls12)
{
    check_client_refused(true);
}
END_TEST

/* Whether the end came before or after the request was written decides between "closed" and "reset". */
static void check_suspect(const char *client, const struct tls_script *script)
{
    struct peer peer;
    dial_tls_proxy(client, script, &peer);
    ck_assert(!run.result.up);
    ck_assert_msg(run.result.reason == REASON_PROXY_CLOSED, "%s", run.result.detail);
    ck_assert(run.result.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.result.detail,
                                 " the connection after the handshake without an alert; it may refuse "
                                 "the client certificate"));
}

START_TEST(close_after_the_handshake_is_suspect)
{
    struct tls_script script = {.tls = good_server()};
    check_suspect("client", &script);
}
END_TEST

START_TEST(reset_after_the_handshake_is_suspect)
{
    struct tls_script script = {.tls = good_server(), .reset = true};
    check_suspect("client", &script);
}
END_TEST

START_TEST(refusal_without_an_alert_is_suspect)
{
    struct tls_script script = {.tls = good_server()};
    script.tls.mute = true;
    check_suspect("client-wrong-issuer", &script);
}
END_TEST

START_TEST(refusals_through_the_channel_are_not_its_fault)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 403 Forbidden\r\n\r\n"};
    struct peer peer;
    dial_tls_proxy("client", &script, &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, "proxy answered 403 Forbidden");
}
END_TEST

START_TEST(half_an_answer_through_the_channel)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 20"};
    struct peer peer;
    struct tls_context *context = make_context("client");
    ck_assert(peer_start(&peer, AF_INET, 0, script_tls, &script));
    dial(&(struct dial_request){.address = peer.address,
                                .tls = context,
                                .tls_name = "gw.example",
                                .host = "www.example",
                                .port = 443,
                                .answer_ms = 200});
    check_failed(REASON_PROXY_TIMEOUT, false, &peer.address, "% did not answer CONNECT within 0.2 s");
    peer_stop(&peer);
}
END_TEST

static void script_http(int fd, void *data)
{
    peer_write(fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThis is not a TLS port, as it seems.\r\n");
}

static void dial_handshake(peer_script *script, struct peer *ret_peer)
{
    struct tls_context *context = make_context("client");
    ck_assert(peer_start(ret_peer, AF_INET, 0, script, NULL));
    dial(&(struct dial_request){.address = ret_peer->address, .tls = context, .tls_name = "gw.example"});
    peer_stop(ret_peer);
}

START_TEST(port_that_does_not_speak_tls)
{
    struct peer peer;
    dial_handshake(script_http, &peer);
    ck_assert(!run.result.up);
    ck_assert_msg(run.result.reason == REASON_TLS_FAILED, "%s", run.result.detail);
    ck_assert(run.result.proxy_at_fault);
}
END_TEST

/* The connection was there and is gone before the loop looks: the port is open, which a verdict depends on. */
static void dial_reset_at_once(const struct dial_request *request)
{
    struct dial_request whole = *request;
    int listener = peer_listen(&whole.address), fd;
    dial_begin(&whole);
    fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    peer_reset_at_close(fd);
    close(fd);
    close(listener);
    run_loop(peer_patience(GUARD_S));
    ck_assert_msg(run.called, "the dial did not end");
}

START_TEST(port_that_resets_at_once_is_open)
{
    dial_reset_at_once(&(struct dial_request){0});
    check_up();
}
END_TEST

START_TEST(reset_at_once_is_a_failed_handshake)
{
    dial_reset_at_once(&(struct dial_request){.tls = make_context("client"), .tls_name = "gw.example"});
    ck_assert(!run.result.up);
    ck_assert_msg(run.result.reason == REASON_TLS_FAILED, "%s", run.result.detail);
    ck_assert(run.result.proxy_at_fault);
}
END_TEST

START_TEST(handshake_ends_at_its_limit)
{
    struct peer peer;
    run.conf->handshake_timeout_ms = 100;
    dial_handshake(script_drain, &peer);
    check_failed(REASON_TLS_TIMEOUT, true, &peer.address, "TLS handshake with %: not finished within 0.1 s");
}
END_TEST

START_TEST(listening_before_speaking)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct tls_context *context = make_context("client");
    struct peer peer;
    ev_tstamp before = ev_time();
    ck_assert(peer_start(&peer, AF_INET, 0, script_tls, &script));
    dial(&(struct dial_request){.address = peer.address,
                                .tls = context,
                                .tls_name = "gw.example",
                                .host = "gw.example",
                                .ping = true,
                                .listen_ms = 150});
    check_up();
    ck_assert_int_eq(run.result.http_status, 204);
    ck_assert_double_ge(ev_time() - before, 0.14);
    dial_free(run.dial);
    run.dial = NULL;
    peer_stop(&peer);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("dial");
    TCase *plain = tcase_create("plain"), *tls = tcase_create("tls");
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, tcp_alone_is_up);
    tcase_add_test(plain, tcp_over_ipv6_is_up);
    tcase_add_test(plain, refused_connection_is_the_proxys_fault);
    tcase_add_test(plain, silent_address_ends_at_connect_timeout);
    tcase_add_test(plain, missing_route_is_told_apart);
    tcase_add_test(plain, missing_descriptor_is_not_the_proxys_fault);
    tcase_add_test(plain, bytes_behind_the_answer_are_kept);
    tcase_add_loop_test(plain, refusal_names_the_status, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(plain, garbage_is_not_http);
    tcase_add_test(plain, header_without_an_end_is_refused);
    tcase_add_test(plain, close_instead_of_an_answer);
    tcase_add_test(plain, close_in_the_middle_of_an_answer);
    tcase_add_test(plain, reset_in_the_middle_of_an_answer);
    tcase_add_test(plain, no_answer_ends_at_its_limit);
    tcase_add_test(plain, early_answer_of_a_proxy_that_does_not_read);
    tcase_add_test(plain, host_that_is_none_is_not_sent);
    tcase_add_test(plain, any_status_answers_a_ping);
    tcase_add_test(plain, connection_that_is_there_is_used);
    tcase_add_test(plain, no_callback_after_free);
    tcase_add_test(plain, dial_may_go_in_its_callback);
    tcase_add_test(plain, abandoned_connection_is_reset);
    suite_add_tcase(s, plain);

    tcase_add_checked_fixture(tls, setup, teardown);
    tcase_set_timeout(tls, 60);
    tcase_add_test(tls, channel_of_tls13_is_up);
    tcase_add_test(tls, channel_of_tls12_is_up);
    tcase_add_loop_test(tls, server_that_must_not_be_trusted, 0, 3);
    tcase_add_test(tls, client_certificate_refused_in_tls13);
    tcase_add_test(tls, client_certificate_refused_in_tls12);
    tcase_add_test(tls, close_after_the_handshake_is_suspect);
    tcase_add_test(tls, reset_after_the_handshake_is_suspect);
    tcase_add_test(tls, refusal_without_an_alert_is_suspect);
    tcase_add_test(tls, refusals_through_the_channel_are_not_its_fault);
    tcase_add_test(tls, half_an_answer_through_the_channel);
    tcase_add_test(tls, port_that_does_not_speak_tls);
    tcase_add_test(plain, port_that_resets_at_once_is_open);
    tcase_add_test(tls, reset_at_once_is_a_failed_handshake);
    tcase_add_test(tls, handshake_ends_at_its_limit);
    tcase_add_test(tls, listening_before_speaking);
    suite_add_tcase(s, tls);
    return s;
}

int main(void)
{
    SRunner *runner;
    int failed;
    peer_make_pki();
    runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    peer_remove_pki();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
