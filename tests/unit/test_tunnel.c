/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "link_run.h"
#include "under_filter.h"

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

static const struct tunnel_request www = {.host = "www.example", .port = 443};

static void ask_plain_proxy(peer_script *script, const void *data, struct peer *ret_peer)
{
    ck_assert(peer_start(ret_peer, AF_INET, 0, script, (void *)data));
    run_tunnel(&(struct link_request){.address = ret_peer->address}, &www);
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
    run_tunnel(&(struct link_request){.address = peer.address}, &www);
    check_up();
    ck_assert_int_eq(run.http_status, 200);
    stream = run_take_stream();
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
    enum cause cause;
} refusals[] = {
    {"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy answered 403 Forbidden", 403, CAUSE_PROXY_REFUSED},
    {"HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nbody",
     "proxy answered 407 Proxy Authentication Required; it offers Basic", 407, CAUSE_PROXY_AUTHENTICATION},
    {"HTTP/1.1 407 No\r\n\r\n", "proxy answered 407 No", 407, CAUSE_PROXY_AUTHENTICATION},
    {"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\n\r\n", "proxy answered 407 No; it offers Negotiate", 407,
     CAUSE_PROXY_AUTHENTICATION_SCHEME},
    {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "proxy answered 502 Bad Gateway", 502,
     CAUSE_PROXY_REFUSED},
    {"HTTP/1.1 503 \r\n\r\n", "proxy answered 503", 503, CAUSE_PROXY_REFUSED},
    {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "proxy answered 302 Found", 302, CAUSE_PROXY_REDIRECT},
    {"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n",
     "proxy answered 302 Found, a redirect to login.example", 302, CAUSE_PROXY_REDIRECT},
    {"HTTP/1.1 511 Login\r\n\r\n", "proxy answered 511 Login", 511, CAUSE_PROXY_REDIRECT},
};

START_TEST(refusal_names_the_status)
{
    struct peer peer;
    ask_plain_proxy(script_ask, refusals[_i].answer, &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, refusals[_i].detail);
    ck_assert_int_eq(run.http_status, refusals[_i].status);
    ck_assert_int_eq(run.failure.cause, refusals[_i].cause);
}
END_TEST

START_TEST(garbage_is_not_http)
{
    struct peer peer;
    ask_plain_proxy(script_ask, "SSH-2.0-OpenSSH_9.2p1\r\n", &peer);
    check_failed(REASON_PROXY_GARBAGE, false, &peer.address, "answer of % to CONNECT is not HTTP");
}
END_TEST

static void script_odd(int fd, void *data)
{
    char buf[4096];
    if (!peer_read_head(fd, buf, sizeof buf))
        return;
    peer_write(fd, "HTTP/1.1 200 OK\r\nX Served By : a\r\nnonsense\r\nContent-Security-Policy: ");
    for (int i = 0; i < 600; i++)
        peer_write(fd, "script-src https://0123456.cdn");
    peer_write(fd, "\r\n\r\n");
    peer_drain(fd);
}

/* As curl does: a field of 18 KB, a blank in a name, a line that is no field. */
START_TEST(fields_that_are_only_skipped_are_not_judged)
{
    struct peer peer;
    ask_plain_proxy(script_odd, NULL, &peer);
    check_up();
    ck_assert_int_eq(run.http_status, 200);
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
    ask_plain_proxy(script_endless, NULL, &peer);
    check_failed(REASON_PROXY_HEADER, false, &peer.address,
                 "header of the answer of % to CONNECT is larger than 65536 bytes");
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
    ask_plain_proxy(script_close, NULL, &peer);
    check_failed(REASON_PROXY_CLOSED, false, &peer.address, "% closed the connection instead of an answer to CONNECT");
}
END_TEST

START_TEST(close_in_the_middle_of_an_answer)
{
    struct peer peer;
    ask_plain_proxy(script_close, "HTTP/1.1 200 OK\r\nX-Ha", &peer);
    check_failed(REASON_PROXY_CLOSED, false, &peer.address,
                 "% closed the connection in the middle of its answer to CONNECT");
}
END_TEST

