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

/* ---- TCP ---- */

static void link_to(const struct addr *address)
{
    run_link(&(struct link_request){.address = *address});
}

static void check_tcp_only(int family)
{
    struct peer peer;
    if (!peer_start(&peer, family, 0, script_drain, NULL))
        return;
    run_link(&(struct link_request){.address = peer.address});
    check_up();
    ck_assert_int_eq(run.http_status, 0);
    ck_assert_str_eq(run.tls.version, "");
    stream_free(run_take_stream(), false);
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
    link_to(&address);
    check_failed(REASON_CONNECT_FAILED, true, &address, "connect to %: connection refused");
    ck_assert(!run.failure.no_route);
    ck_assert_double_lt(ev_time() - before, peer_patience(1.));
}
END_TEST

START_TEST(silent_address_ends_at_connect_timeout)
{
    struct addr address = peer_silent();
    run.conf->connect_timeout_ms = 100;
    link_to(&address);
    check_failed(REASON_CONNECT_TIMEOUT, true, &address, "connect to %: no answer within 0.1 s");
}
END_TEST

START_TEST(missing_route_is_told_apart)
{
    struct addr address;
    if (!peer_leave_network())
        return;
    ck_assert(addr_parse("192.0.2.1", 8081, &address));
    link_to(&address);
    check_failed(REASON_CONNECT_FAILED, true, &address, "connect to %: network is unreachable");
    ck_assert(run.failure.no_route);
}
END_TEST

START_TEST(missing_descriptor_is_not_the_proxys_fault)
{
    struct rlimit limit = {0, 0};
    struct addr address = peer_refusing();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    link_to(&address);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    check_failed(REASON_NO_MEMORY, false, &address, "connect to %: too many open files");
    ck_assert(run.failure.no_route);
}
END_TEST

/* ---- the end of a link ---- */

START_TEST(no_callback_after_free)
{
    struct peer peer;
    struct addr refusing = peer_refusing(), silent = peer_silent();
    const struct addr *addresses[] = {&refusing, &silent, &peer.address};
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    for (size_t i = 0; i < 3; i++) {
        run_begin_link(&(struct link_request){.address = *addresses[i]}, NULL);
        run_free();
    }
    run_loop(0.1);
    ck_assert(!run.called);
    peer_stop(&peer);
}
END_TEST

START_TEST(link_may_go_in_its_callback)
{
    struct peer peer;
    struct addr address = peer_refusing();
    run.free_in_callback = true;
    link_to(&address);
    ck_assert(!run.up);
    ck_assert(peer_start(&peer, AF_INET, 0, script_drain, NULL));
    link_to(&peer.address);
    check_up();
    peer_stop(&peer);
}
END_TEST

static void script_greet(int fd, void *data)
{
    peer_write(fd, "hello");
    peer_drain(fd);
}

