/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/stream.h"
#include "base/stream_fd.h"

/* A stream and its peer's descriptor, over TCP on the loopback: resets need it. */
struct pair {
    struct stream *stream;
    int peer;
};

static struct pair connected(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pair pair;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    ck_assert(connect(fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS);
    pair.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(pair.peer, 0);
    close(listener);
    pair.stream = stream_new_plain(fd);
    ck_assert_ptr_nonnull(pair.stream);
    return pair;
}

static void end(struct pair *pair)
{
    stream_free(pair->stream, false);
    close(pair->peer);
}

/* Loopback delivers at once, but says so through the softirq: wait for it. */
static void wait_readable(int fd)
{
    fd_set set;
    struct timeval limit = {.tv_sec = 10};

    FD_ZERO(&set);
    FD_SET(fd, &set);
    ck_assert_int_eq(select(fd + 1, &set, NULL, NULL, &limit), 1);
}

static void reset_by_peer(struct pair *pair)
{
    const struct linger linger = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(pair->peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(pair->peer);
    wait_readable(stream_fd(pair->stream));
    pair->peer = -1;
}

START_TEST(bytes_go_both_ways)
{
    struct pair pair = connected();
    char buf[16];
    size_t count = 99;
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_AGAIN_READ);
    ck_assert_uint_eq(count, 99);
    ck_assert_int_eq(stream_write(pair.stream, "hello", 5, &count), STREAM_OK);
    ck_assert_uint_eq(count, 5);
    ck_assert_int_eq(recv(pair.peer, buf, sizeof buf, 0), 5);
    ck_assert_int_eq(send(pair.peer, "world!", 6, 0), 6);
    wait_readable(stream_fd(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_uint_eq(count, 6);
    ck_assert_mem_eq(buf, "world!", 6);
    ck_assert(!stream_pending(pair.stream));
    end(&pair);
}
END_TEST

START_TEST(a_full_socket_asks_to_wait)
{
    static char block[65536];
    struct pair pair = connected();
    enum stream_status status;
    size_t count, total = 0;
    do {
        status = stream_write(pair.stream, block, sizeof block, &count);
        total += status == STREAM_OK ? count : 0;
    } while (status == STREAM_OK && total < 1u << 30);
    ck_assert_int_eq(status, STREAM_AGAIN_WRITE);
    end(&pair);
}
END_TEST

START_TEST(each_direction_ends_by_itself)
{
    struct pair pair = connected();
    char buf[16];
    size_t count;
    ck_assert_int_eq(stream_shutdown_write(pair.stream), STREAM_OK);
    ck_assert_int_eq(recv(pair.peer, buf, sizeof buf, 0), 0);
    ck_assert_int_eq(send(pair.peer, "late", 4, 0), 4);
    wait_readable(stream_fd(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_int_eq(shutdown(pair.peer, SHUT_WR), 0);
    wait_readable(stream_fd(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_EOF);
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_EOF);
    end(&pair);
}
END_TEST

START_TEST(a_reset_is_told_from_an_end)
{
    struct pair pair = connected();
    char buf[16];
    size_t count;
    ck_assert_str_eq(stream_error(pair.stream), "no error is known");
    reset_by_peer(&pair);
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_RESET);
    ck_assert_str_eq(stream_error(pair.stream), "Connection reset by peer");
    /* No SIGPIPE: the test would end here. */
    ck_assert_int_eq(stream_write(pair.stream, "x", 1, &count), STREAM_RESET);
    ck_assert_str_eq(stream_error(pair.stream), "Broken pipe");
    ck_assert_int_eq(stream_shutdown_write(pair.stream), STREAM_RESET);
    stream_free(pair.stream, false);
}
END_TEST

START_TEST(another_error_says_which)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stream *stream = stream_new_plain(fd);
    char buf[4];
    size_t count;
    ck_assert_int_eq(stream_read(stream, buf, sizeof buf, &count), STREAM_FAILED);
    ck_assert_str_eq(stream_error(stream), "Transport endpoint is not connected");
    stream_free(stream, true);
}
END_TEST

START_TEST(freeing_closes_in_order_or_resets)
{
    struct pair pair = connected();
    char buf[4];
    stream_free(pair.stream, false);
    ck_assert_int_eq(recv(pair.peer, buf, sizeof buf, 0), 0);
    close(pair.peer);
    pair = connected();
    stream_free(pair.stream, true);
    ck_assert_int_eq(recv(pair.peer, buf, sizeof buf, 0), -1);
    ck_assert_int_eq(errno, ECONNRESET);
    close(pair.peer);
    stream_free(NULL, true);
}
END_TEST

START_TEST(what_was_given_back_is_read_first)
{
    struct pair pair = connected();
    char buf[16];
    size_t count;
    ck_assert(stream_can_splice_in(pair.stream));
    ck_assert_int_eq(send(pair.peer, "net", 3, 0), 3);
    ck_assert_int_eq(stream_unread(pair.stream, "", 0), 0);
    ck_assert(stream_can_splice_in(pair.stream));
    ck_assert_int_eq(stream_unread(pair.stream, "given", 5), 0);
    ck_assert(!stream_can_splice_in(pair.stream));
    ck_assert(stream_pending(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, 2, &count), STREAM_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_mem_eq(buf, "gi", 2);
    ck_assert(!stream_can_splice_in(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_mem_eq(buf, "ven", 3);
    ck_assert(stream_can_splice_in(pair.stream));
    ck_assert(!stream_pending(pair.stream));
    wait_readable(stream_fd(pair.stream));
    ck_assert_int_eq(stream_read(pair.stream, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_mem_eq(buf, "net", 3);
    ck_assert_int_eq(stream_unread(pair.stream, "freed", 5), 0);
    end(&pair);
}
END_TEST

/* A filter that adds nothing: what it has not itself is that of the stream below. */
static const struct stream_ops filter_ops;

START_TEST(a_filter_is_not_plain_and_is_carried_by_what_is_below)
{
    struct pair pair = connected();
    struct stream filter = {.ops = &filter_ops, .below = pair.stream};
    ck_assert(stream_is_plain(pair.stream));
    ck_assert(!stream_is_plain(&filter));
    ck_assert(!stream_can_splice_in(&filter) && !stream_can_splice_out(&filter));
    filter.splices_in = true; /* as when the kernel does the TLS of one direction */
    ck_assert(stream_can_splice_in(&filter) && !stream_can_splice_out(&filter) && !stream_is_plain(&filter));
    ck_assert_int_eq(stream_fd(&filter), stream_fd(pair.stream));
    ck_assert_int_eq(stream_look(&filter), STREAM_AGAIN_READ);
    ck_assert_int_eq(send(pair.peer, "abc", 3, 0), 3);
    wait_readable(stream_fd(&filter));
    ck_assert_int_eq(stream_look(&filter), STREAM_OK);
    ck_assert_int_eq(stream_drop(&filter), STREAM_AGAIN_READ);
    ck_assert_int_eq(stream_look(&filter), STREAM_AGAIN_READ);
    end(&pair);
}
END_TEST

START_TEST(what_is_given_back_hinders_splicing_one_way_only)
{
    struct pair pair = connected();
    ck_assert_int_eq(stream_unread(pair.stream, "given", 5), 0);
    ck_assert(!stream_can_splice_in(pair.stream));
    ck_assert(stream_can_splice_out(pair.stream));
    end(&pair);
}
END_TEST

/* ---- watching ---- */

struct watcher {
    struct stream *stream;
    struct ev_loop *loop;
    int events, calls;
    bool frees;
};

static void ready_cb(int events, void *data)
{
    struct watcher *watcher = data;
    watcher->events = events;
    watcher->calls++;
    if (watcher->frees)
        stream_free(watcher->stream, false);
}

static void turn(struct ev_loop *loop)
{
    ev_run(loop, EVRUN_NOWAIT);
}

START_TEST(a_watcher_hears_what_it_asked_for)
{
    struct pair pair = connected();
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct watcher watcher = {0};
    stream_watch(pair.stream, loop, STREAM_READABLE, ready_cb, &watcher);
    turn(loop);
    ck_assert_int_eq(watcher.calls, 0);
    ck_assert_int_eq(send(pair.peer, "a", 1, 0), 1);
    wait_readable(stream_fd(pair.stream));
    turn(loop);
    ck_assert_int_eq(watcher.calls, 1);
    ck_assert_int_eq(watcher.events, STREAM_READABLE);
    stream_watch(pair.stream, loop, STREAM_READABLE | STREAM_WRITABLE, ready_cb, &watcher);
    turn(loop);
    ck_assert_int_eq(watcher.events, STREAM_READABLE | STREAM_WRITABLE);
    stream_watch(pair.stream, loop, 0, NULL, NULL);
    turn(loop);
    ck_assert_int_eq(watcher.calls, 2);
    end(&pair);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(the_last_watcher_counts)
{
    struct pair pair = connected();
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct watcher first = {0}, second = {0};
    stream_watch(pair.stream, loop, STREAM_WRITABLE, ready_cb, &first);
    turn(loop);
    stream_watch(pair.stream, loop, STREAM_WRITABLE, ready_cb, &second);
    turn(loop);
    ck_assert_int_eq(first.calls, 1);
    ck_assert_int_eq(second.calls, 1);
    end(&pair);
    ev_loop_destroy(loop);
}
END_TEST

static void forget_cb(struct ev_loop *loop, ev_check *check, int events)
{
    stream_forget_ready(check->data);
}

START_TEST(what_was_found_can_be_forgotten)
{
    struct pair pair = connected();
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct watcher watcher = {0};
    ev_check check;
    ev_check_init(&check, forget_cb);
    check.data = pair.stream;
    ev_set_priority(&check, EV_MAXPRI);
    ev_check_start(loop, &check);
    stream_watch(pair.stream, loop, STREAM_WRITABLE, ready_cb, &watcher);
    turn(loop);
    ck_assert_int_eq(watcher.calls, 0);
    ev_check_stop(loop, &check);
    turn(loop);
    ck_assert_int_eq(watcher.calls, 1);
    end(&pair);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(a_watcher_may_free_the_stream)
{
    struct pair pair = connected();
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct watcher watcher = {.stream = pair.stream, .frees = true};
    stream_watch(pair.stream, loop, STREAM_READABLE | STREAM_WRITABLE, ready_cb, &watcher);
    turn(loop);
    turn(loop);
    ck_assert_int_eq(watcher.calls, 1);
    close(pair.peer);
    ev_loop_destroy(loop);
}
END_TEST

/* ---- what carries it ---- */

START_TEST(what_the_peer_has_not_is_undelivered)
{
    struct pair pair = connected();
    char buf[65536] = {0};
    size_t count, written = 0;
    ck_assert_uint_eq(stream_undelivered(pair.stream), 0);
    while (stream_write(pair.stream, buf, sizeof buf, &count) == STREAM_OK)
        written += count;
    ck_assert_uint_gt(stream_undelivered(pair.stream), 0);
    ck_assert_uint_lt(stream_undelivered(pair.stream), written);
    ck_assert(!stream_is_dead(pair.stream));
    reset_by_peer(&pair);
    ck_assert(stream_is_dead(pair.stream));
    ck_assert_int_eq(stream_look(pair.stream), STREAM_RESET);
    stream_free(pair.stream, true);
}
END_TEST

START_TEST(a_look_takes_nothing_and_a_drop_ends_at_the_end)
{
    struct pair pair = connected();
    char byte;
    size_t count;
    ck_assert_int_eq(send(pair.peer, "a", 1, 0), 1);
    ck_assert_int_eq(shutdown(pair.peer, SHUT_WR), 0);
    wait_readable(stream_fd(pair.stream));
    ck_assert_int_eq(stream_look(pair.stream), STREAM_OK);
    ck_assert_int_eq(stream_look(pair.stream), STREAM_OK);
    ck_assert_int_eq(stream_read(pair.stream, &byte, 1, &count), STREAM_OK);
    ck_assert_int_eq(stream_look(pair.stream), STREAM_EOF);
    ck_assert_int_eq(stream_drop(pair.stream), STREAM_EOF);
    end(&pair);
}
END_TEST

START_TEST(a_low_water_hides_what_is_less)
{
    struct pair pair = connected();
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct watcher watcher = {0};
    ck_assert(stream_set_low_water(pair.stream, 3));
    stream_watch(pair.stream, loop, STREAM_READABLE, ready_cb, &watcher);
    ck_assert_int_eq(send(pair.peer, "ab", 2, 0), 2);
    while (stream_look(pair.stream) != STREAM_OK)
        ;
    turn(loop);
    ck_assert_int_eq(watcher.calls, 0);
    ck_assert_int_eq(send(pair.peer, "c", 1, 0), 1);
    wait_readable(stream_fd(pair.stream));
    turn(loop);
    ck_assert_int_eq(watcher.calls, 1);
    end(&pair);
    ev_loop_destroy(loop);
}
END_TEST

/* A sender that has filled the window waits for whoever waits for more. */
START_TEST(a_low_water_stays_well_below_the_window)
{
    struct pair pair = connected();
    int buffer, low;
    socklen_t length = sizeof buffer;
    ck_assert_int_eq(getsockopt(stream_fd(pair.stream), SOL_SOCKET, SO_RCVBUF, &buffer, &length), 0);
    ck_assert(stream_set_low_water(pair.stream, 1048576));
    ck_assert_int_eq(getsockopt(stream_fd(pair.stream), SOL_SOCKET, SO_RCVLOWAT, &low, &length), 0);
    ck_assert_int_eq(low, buffer / 4);
    void *bytes = calloc(1, (size_t)low);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(send(pair.peer, bytes, (size_t)low, 0), low);
    free(bytes);
    wait_readable(stream_fd(pair.stream));
    end(&pair);
}
END_TEST

START_TEST(a_connect_that_failed_says_why)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int nobody = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(nobody, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(getsockname(nobody, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, length), -1);
    struct stream *stream = stream_new_plain(fd);
    wait_readable(fd);
    ck_assert_int_eq(stream_connect_error(stream), ECONNREFUSED);
    stream_free(stream, false);
    close(nobody);
    struct pair pair = connected();
    ck_assert_int_eq(stream_connect_error(pair.stream), 0);
    end(&pair);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tests = tcase_create("stream");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, bytes_go_both_ways);
    tcase_add_test(tests, a_full_socket_asks_to_wait);
    tcase_add_test(tests, each_direction_ends_by_itself);
    tcase_add_test(tests, a_reset_is_told_from_an_end);
    tcase_add_test(tests, another_error_says_which);
    tcase_add_test(tests, freeing_closes_in_order_or_resets);
    tcase_add_test(tests, what_was_given_back_is_read_first);
    tcase_add_test(tests, a_filter_is_not_plain_and_is_carried_by_what_is_below);
    tcase_add_test(tests, what_is_given_back_hinders_splicing_one_way_only);
    tcase_add_test(tests, a_watcher_hears_what_it_asked_for);
    tcase_add_test(tests, the_last_watcher_counts);
    tcase_add_test(tests, what_was_found_can_be_forgotten);
    tcase_add_test(tests, a_watcher_may_free_the_stream);
    tcase_add_test(tests, what_the_peer_has_not_is_undelivered);
    tcase_add_test(tests, a_look_takes_nothing_and_a_drop_ends_at_the_end);
    tcase_add_test(tests, a_low_water_hides_what_is_less);
    tcase_add_test(tests, a_low_water_stays_well_below_the_window);
    tcase_add_test(tests, a_connect_that_failed_says_why);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