START_TEST(reset_in_the_middle_of_an_answer)
{
    struct peer peer;
    ask_plain_proxy(script_reset, "HTTP/1.1 200 OK\r\nX-Ha", &peer);
    ck_assert(!run.up);
    ck_assert_int_eq(run.failure.reason, REASON_PROXY_CLOSED);
    ck_assert(!run.failure.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.failure.detail, " reset the connection "));
}
END_TEST

START_TEST(no_answer_ends_at_its_limit)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    run_tunnel(&(struct link_request){.address = peer.address},
               &(struct tunnel_request){.host = "www.example", .port = 443, .answer_ms = 100});
    check_failed(REASON_PROXY_TIMEOUT, false, &peer.address, "% did not answer CONNECT within 0.1 s");
    peer_stop(&peer);
}
END_TEST

START_TEST(early_answer_of_a_proxy_that_does_not_read)
{
    struct peer peer;
    ask_plain_proxy(script_reset, "HTTP/1.1 403 Forbidden\r\n\r\n", &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, "proxy answered 403 Forbidden");
}
END_TEST

START_TEST(host_that_is_none_is_not_sent)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    run_tunnel(&(struct link_request){.address = peer.address},
               &(struct tunnel_request){.host = "a b\r\nX: y", .port = 443});
    ck_assert(!run.up);
    ck_assert(!run.failure.proxy_at_fault);
    ck_assert_int_eq(run.failure.reason, REASON_PROXY_ERROR);
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
    run_tunnel(&(struct link_request){.address = peer.address},
               &(struct tunnel_request){.host = "gw.example", .ping = true});
    check_up();
    ck_assert_int_eq(run.http_status, 501);
    peer_stop(&peer);
}
END_TEST

/* ---- the end of a tunnel ---- */

/* The link comes up, and the tunnel goes before it could ask; or while it waits for the answer. */
START_TEST(no_callback_after_free)
{
    struct peer peer;
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    run_link(&(struct link_request){.address = peer.address});
    check_up();
    run.called = false;
    run.question = &www;
    run_ask();
    if (_i)
        run_loop(0.1);
    run_free();
    run_loop(0.1);
    ck_assert(!run.called);
    peer_stop(&peer);
}
END_TEST

START_TEST(tunnel_may_go_in_its_callback)
{
    struct peer peer;
    run.free_in_callback = true;
    ask_plain_proxy(script_ask, "HTTP/1.1 403 Forbidden\r\n\r\n", &peer);
    ck_assert(!run.up);
    ask_plain_proxy(script_ask, "HTTP/1.1 200 OK\r\n\r\n", &peer);
    check_up();
}
END_TEST

/* ---- through TLS ---- */

static void ask_tls_proxy(const char *client, const struct tls_script *script, struct peer *ret_peer)
{
    struct tls_context *context = make_context(client);
    ck_assert(peer_start(ret_peer, AF_INET, 0, script_tls, (void *)script));
    run_tunnel(&(struct link_request){.address = ret_peer->address, .tls = context, .tls_name = "gw.example"}, &www);
    if (!run.up)
        peer_stop(ret_peer);
}

static void check_channel(bool tls12, const char *version)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 200 OK\r\n\r\nbehind"};
    struct peer peer;
    struct stream *stream;
    char buf[7];
    script.tls.tls12 = tls12;
    ask_tls_proxy("client", &script, &peer);
    check_up();
    ck_assert_str_eq(run.tls.version, version);
    ck_assert_str_ne(run.tls.cipher, "");
    ck_assert(run.tls.server_expires > 1800000000);
    ck_assert(run.tls.client_expires > 1800000000);
    stream = run_take_stream();
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

