/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a trial of the redirect says, and when. Below stand a kernel's answers to connect(), as the test wants them, and
 * a keeper and children that say what they are told to. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gate/children/children.h"
#include "gate/rules/keeper.h"
#include "gate/rules/obstacle.h"
#include "gate/rules/trial.h"
#include "model/trial.h"

#define DEADLINE 30. /* seconds; only reached by a failure */

enum answer { ANSWER_ARRIVES, ANSWER_REFUSED, ANSWER_SILENCE, ANSWER_NO_ROUTE };

static struct {
    struct ev_loop *loop;
    struct trial trial;
    struct conf conf;
    ev_timer deadline;
    enum answer ipv4, ipv6;
    int listener, closed, silent, filler[2];
    int connects, events, asked;
    bool installed, listens, full;
} t;

int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

static int connect_to(int fd, int family, uint16_t port)
{
    struct addr target;
    ck_assert(addr_parse(family == AF_INET ? "127.0.0.1" : "::1", port, &target));
    return __real_connect(fd, &target.sa, addr_length(&target));
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    enum answer answer = address->sa_family == AF_INET ? t.ipv4 : t.ipv6;
    struct addr destination;
    ck_assert(addr_from_sockaddr(address, length, &destination));
    ck_assert(trial_is_destination(&destination));
    ck_assert_uint_eq(addr_port(&destination), 8443);
    t.connects++;
    switch (answer) {
    case ANSWER_ARRIVES:
        return connect_to(fd, address->sa_family, port_of(t.listener));
    case ANSWER_REFUSED:
        return connect_to(fd, address->sa_family, port_of(t.closed));
    case ANSWER_SILENCE:
        return connect_to(fd, address->sa_family, port_of(t.silent));
    case ANSWER_NO_ROUTE:
        break;
    }
    errno = ENETUNREACH;
    return -1;
}

void keeper_status(const struct keeper *keeper, struct status_rules *ret_status)
{
    *ret_status = (struct status_rules){.installed = t.installed};
}

bool children_listen(const struct children *children)
{
    return t.listens;
}

bool children_listen_full(const struct children *children)
{
    return t.full;
}

void obstacle_find(const struct conf *conf, char ret_text[static DETAIL_MAX])
{
    ck_assert_ptr_eq(conf, &t.conf);
    t.asked++;
    snprintf(ret_text, DETAIL_MAX, "table inet other");
}

static void note(const struct event *event, void *data)
{
    ck_assert_ptr_eq(data, &t);
    ck_assert_int_eq(event->type, EVENT_REDIRECT_TRIED);
    t.events++;
}

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ev_run(t.loop, EVRUN_ONCE);                                                                                \
    } while (0)

static int bound_socket(void)
{
    struct addr address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(addr_parse("127.0.0.1", 0, &address));
    ck_assert_int_eq(bind(fd, &address.sa, addr_length(&address)), 0);
    return fd;
}

static void set_up(void)
{
    const struct event_sink sink = {.event_cb = note, .data = &t};
    memset(&t, 0, sizeof t);
    t.conf.ports[0] = 8443;
    t.conf.n_ports = 1;
    t.installed = t.listens = true;
    t.ipv6 = ANSWER_NO_ROUTE;
    t.listener = bound_socket();
    ck_assert_int_eq(listen(t.listener, 64), 0);
    t.closed = bound_socket(); /* nobody listens */
    t.silent = bound_socket(); /* its queue is full: the kernel drops what comes */
    ck_assert_int_eq(listen(t.silent, 0), 0);
    for (int i = 0; i < 2; i++) {
        t.filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        ck_assert(connect_to(t.filler[i], AF_INET, port_of(t.silent)) == 0 || errno == EINPROGRESS);
    }
    t.loop = ev_loop_new(0);
    trial_init(&t.trial, t.loop, NULL, NULL, &sink);
    t.trial.timing = (struct trial_timing){.answer = 0.3, .delay = 0.05, .rest = 30., .failed = 0.1};
    trial_set_conf(&t.trial, &t.conf);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
}

static void tear_down(void)
{
    trial_fini(&t.trial);
    ev_loop_destroy(t.loop);
    close(t.listener);
    close(t.closed);
    close(t.silent);
    close(t.filler[0]);
    close(t.filler[1]);
}

/* So many more trials have begun and ended. */
static void run(int trials)
{
    int connects = t.connects + 2 * trials;
    UNTIL(t.connects == connects && t.trial.state == TRIAL_RESTING);
}

START_TEST(a_redirect_that_arrives_is_no_news)
{
    ck_assert_int_eq(t.connects, 0); /* never inside the call */
    run(1);
    ck_assert_str_eq(t.trial.text, "");
    ck_assert_int_eq(t.events, 0);
    ck_assert_double_gt(ev_timer_remaining(t.loop, &t.trial.timer), 20.);
    trial_soon(&t.trial); /* something changed */
    run(1);
}
END_TEST

