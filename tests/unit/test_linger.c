/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens to bytes that a peer has not taken when its session is over. The peers are sockets of the test, with
 * small buffers, so that much is left in ours. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/sandbox.h"
#include "base/stream_fd.h"
#include "relay/close/linger.h"
#include "under_filter.h"

#define STALLED_S   0.4
#define BUFFER_SIZE 4096

static bool no_memory;

/* The linker sends linger.c's calls here. */
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : __real_calloc(n, size);
}

static struct ev_loop *loop;
static struct lingering *lingering;

static void setup(void)
{
    loop = ev_loop_new(EVFLAG_NOENV);
    lingering = lingering_new(loop, 3, STALLED_S);
    ck_assert_ptr_nonnull(lingering);
}

static void teardown(void)
{
    lingering_free(lingering);
    ev_loop_destroy(loop);
}

struct pair {
    struct stream *ours;
    int peer;
    size_t written;
};

/* Our end is full of bytes that the peer has no room for; the peer reads nothing by itself. */
static struct pair make_pair(bool full)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ours, small = BUFFER_SIZE;
    struct pair pair = {.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    char bytes[1024];
    ssize_t n;
    ck_assert_int_eq(setsockopt(pair.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_eq(connect(pair.peer, (struct sockaddr *)&address, length), 0);
    ck_assert_int_ge(ours = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), 0);
    close(listener);
    memset(bytes, 'b', sizeof bytes);
    while (full && (n = send(ours, bytes, sizeof bytes, MSG_NOSIGNAL)) > 0)
        pair.written += (size_t)n;
    ck_assert_ptr_nonnull(pair.ours = stream_new_plain(ours));
    return pair;
}

static void run_for(double seconds)
{
    for (ev_tstamp end = ev_time() + seconds; ev_time() < end; ev_run(loop, EVRUN_ONCE))
        ;
}

static void run_until_none(void)
{
    for (ev_tstamp end = ev_time() + 20; lingering_count(lingering) > 0;) {
        ck_assert_msg(ev_time() < end, "it lingers for ever");
        ev_run(loop, EVRUN_ONCE);
    }
}

/* Reads some bytes without the loop. */
static size_t take(struct pair *pair, size_t size)
{
    char bytes[65536];
    ssize_t n = recv(pair->peer, bytes, size < sizeof bytes ? size : sizeof bytes, MSG_DONTWAIT);
    return n > 0 ? (size_t)n : 0;
}

/* Reads all in small sips while the loop runs; returns how much. *ret_error: how it ended, 0 for FIN. */
static size_t take_slowly(struct pair *pair, int *ret_error)
{
    char bytes[512];
    size_t taken = 0;
    for (ev_tstamp end = ev_time() + 60;;) {
        ssize_t n = recv(pair->peer, bytes, sizeof bytes, MSG_DONTWAIT);
        ck_assert_msg(ev_time() < end, "no end comes");
        if (n > 0)
            taken += (size_t)n;
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            *ret_error = n == 0 ? 0 : errno;
            return taken;
        }
        ev_run(loop, n < 0 && lingering_count(lingering) > 0 ? EVRUN_ONCE : EVRUN_NOWAIT);
    }
}

static void watch_error(const struct pair *pair, short events)
{
    struct pollfd poll_peer = {.fd = pair->peer, .events = POLLIN};
    ck_assert_int_eq(poll(&poll_peer, 1, 1000), 1);
    ck_assert_int_eq(poll_peer.revents & (POLLERR | POLLHUP), events);
}

START_TEST(a_reset_comes_behind_every_byte)
{
    struct pair pair = make_pair(true);
    int error;
    lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    ck_assert_uint_eq(lingering_count(lingering), 1);
    ck_assert_uint_eq(take_slowly(&pair, &error), pair.written);
    ck_assert_int_eq(error, ECONNRESET);
    ck_assert_uint_eq(lingering_count(lingering), 0);
    ck_assert_uint_eq(lingering_lost(lingering), 0);
    close(pair.peer);
}
END_TEST