static void check_client_refused(bool tls12)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 200 OK\r\n\r\n"};
    struct peer peer;
    script.tls.tls12 = tls12;
    ask_tls_proxy("client-wrong-issuer", &script, &peer);
    ck_assert(!run.up);
    ck_assert_msg(run.failure.reason == REASON_AUTH_FAILED, "%s", run.failure.detail);
    ck_assert(run.failure.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.failure.detail, "server rejected the client certificate (alert "));
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
    ask_tls_proxy(client, script, &peer);
    ck_assert(!run.up);
    ck_assert_msg(run.failure.reason == REASON_PROXY_CLOSED, "%s", run.failure.detail);
    ck_assert(run.failure.proxy_at_fault);
    ck_assert_ptr_nonnull(strstr(run.failure.detail,
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
    ask_tls_proxy("client", &script, &peer);
    check_failed(REASON_PROXY_REFUSED, false, &peer.address, "proxy answered 403 Forbidden");
}
END_TEST

START_TEST(half_an_answer_through_the_channel)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 20"};
    struct peer peer;
    struct tls_context *context = make_context("client");
    ck_assert(peer_start(&peer, AF_INET, 0, script_tls, &script));
    run_tunnel(&(struct link_request){.address = peer.address, .tls = context, .tls_name = "gw.example"},
               &(struct tunnel_request){.host = "www.example", .port = 443, .answer_ms = 200});
    check_failed(REASON_PROXY_TIMEOUT, false, &peer.address, "% did not answer CONNECT within 0.2 s");
    peer_stop(&peer);
}
END_TEST

START_TEST(listening_before_speaking)
{
    struct tls_script script = {.tls = good_server(), .answer = "HTTP/1.1 204 No Content\r\n\r\n"};
    struct tls_context *context = make_context("client");
    struct peer peer;
    ev_tstamp before = ev_time();
    ck_assert(peer_start(&peer, AF_INET, 0, script_tls, &script));
    run_tunnel(&(struct link_request){.address = peer.address, .tls = context, .tls_name = "gw.example"},
               &(struct tunnel_request){.host = "gw.example", .ping = true, .listen_ms = 150});
    check_up();
    ck_assert_int_eq(run.http_status, 204);
    ck_assert_double_ge(ev_time() - before, 0.14);
    run_free();
    peer_stop(&peer);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tunnel");
    TCase *plain = tcase_create("plain"), *tls = tcase_create("tls");
    tcase_add_checked_fixture(plain, run_setup, run_teardown);
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, bytes_behind_the_answer_are_kept);
    tcase_add_loop_test(plain, refusal_names_the_status, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(plain, garbage_is_not_http);
    tcase_add_test(plain, fields_that_are_only_skipped_are_not_judged);
    tcase_add_test(plain, header_without_an_end_is_refused);
    tcase_add_test(plain, close_instead_of_an_answer);
    tcase_add_test(plain, close_in_the_middle_of_an_answer);
    tcase_add_test(plain, reset_in_the_middle_of_an_answer);
    tcase_add_test(plain, no_answer_ends_at_its_limit);
    tcase_add_test(plain, early_answer_of_a_proxy_that_does_not_read);
    tcase_add_test(plain, host_that_is_none_is_not_sent);
    tcase_add_test(plain, any_status_answers_a_ping);
    tcase_add_loop_test(plain, no_callback_after_free, 0, 2);
    tcase_add_test(plain, tunnel_may_go_in_its_callback);
    suite_add_tcase(s, plain);

    tcase_add_checked_fixture(tls, run_setup, run_teardown);
    tcase_set_timeout(tls, 60);
    tcase_add_test(tls, channel_of_tls13_is_up);
    tcase_add_test(tls, channel_of_tls12_is_up);
    tcase_add_test(tls, client_certificate_refused_in_tls13);
    tcase_add_test(tls, client_certificate_refused_in_tls12);
    tcase_add_test(tls, close_after_the_handshake_is_suspect);
    tcase_add_test(tls, reset_after_the_handshake_is_suspect);
    tcase_add_test(tls, refusal_without_an_alert_is_suspect);
    tcase_add_test(tls, refusals_through_the_channel_are_not_its_fault);
    tcase_add_test(tls, half_an_answer_through_the_channel);
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
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    peer_remove_pki();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