START_TEST(one_that_is_lost_twice_is_told_with_who_is_in_the_way)
{
    t.ipv4 = (enum answer)_i;
    run(1);
    ck_assert_str_eq(t.trial.text, "");
    run(1);
    ck_assert_str_eq(t.trial.text, "redirected connections over IPv4 do not arrive: table inet other");
    ck_assert_int_eq(t.events, 1);
    run(1); /* it goes on trying */
    ck_assert_int_eq(t.events, 1);
    t.ipv4 = ANSWER_ARRIVES;
    run(1);
    ck_assert_str_eq(t.trial.text, "");
    ck_assert_int_eq(t.events, 2);
}
END_TEST

START_TEST(either_family_can_be_lost)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool ipv6 = fd >= 0 && (connect_to(fd, AF_INET6, port_of(t.closed)) == 0 || errno == ECONNREFUSED);
    close(fd);
    if (!ipv6)
        return; /* not on this host */
    t.ipv4 = ANSWER_ARRIVES;
    t.ipv6 = ANSWER_REFUSED;
    run(2);
    ck_assert_str_eq(t.trial.text, "redirected connections over IPv6 do not arrive: table inet other");
    t.ipv4 = ANSWER_REFUSED;
    run(1);
    ck_assert_str_eq(t.trial.text, "redirected connections over IPv4 and IPv6 do not arrive: table inet other");
}
END_TEST

START_TEST(one_loss_alone_says_nothing)
{
    for (int i = 0; i < 3; i++) {
        t.ipv4 = ANSWER_REFUSED;
        run(1);
        t.ipv4 = ANSWER_ARRIVES;
        run(1);
        trial_soon(&t.trial);
    }
    ck_assert_int_eq(t.events, 0);
    ck_assert_int_eq(t.asked, 0);
}
END_TEST

START_TEST(without_a_route_nobody_can_tell)
{
    t.ipv4 = ANSWER_NO_ROUTE;
    run(1);
    ck_assert_int_eq(t.events, 0);
    ck_assert_double_gt(ev_timer_remaining(t.loop, &t.trial.timer), 20.);
}
END_TEST

START_TEST(a_full_queue_is_not_the_rules_fault)
{
    t.ipv4 = ANSWER_SILENCE;
    t.full = true;
    run(3);
    ck_assert_int_eq(t.events, 0);
}
END_TEST

START_TEST(a_trial_during_which_rules_changed_does_not_count)
{
    t.ipv4 = ANSWER_SILENCE;
    for (int i = 0; i < 3; i++) {
        UNTIL(t.trial.state == TRIAL_RUNNING);
        trial_soon(&t.trial);
        UNTIL(t.trial.state == TRIAL_RESTING);
    }
    ck_assert_int_eq(t.events, 0);
    run(2);
    ck_assert_int_eq(t.events, 1);
}
END_TEST

START_TEST(without_rules_or_listeners_nothing_is_tried)
{
    t.installed = _i == 0;
    t.listens = _i == 1;
    UNTIL(ev_timer_remaining(t.loop, &t.trial.timer) > 20.);
    ck_assert_int_eq(t.connects, 0);
}
END_TEST

START_TEST(only_two_addresses_are_for_trials)
{
    struct addr addr;
    ck_assert(addr_parse(TRIAL_IPV4, 443, &addr) && trial_is_destination(&addr));
    ck_assert(addr_parse(TRIAL_IPV6, 80, &addr) && trial_is_destination(&addr));
    ck_assert(addr_parse("198.51.100.2", 80, &addr) && !trial_is_destination(&addr));
    memset(&addr, 0, sizeof addr);
    ck_assert(!trial_is_destination(&addr));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trial");
    TCase *tcase = tcase_create("trial");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tcase, DEADLINE + 5);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_redirect_that_arrives_is_no_news);
    tcase_add_loop_test(tcase, one_that_is_lost_twice_is_told_with_who_is_in_the_way, ANSWER_REFUSED,
                        ANSWER_SILENCE + 1);
    tcase_add_test(tcase, either_family_can_be_lost);
    tcase_add_test(tcase, one_loss_alone_says_nothing);
    tcase_add_test(tcase, without_a_route_nobody_can_tell);
    tcase_add_test(tcase, a_full_queue_is_not_the_rules_fault);
    tcase_add_test(tcase, a_trial_during_which_rules_changed_does_not_count);
    tcase_add_loop_test(tcase, without_rules_or_listeners_nothing_is_tried, 0, 2);
    tcase_add_test(tcase, only_two_addresses_are_for_trials);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