START_TEST(a_reset_comes_at_once_when_all_is_delivered)
{
    struct pair pair = make_pair(false);
    lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    ck_assert_uint_eq(lingering_count(lingering), 0);
    watch_error(&pair, POLLERR | POLLHUP);
    close(pair.peer);
}
END_TEST

START_TEST(a_peer_that_takes_some_now_and_then_is_waited_for)
{
    struct pair pair = make_pair(true);
    lingering_add(lingering, pair.ours, _i == 0 ? LINGER_THEN_RESET : LINGER_FOR_END);
    for (int i = 0; i < 6; i++) {
        run_for(STALLED_S / 2);
        ck_assert_uint_gt(take(&pair, 3 * BUFFER_SIZE), 0);
        ck_assert_uint_eq(lingering_count(lingering), 1);
    }
    ck_assert_uint_eq(lingering_lost(lingering), 0);
    close(pair.peer);
    run_until_none();
}
END_TEST

START_TEST(a_peer_that_takes_nothing_is_given_up)
{
    struct pair pair = make_pair(true);
    int error;
    size_t taken;
    ev_tstamp begin = ev_time();
    lingering_add(lingering, pair.ours, _i == 0 ? LINGER_THEN_RESET : LINGER_FOR_END);
    run_until_none();
    ck_assert(ev_time() - begin >= STALLED_S);
    ck_assert_uint_eq(lingering_lost(lingering), 1);
    taken = take_slowly(&pair, &error);
    ck_assert_uint_lt(taken, pair.written);
    ck_assert_int_eq(error, ECONNRESET);
    close(pair.peer);
}
END_TEST

/* The kernel goes on counting what it can no longer deliver. */
START_TEST(a_peer_that_is_gone_is_not_waited_for)
{
    struct pair pair = make_pair(true);
    const struct linger now = {.l_onoff = 1};
    ev_tstamp begin = ev_time();
    lingering_free(lingering);
    lingering = lingering_new(loop, 3, 1000.);
    if (_i == 0)
        lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    ck_assert_int_eq(setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(pair.peer);
    if (_i == 1)
        lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    run_until_none();
    ck_assert(ev_time() - begin < 10);
    ck_assert_uint_eq(lingering_lost(lingering), 0);
}
END_TEST

START_TEST(the_peers_end_is_awaited_and_late_bytes_are_dropped)
{
    struct pair pair = make_pair(false);
    struct pollfd ended = {.fd = stream_fd(pair.ours), .events = POLLRDHUP};
    char byte;
    ck_assert_int_eq(stream_shutdown_write(pair.ours), STREAM_OK);
    lingering_add(lingering, pair.ours, LINGER_FOR_END);
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(send(pair.peer, "late bytes", 10, MSG_NOSIGNAL), 10);
        ev_run(loop, EVRUN_NOWAIT);
    }
    ck_assert_uint_eq(lingering_count(lingering), 1);
    ck_assert_int_eq(recv(pair.peer, &byte, 1, 0), 0); /* our end, and no reset behind it */
    ck_assert_int_eq(shutdown(pair.peer, SHUT_WR), 0);
    ck_assert_int_eq(poll(&ended, 1, 10000), 1);
    ev_run(loop, EVRUN_NOWAIT); /* the poll tells of it, no timer */
    ck_assert_uint_eq(lingering_count(lingering), 0);
    ck_assert_int_eq(recv(pair.peer, &byte, 1, 0), 0);
    close(pair.peer);
}
END_TEST

START_TEST(a_silent_peer_that_has_everything_is_reset)
{
    struct pair pair = make_pair(false);
    ev_tstamp begin = ev_time();
    lingering_add(lingering, pair.ours, LINGER_FOR_END);
    ck_assert_uint_eq(lingering_count(lingering), 1);
    run_until_none();
    ck_assert(ev_time() - begin >= 1.9);
    watch_error(&pair, POLLERR | POLLHUP);
    ck_assert_uint_eq(lingering_lost(lingering), 0);
    close(pair.peer);
}
END_TEST

