/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events of a network namespace of the test's own; without the right to make one the tests that need it say so. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "gate/host/netwatch.h"
#include "gate/rules/table.h"

/* ---- clocks: the linker sends netwatch.c's calls here ---- */

static int boot_offset_seconds;
static int timer_fd = -1;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *old_value);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *old_value);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = __real_clock_gettime(clock, ret_time);
    if (clock == CLOCK_BOOTTIME)
        ret_time->tv_sec += boot_offset_seconds;
    return r;
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *old_value)
{
    timer_fd = fd;
    return __real_timerfd_settime(fd, flags, new_value, old_value);
}

/* As if the wall clock had jumped: the timer fires at once. */
static void fire_clock(void)
{
    struct itimerspec now = {.it_value = {.tv_nsec = 1}};
    ck_assert_int_eq(__real_timerfd_settime(timer_fd, 0, &now, NULL), 0);
}

/* ---- one watch and what it reported ---- */

#define NOBODY UINT32_MAX /* the port of no socket */

struct seen {
    struct ev_loop *loop;
    struct netwatch *netwatch;
    int table_changes, foreign_changes, network_changes, resumes;
    bool named;
    char culprit[128];
    bool free_in_callback;
};

static void end_callback(struct seen *seen)
{
    if (seen->free_in_callback) {
        netwatch_free(seen->netwatch);
        seen->netwatch = NULL;
    }
    ev_break(seen->loop, EVBREAK_ALL);
}

static void note(const struct event *event, void *data)
{
    struct seen *seen = data;
    switch (event->type) {
    case EVENT_TABLES_CHANGED:
        seen->table_changes += event->ours;
        seen->foreign_changes += event->foreign;
        seen->named = event->culprit;
        snprintf(seen->culprit, sizeof seen->culprit, "%s", event->culprit ? event->culprit : "");
        break;
    case EVENT_NETWORK_CHANGED:
        seen->network_changes++;
        break;
    case EVENT_RESUMED:
        seen->resumes++;
        break;
    case EVENT_MESSAGE:
    case EVENT_CHILD_LOST:
    case EVENT_RULES_LOST:
    case EVENT_RULES_RETRY:
    case EVENT_REDIRECT_TRIED:
    case EVENT_FILES_CHANGED:
    case EVENT_USERS_KNOWN:
    case EVENT_USER_NAMED:
        ck_abort_msg("event %d", event->type);
    }
    end_callback(seen);
}

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ev_break(loop, EVBREAK_ALL);
}

/* Until something was reported, at most that long. */
static void run(struct seen *seen, double seconds)
{
    ev_timer timer;
    ev_timer_init(&timer, give_up, seconds, 0);
    ev_now_update(seen->loop);
    ev_timer_start(seen->loop, &timer);
    ev_run(seen->loop, 0);
    ev_timer_stop(seen->loop, &timer);
}

static bool enter_namespace(void)
{
    if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
        return true;
    fprintf(stderr, "skipped: cannot make a network namespace: %s\n", strerror(errno));
    return false;
}

static struct seen start(void)
{
    struct seen seen = {.loop = ev_loop_new(EVFLAG_AUTO)};
    ck_assert_ptr_nonnull(seen.loop);
    return seen;
}

static void watch(struct seen *seen, uint32_t own_portid)
{
    char error[256] = "";
    const struct event_sink sink = {.event_cb = note, .data = seen};
    seen->netwatch = netwatch_new(seen->loop, &sink, error, sizeof error);
    ck_assert_msg(seen->netwatch, "%s", error);
    netwatch_watch_rules(seen->netwatch, own_portid);
}

static void stop(struct seen *seen)
{
    netwatch_free(seen->netwatch);
    ev_loop_destroy(seen->loop);
}

static struct conf *read_conf(void)
{
    static char text[] = "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\n";
    FILE *stream = fmemopen(text, sizeof text - 1, "r");
    struct conf *conf = NULL;
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

static struct table *open_netfilter(void)
{
    char error[TABLE_ERROR_MAX];
    struct table *netfilter = table_new(false);
    ck_assert_msg(table_open(netfilter, error) == 0, "%s", error);
    return netfilter;
}

static void apply(struct table *netfilter, const struct conf *conf)
{
    struct ruleset_spec spec = {.mode = VERDICT_MODE_SECURE, .status = "", .conf = conf, .own_uid = 1};
    char error[TABLE_ERROR_MAX] = "";
    ck_assert_msg(table_apply(netfilter, &spec, error) == 0, "%s", error);
}

static void set_loopback(bool up)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = (short)(up ? IFF_UP : 0)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    close(fd);
}

