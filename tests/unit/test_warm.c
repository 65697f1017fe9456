/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links that rest: whose they are, and when they go. */
#include "config.h"

#include "channel/link/warm.h"

#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUARD_S 20.
#define MAX     3
#define REST_S  1000.

static struct ev_loop *loop;
static struct warm *warm;
static struct conf conf = {.connect_timeout_ms = 5000};
static ev_timer tick, guard;
static bool late;
static int ends[8]; /* the proxy's, in the order of opening */
static unsigned n_ends;
static struct link *opened;

static const struct warm_key mine = {.way = 1, .uid = 1000};

static void tick_cb(struct ev_loop *of, ev_timer *timer, int events)
{
    late |= timer == &guard;
}

#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        while (!(condition) && !late)                                                                                  \
            ev_run(loop, EVRUN_ONCE);                                                                                  \
        ck_assert_msg(condition, "waited in vain for %s", #condition);                                                 \
    } while (0)

static void up_cb(struct link *link, const struct link_failure *failure, void *data)
{
    ck_assert_ptr_null(failure);
    opened = link;
}

static struct link *make_link(void)
{
    int fds[2];
    const struct link_request request = {.conf = &conf};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ends[n_ends++] = fds[0];
    opened = NULL;
    ck_assert_ptr_nonnull(link_start_over(loop, stream_new_plain(fds[1]), &request, up_cb, NULL));
    run_until(opened);
    return opened;
}

/* Also by a reset. */
static bool has_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void start(double rest_s)
{
    warm = warm_new(loop, MAX, rest_s);
    ck_assert_ptr_nonnull(warm);
}

static void setup(void)
{
    loop = ev_loop_new(EVFLAG_AUTO);
    n_ends = 0;
    late = false;
    ev_timer_init(&tick, tick_cb, 0.005, 0.005);
    ev_timer_init(&guard, tick_cb, GUARD_S, 0.);
    ev_timer_start(loop, &tick);
    ev_timer_start(loop, &guard);
}

static void teardown(void)
{
    warm_free(warm);
    for (unsigned i = 0; i < n_ends; i++) {
        ck_assert(has_ended(ends[i]));
        close(ends[i]);
    }
    ev_loop_destroy(loop);
}

START_TEST(the_one_that_was_used_last_is_taken_first)
{
    start(REST_S);
    struct link *first = make_link(), *second = make_link();
    warm_put(warm, &mine, first);
    warm_put(warm, &mine, second);
    ck_assert_uint_eq(warm_count(warm), 2);
    ck_assert_ptr_eq(warm_take(warm, &mine, REST_S), second);
    ck_assert_ptr_eq(warm_take(warm, &mine, REST_S), first);
    ck_assert_ptr_null(warm_take(warm, &mine, REST_S));
    link_free(first);
    link_free(second);
}
END_TEST

START_TEST(nobody_gets_anybody_elses)
{
    const struct warm_key others[] = {{.way = 1, .uid = 1001},
                                      {.way = 2, .uid = 1000},
                                      {.way = 1, .uid = (uid_t)-1},
                                      {.way = 1, .uid = 1000, .cgroup = 7}};
    start(REST_S);
    warm_put(warm, &mine, make_link());
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_ptr_null(warm_take(warm, &others[i], REST_S));
    ck_assert_uint_eq(warm_count(warm), 1);
}
END_TEST

START_TEST(a_byte_or_an_end_that_nobody_asked_for_closes_it)
{
    start(REST_S);
    warm_put(warm, &mine, make_link());
    if (_i == 0)
        ck_assert_int_eq(send(ends[0], "x", 1, 0), 1);
    else
        shutdown(ends[0], SHUT_WR);
    run_until(warm_count(warm) == 0);
    ck_assert(has_ended(ends[0]));
}
END_TEST

/* The loop has not turned since the byte came. */
START_TEST(one_that_is_not_silent_is_not_taken)
{
    start(REST_S);
    warm_put(warm, &mine, make_link());
    warm_put(warm, &mine, make_link());
    ck_assert_int_eq(send(ends[1], "x", 1, 0), 1);
    struct link *link = warm_take(warm, &mine, REST_S);
    ck_assert_ptr_nonnull(link);
    ck_assert(has_ended(ends[1]) && !has_ended(ends[0]));
    ck_assert_uint_eq(warm_count(warm), 0);
    link_free(link);
}
END_TEST

START_TEST(at_the_limit_the_one_that_has_rested_longest_goes)
{
    start(REST_S);
    for (unsigned i = 0; i <= MAX; i++)
        warm_put(warm, &mine, make_link());
    ck_assert_uint_eq(warm_count(warm), MAX);
    ck_assert(has_ended(ends[0]) && !has_ended(ends[1]));
}
END_TEST

START_TEST(rest_has_an_end)
{
    start(0.05);
    warm_put(warm, &mine, make_link());
    warm_put(warm, &mine, make_link());
    run_until(warm_count(warm) == 0);
}
END_TEST

START_TEST(a_fresh_one_can_be_asked_for)
{
    start(REST_S);
    warm_put(warm, &mine, make_link());
    ev_tstamp since = ev_now(loop);
    run_until(ev_now(loop) - since > 0.03);
    ck_assert_ptr_null(warm_take(warm, &mine, 0.02));
    struct link *link = warm_take(warm, &mine, REST_S);
    ck_assert_ptr_nonnull(link);
    link_free(link);
}
END_TEST

START_TEST(another_way_closes_those_of_the_old_one)
{
    const struct warm_key next = {.way = 2, .uid = 1000};
    start(REST_S);
    warm_put(warm, &mine, make_link());
    warm_put(warm, &next, make_link());
    warm_keep_way(warm, 2);
    ck_assert_uint_eq(warm_count(warm), 1);
    ck_assert(has_ended(ends[0]) && !has_ended(ends[1]));
}
END_TEST

START_TEST(none_is_kept_where_none_may_be)
{
    warm = warm_new(loop, 0, REST_S);
    warm_put(warm, &mine, make_link());
    ck_assert_uint_eq(warm_count(warm), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("warm");
    TCase *tcase = tcase_create("warm");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_one_that_was_used_last_is_taken_first);
    tcase_add_test(tcase, nobody_gets_anybody_elses);
    tcase_add_loop_test(tcase, a_byte_or_an_end_that_nobody_asked_for_closes_it, 0, 2);
    tcase_add_test(tcase, one_that_is_not_silent_is_not_taken);
    tcase_add_test(tcase, at_the_limit_the_one_that_has_rested_longest_goes);
    tcase_add_test(tcase, rest_has_an_end);
    tcase_add_test(tcase, a_fresh_one_can_be_asked_for);
    tcase_add_test(tcase, another_way_closes_those_of_the_old_one);
    tcase_add_test(tcase, none_is_kept_where_none_may_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
