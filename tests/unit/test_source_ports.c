/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/close/source_ports.h"

#include <check.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/stream_fd.h"
#include "channel/net/tcp.h"
#include "under_filter.h"

START_TEST(the_kernel_chooses_until_many_ports_were_lost)
{
    struct source_ports ports = {.first = 20000, .count = 3};
    for (int i = 0; i < SOURCE_PORTS_LOST_MAX; i++) {
        ck_assert_uint_eq(source_ports_next(&ports, 1000.), 0);
        source_ports_note_lost(&ports, 1000.);
    }
    ck_assert_uint_eq(source_ports_next(&ports, 1001.), 20001);
    ck_assert_uint_eq(source_ports_next(&ports, 1002.), 20002);
    ck_assert_uint_eq(source_ports_next(&ports, 1003.), 20000);
    ck_assert_uint_eq(source_ports_next(&ports, 1004.), 20001);
}
END_TEST

START_TEST(the_kernel_chooses_again_when_the_ports_are_back)
{
    struct source_ports ports = {.first = 20000, .count = 3};
    for (int i = 0; i < SOURCE_PORTS_LOST_MAX; i++)
        source_ports_note_lost(&ports, 1000.);
    ck_assert_uint_ne(source_ports_next(&ports, 1059.), 0);
    ck_assert_uint_ne(source_ports_next(&ports, 1061.), 0); /* lost less than a minute before that */
    ck_assert_uint_eq(source_ports_next(&ports, 1125.), 0);
}
END_TEST

START_TEST(without_ports_the_kernel_chooses)
{
    struct source_ports ports = {0};
    for (int i = 0; i < SOURCE_PORTS_LOST_MAX; i++)
        source_ports_note_lost(&ports, 1000.);
    ck_assert_uint_eq(source_ports_next(&ports, 1001.), 0);
}
END_TEST

START_TEST(chosen_ports_are_below_the_ephemeral_ones)
{
    struct source_ports ports;
    source_ports_init(&ports);
    ck_assert(ports.count == 0 || (ports.first > 1024 && ports.first + ports.count <= 32768));
}
END_TEST

/* The client's end of one connection that the client ends first. */
static void connect_once(int listener, const struct addr *address, uint16_t port, uint16_t *ret_port)
{
    struct addr local;
    socklen_t length = sizeof local;
    struct stream *stream;
    char byte;
    ck_assert_int_eq(tcp_connect(address, port, &stream), 0);
    int server = accept(listener, NULL, NULL);
    ck_assert_int_ge(server, 0);
    ck_assert_int_eq(getsockname(stream_fd(stream), &local.sa, &length), 0);
    *ret_port = addr_port(&local);
    ck_assert_int_eq(stream_shutdown_write(stream), STREAM_OK);
    ck_assert_int_eq(recv(server, &byte, 1, 0), 0);
    close(server);
    stream_free(stream, false);
}

START_TEST(a_chosen_port_may_be_used_again_at_once)
{
    struct addr address;
    socklen_t length = sizeof address;
    uint16_t port, again;
    int listener = socket(_i ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    ck_assert(addr_parse(_i ? "::1" : "127.0.0.1", 0, &address));
    if (listener < 0 || (_i && bind(listener, &address.sa, addr_length(&address)) < 0))
        return; /* no IPv6 here */
    if (!_i)
        ck_assert_int_eq(bind(listener, &address.sa, addr_length(&address)), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, &address.sa, &length), 0);
    uint16_t wanted = (uint16_t)(21000 + getpid() % 5000);
    connect_once(listener, &address, wanted, &port);
    connect_once(listener, &address, wanted, &again);
    ck_assert_uint_eq(port, wanted);
    ck_assert_uint_eq(again, wanted);
    close(listener);
}
END_TEST

START_TEST(a_port_in_use_is_no_failure)
{
    struct addr address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct stream *streams[2];
    ck_assert(addr_parse("127.0.0.1", 0, &address));
    ck_assert_int_eq(bind(listener, &address.sa, addr_length(&address)), 0);
    ck_assert_int_eq(listen(listener, 2), 0);
    ck_assert_int_eq(getsockname(listener, &address.sa, &length), 0);
    uint16_t wanted = (uint16_t)(21000 + getpid() % 5000);
    ck_assert_int_eq(tcp_connect(&address, wanted, &streams[0]), 0);
    ck_assert_int_eq(tcp_connect(&address, wanted, &streams[1]), 0);
    stream_free(streams[0], false);
    stream_free(streams[1], false);
    close(listener);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ports");
    TCase *tcase = tcase_create("ports");
    tcase_add_test(tcase, the_kernel_chooses_until_many_ports_were_lost);
    tcase_add_test(tcase, the_kernel_chooses_again_when_the_ports_are_back);
    tcase_add_test(tcase, without_ports_the_kernel_chooses);
    tcase_add_test(tcase, chosen_ports_are_below_the_ephemeral_ones);
    tcase_add_loop_test(tcase, a_chosen_port_may_be_used_again_at_once, 0, 2);
    tcase_add_test(tcase, a_port_in_use_is_no_failure);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