/* ---- tests ---- */

START_TEST(foreign_change_of_our_table_names_the_culprit)
{
    struct table *ours, *other;
    struct conf *conf = read_conf();
    struct seen seen = start();
    char expected[64];
    if (!enter_namespace())
        return;
    ck_assert_int_eq(prctl(PR_SET_NAME, "a culprit"), 0);
    ours = open_netfilter();
    other = open_netfilter();
    watch(&seen, table_portid(ours));
    apply(other, conf);
    run(&seen, 5);
    ck_assert_int_eq(seen.table_changes, 1);
    ck_assert_int_eq(seen.foreign_changes, 0);
    snprintf(expected, sizeof expected, "a culprit (pid %d)", getpid());
    ck_assert_str_eq(seen.culprit, expected);
    table_free(other);
    table_free(ours);
    stop(&seen);
    conf_free(conf);
}
END_TEST

/* A batch of one message about a table of that name; family and name are all that netwatch looks at. */
static void change_foreign_table(struct mnl_socket *socket, uint16_t type, uint8_t family, const char *name)
{
    unsigned char buf[4096] = {0};
    struct mnl_nlmsg_batch *batch = mnl_nlmsg_batch_start(buf, sizeof buf);
    struct nlmsghdr *message;
    nftnl_batch_begin(mnl_nlmsg_batch_current(batch), 0);
    mnl_nlmsg_batch_next(batch);
    message = nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(batch), type, family,
                                    NLM_F_ACK | (type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), 1);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
    mnl_nlmsg_batch_next(batch);
    nftnl_batch_end(mnl_nlmsg_batch_current(batch), 2);
    mnl_nlmsg_batch_next(batch);
    ck_assert_int_ge((int)mnl_socket_sendto(socket, mnl_nlmsg_batch_head(batch), mnl_nlmsg_batch_size(batch)), 0);
    ck_assert_int_gt((int)mnl_socket_recvfrom(socket, buf, sizeof buf), 0);
    ck_assert_int_eq(((const struct nlmsgerr *)mnl_nlmsg_get_payload((struct nlmsghdr *)buf))->error, 0);
    mnl_nlmsg_batch_stop(batch);
}

START_TEST(change_of_another_table_is_told_apart)
{
    struct seen seen = start();
    struct mnl_socket *socket;
    if (!enter_namespace())
        return;
    socket = mnl_socket_open(NETLINK_NETFILTER);
    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID), 0);
    watch(&seen, NOBODY);
    change_foreign_table(socket, NFT_MSG_NEWTABLE, NFPROTO_INET, "other");
    run(&seen, 5);
    ck_assert_int_eq(seen.foreign_changes, 1);
    ck_assert_int_eq(seen.table_changes, 0);
    change_foreign_table(socket, NFT_MSG_NEWTABLE, NFPROTO_IPV4, RULESET_TABLE); /* our name, another family */
    run(&seen, 5);
    ck_assert_int_eq(seen.foreign_changes, 2);
    change_foreign_table(socket, NFT_MSG_DELTABLE, NFPROTO_INET, "other");
    run(&seen, 5);
    ck_assert_int_eq(seen.foreign_changes, 3);
    ck_assert_int_eq(seen.table_changes, 0);
    mnl_socket_close(socket);
    stop(&seen);
}
END_TEST

START_TEST(own_change_is_not_reported)
{
    struct table *ours;
    struct conf *conf = read_conf();
    struct seen seen = start();
    if (!enter_namespace())
        return;
    ours = open_netfilter();
    watch(&seen, table_portid(ours));
    apply(ours, conf);
    run(&seen, 0.3);
    ck_assert_int_eq(seen.table_changes, 0);
    table_free(ours);
    stop(&seen);
    conf_free(conf);
}
END_TEST

START_TEST(lost_events_count_as_a_change_by_nobody_known)
{
    struct table *ours;
    struct conf *conf = read_conf();
    struct seen seen = start();
    if (!enter_namespace())
        return;
    ours = open_netfilter();
    watch(&seen, table_portid(ours));
    /* Nobody reads meanwhile: the events of these transactions do not fit into the socket's buffer. */
    for (int i = 0; i < 300; i++)
        apply(ours, conf);
    run(&seen, 5);
    ck_assert_int_eq(seen.table_changes, 1);
    ck_assert_int_eq(seen.foreign_changes, 1);
    ck_assert(!seen.named);
    table_free(ours);
    stop(&seen);
    conf_free(conf);
}
END_TEST