START_TEST(connection_that_is_there_is_used)
{
    struct peer peer;
    struct stream *stream;
    char buf[6];
    ck_assert(peer_start(&peer, AF_INET, 0, script_greet, NULL));
    link_to(&peer.address);
    check_up();
    stream = run_take_stream();
    run_free();
    run_begin_link(&(struct link_request){.address = peer.address}, stream);
    run_to_the_end();
    check_up();
    ck_assert_ptr_eq(link_stream(run.link), stream);
    read_text(stream, buf, sizeof buf);
    ck_assert_str_eq(buf, "hello");
    ck_assert_uint_eq(*peer.accepted, 1);
    peer_stop(&peer);
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
    run_link(&(struct link_request){.address = peer.address});
    check_up();
    run_free();
    ck_assert_int_eq(read(fds[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'R');
    peer_stop(&peer);
}
END_TEST

/* ---- TLS ---- */

static void script_http(int fd, void *data)
{
    peer_write(fd, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThis is not a TLS port, as it seems.\r\n");
}

static void link_handshake(peer_script *script, const void *data, struct peer *ret_peer)
{
    struct tls_context *context = make_context("client");
    ck_assert(peer_start(ret_peer, AF_INET, 0, script, data));
    run_link(&(struct link_request){.address = ret_peer->address, .tls = context, .tls_name = "gw.example"});
    peer_stop(ret_peer);
}

static const char *const bad_servers[] = {"wrong-name", "expired", "wrong-issuer"};

START_TEST(server_that_must_not_be_trusted)
{
    struct tls_script script = {.tls = good_server()};
    struct peer peer;
    char name[64];
    snprintf(name, sizeof name, "%s.pem", bad_servers[_i]);
    script.tls.certificate = peer_pki(name);
    snprintf(name, sizeof name, "%s.key", bad_servers[_i]);
    script.tls.key = peer_pki(name);
    link_handshake(script_tls, &script, &peer);
    ck_assert(!run.up);
    ck_assert_msg(run.failure.reason == REASON_AUTH_FAILED, "%s", run.failure.detail);
    ck_assert(run.failure.proxy_at_fault);
}
END_TEST

START_TEST(port_that_does_not_speak_tls)
{
    struct peer peer;
    link_handshake(script_http, NULL, &peer);
    ck_assert(!run.up);
    ck_assert_msg(run.failure.reason == REASON_TLS_FAILED, "%s", run.failure.detail);
    ck_assert(run.failure.proxy_at_fault);
}
END_TEST

/* The connection was there and is gone before the loop looks: the port is open, which a verdict depends on. */
static void link_reset_at_once(const struct link_request *request)
{
    struct link_request whole = *request;
    int listener = peer_listen(&whole.address), fd;
    run_begin_link(&whole, NULL);
    fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    peer_reset_at_close(fd);
    close(fd);
    close(listener);
    run_to_the_end();
}

START_TEST(port_that_resets_at_once_is_open)
{
    link_reset_at_once(&(struct link_request){0});
    check_up();
}
END_TEST

START_TEST(reset_at_once_is_a_failed_handshake)
{
    link_reset_at_once(&(struct link_request){.tls = make_context("client"), .tls_name = "gw.example"});
    ck_assert(!run.up);
    ck_assert_msg(run.failure.reason == REASON_TLS_FAILED, "%s", run.failure.detail);
    ck_assert(run.failure.proxy_at_fault);
}
END_TEST

START_TEST(handshake_ends_at_its_limit)
{
    struct peer peer;
    run.conf->handshake_timeout_ms = 100;
    link_handshake(script_drain, NULL, &peer);
    check_failed(REASON_TLS_TIMEOUT, true, &peer.address, "TLS handshake with %: not finished within 0.1 s");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("link");
    TCase *plain = tcase_create("plain"), *tls = tcase_create("tls");
    tcase_add_checked_fixture(plain, run_setup, run_teardown);
    tcase_set_timeout(plain, 60);
    tcase_add_test(plain, tcp_alone_is_up);
    tcase_add_test(plain, tcp_over_ipv6_is_up);
    tcase_add_test(plain, refused_connection_is_the_proxys_fault);
    tcase_add_test(plain, silent_address_ends_at_connect_timeout);
    tcase_add_test(plain, missing_route_is_told_apart);
    tcase_add_test(plain, missing_descriptor_is_not_the_proxys_fault);
    tcase_add_test(plain, no_callback_after_free);
    tcase_add_test(plain, link_may_go_in_its_callback);
    tcase_add_test(plain, connection_that_is_there_is_used);
    tcase_add_test(plain, abandoned_connection_is_reset);
    suite_add_tcase(s, plain);

    tcase_add_checked_fixture(tls, run_setup, run_teardown);
    tcase_set_timeout(tls, 60);
    tcase_add_loop_test(tls, server_that_must_not_be_trusted, 0, 3);
    tcase_add_test(tls, port_that_does_not_speak_tls);
    tcase_add_test(tls, port_that_resets_at_once_is_open);
    tcase_add_test(tls, reset_at_once_is_a_failed_handshake);
    tcase_add_test(tls, handshake_ends_at_its_limit);
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