START_TEST(at_the_limit_one_goes_that_has_everything)
{
    struct pair full[3] = {make_pair(true), make_pair(true), make_pair(true)}, empty = make_pair(false);
    lingering_add(lingering, full[0].ours, LINGER_THEN_RESET);
    lingering_add(lingering, empty.ours, LINGER_FOR_END);
    lingering_add(lingering, full[1].ours, LINGER_THEN_RESET);
    lingering_add(lingering, full[2].ours, LINGER_THEN_RESET);
    ck_assert_uint_eq(lingering_count(lingering), 3);
    ck_assert_uint_eq(lingering_lost(lingering), 0);
    watch_error(&empty, POLLERR | POLLHUP);
    close(empty.peer);
    for (int i = 0; i < 3; i++)
        close(full[i].peer);
    run_until_none();
}
END_TEST

START_TEST(at_the_limit_the_eldest_goes)
{
    struct pair pairs[4];
    int error;
    for (int i = 0; i < 4; i++) {
        pairs[i] = make_pair(true);
        lingering_add(lingering, pairs[i].ours, LINGER_THEN_RESET);
    }
    ck_assert_uint_eq(lingering_count(lingering), 3);
    ck_assert_uint_eq(lingering_lost(lingering), 1);
    ck_assert_uint_lt(take_slowly(&pairs[0], &error), pairs[0].written);
    ck_assert_uint_eq(take_slowly(&pairs[1], &error), pairs[1].written);
    for (int i = 0; i < 4; i++)
        close(pairs[i].peer);
    run_until_none();
}
END_TEST

START_TEST(without_memory_it_is_closed_at_once_and_counted)
{
    struct pair pair = make_pair(true);
    int error;
    no_memory = true;
    lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    no_memory = false;
    ck_assert_uint_eq(lingering_count(lingering), 0);
    ck_assert_uint_eq(lingering_lost(lingering), 1);
    ck_assert_uint_lt(take_slowly(&pair, &error), pair.written);
    ck_assert_int_eq(error, ECONNRESET);
    close(pair.peer);
}
END_TEST

/* As in the relay, whose filter once made "how much is left" fail. */
START_TEST(under_the_filter_every_byte_arrives_too)
{
    struct pair pair;
    int error;
    size_t taken;
    pair = make_pair(true); /* a relay listens nowhere itself */
    if (sandbox_drop_all() < 0 || filter_system_calls(FILTER_RELAY) < 0)
        _exit(1);
    lingering_add(lingering, pair.ours, LINGER_THEN_RESET);
    taken = take_slowly(&pair, &error);
    _exit(taken == pair.written && error == ECONNRESET ? EXIT_SUCCESS : 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("linger");
    TCase *tcase = tcase_create("linger");
    const char *preload = getenv("LD_PRELOAD");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_reset_comes_behind_every_byte);
    tcase_add_test(tcase, a_reset_comes_at_once_when_all_is_delivered);
    tcase_add_loop_test(tcase, a_peer_that_takes_some_now_and_then_is_waited_for, 0, 2);
    tcase_add_loop_test(tcase, a_peer_that_takes_nothing_is_given_up, 0, 2);
    tcase_add_loop_test(tcase, a_peer_that_is_gone_is_not_waited_for, 0, 2);
    tcase_add_test(tcase, the_peers_end_is_awaited_and_late_bytes_are_dropped);
    tcase_add_test(tcase, a_silent_peer_that_has_everything_is_reset);
    tcase_add_test(tcase, at_the_limit_one_goes_that_has_everything);
    tcase_add_test(tcase, at_the_limit_the_eldest_goes);
    tcase_add_test(tcase, without_memory_it_is_closed_at_once_and_counted);
    if (!preload || !strstr(preload, "vgpreload")) /* valgrind has no seccomp */
        tcase_add_exit_test(tcase, under_the_filter_every_byte_arrives_too, EXIT_SUCCESS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