START_TEST(network_events_are_reported_once_after_silence)
{
    struct seen seen = start();
    ev_tstamp began, took;
    if (!enter_namespace())
        return;
    watch(&seen, NOBODY);
    began = ev_time();
    set_loopback(true); /* a link, two addresses, several routes */
    run(&seen, 5);
    took = ev_time() - began;
    ck_assert_int_eq(seen.network_changes, 1);
    ck_assert_msg(took >= 0.15 && took < 1.5, "reported after %f s", took);
    run(&seen, 0.4);
    ck_assert_int_eq(seen.network_changes, 1);
    stop(&seen);
}
END_TEST

static void flap(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    bool *up = watcher->data;
    *up = !*up;
    set_loopback(*up);
}

START_TEST(endless_network_events_are_reported_after_a_second)
{
    struct seen seen = start();
    ev_timer flapping;
    ev_tstamp took;
    bool up = false;
    if (!enter_namespace())
        return;
    watch(&seen, NOBODY);
    ev_timer_init(&flapping, flap, 0, 0.05);
    flapping.data = &up;
    ev_timer_start(seen.loop, &flapping);
    took = -ev_time();
    run(&seen, 5);
    took += ev_time();
    ck_assert_int_eq(seen.network_changes, 1);
    ck_assert_msg(took >= 0.9 && took < 2.0, "reported after %f s", took);
    ev_timer_stop(seen.loop, &flapping);
    stop(&seen);
}
END_TEST

START_TEST(sleep_is_reported_but_not_a_jump_of_the_wall_clock)
{
    struct seen seen = start();
    if (!enter_namespace())
        return;
    watch(&seen, NOBODY);
    fire_clock();
    run(&seen, 0.3);
    ck_assert_int_eq(seen.resumes, 0);
    boot_offset_seconds = 60;
    fire_clock();
    run(&seen, 5);
    ck_assert_int_eq(seen.resumes, 1);
    fire_clock();
    run(&seen, 0.3);
    ck_assert_int_eq(seen.resumes, 1);
    stop(&seen);
}
END_TEST

START_TEST(may_be_freed_in_any_callback)
{
    struct seen seen = start();
    struct table *other;
    struct conf *conf = read_conf();
    if (!enter_namespace())
        return;
    seen.free_in_callback = true;
    other = open_netfilter();
    watch(&seen, NOBODY);
    apply(other, conf);
    run(&seen, 5);
    ck_assert_ptr_null(seen.netwatch);
    watch(&seen, NOBODY);
    set_loopback(true);
    run(&seen, 5);
    ck_assert_ptr_null(seen.netwatch);
    watch(&seen, NOBODY);
    boot_offset_seconds = 60;
    fire_clock();
    run(&seen, 5);
    ck_assert_ptr_null(seen.netwatch);
    table_free(other);
    stop(&seen);
    conf_free(conf);
}
END_TEST

START_TEST(rules_that_cannot_be_watched_yet_are_watched_later)
{
    struct table *other;
    struct conf *conf = read_conf();
    struct seen seen = start();
    if (!enter_namespace())
        return;
    other = open_netfilter();
    watch(&seen, 0);
    apply(other, conf);
    ck_assert_int_eq(table_remove(other, (char[TABLE_ERROR_MAX]){0}), 0);
    netwatch_watch_rules(seen.netwatch, table_portid(other) + 1);
    netwatch_watch_rules(seen.netwatch, 0);
    apply(other, conf);
    run(&seen, 5);
    ck_assert_int_eq(seen.table_changes, 1);
    table_free(other);
    stop(&seen);
    conf_free(conf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("netwatch");
    TCase *tcase = tcase_create("events");
    SRunner *runner = srunner_create(suite);
    int failed;
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, foreign_change_of_our_table_names_the_culprit);
    tcase_add_test(tcase, change_of_another_table_is_told_apart);
    tcase_add_test(tcase, own_change_is_not_reported);
    tcase_add_test(tcase, lost_events_count_as_a_change_by_nobody_known);
    tcase_add_test(tcase, network_events_are_reported_once_after_silence);
    tcase_add_test(tcase, endless_network_events_are_reported_after_a_second);
    tcase_add_test(tcase, sleep_is_reported_but_not_a_jump_of_the_wall_clock);
    tcase_add_test(tcase, may_be_freed_in_any_callback);
    tcase_add_test(tcase, rules_that_cannot_be_watched_yet_are_watched_later);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
