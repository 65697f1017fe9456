/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/sandbox.h"
#include "channel/net/resolve.h"
#include "loop_peer.h"
#include "under_filter.h"

#define TYPE_A    1
#define TYPE_AAAA 28
#define GUARD_S   20. /* a test that hangs is ended and fails */

/* ---- a name server: the first label says what it answers ---- */

struct question {
    char label[64];
    int type;
    size_t end; /* of the question in the packet */
};

static struct question read_question(const unsigned char *packet, size_t length)
{
    struct question question = {.end = 12};
    memcpy(question.label, packet + 13, packet[12] < 63 ? packet[12] : 63);
    while (question.end < length && packet[question.end] != 0)
        question.end += packet[question.end] + 1u;
    question.type = packet[question.end + 1] << 8 | packet[question.end + 2];
    question.end += 5;
    return question;
}

static size_t add_record(unsigned char *packet, size_t at, int type, unsigned char last)
{
    const unsigned char head[] = {0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, 0, type == TYPE_A ? 4 : 16};
    const unsigned char v4[] = {192, 0, 2, last}, v6[] = {0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
    memcpy(packet + at, head, sizeof head);
    at += sizeof head;
    memcpy(packet + at, type == TYPE_A ? v4 : v6, type == TYPE_A ? sizeof v4 : sizeof v6);
    return at + (type == TYPE_A ? sizeof v4 : sizeof v6);
}

/* Length of the answer; 0: none is given. */
static size_t answer_question(unsigned char *packet, const struct question *question)
{
    int type = question->type, records = 0, i;
    bool v6 = type == TYPE_AAAA;
    size_t at = question->end;
    packet[2] = 0x84; /* answer, authoritative */
    packet[3] = 0;
    memset(packet + 6, 0, 6);
    if (strcmp(question->label, "silent") == 0 || (strcmp(question->label, "broken6") == 0 && v6))
        return 0;
    if (strcmp(question->label, "both") == 0)
        records = 3;
    else if (strcmp(question->label, "many") == 0)
        records = 12; /* of each family; no more fit into an answer */
    else if (strcmp(question->label, "four") == 0 || strcmp(question->label, "broken6") == 0)
        records = v6 ? 0 : 1;
    else if (strcmp(question->label, "six") == 0)
        records = v6 ? 1 : 0;
    else if (strcmp(question->label, "failing") == 0)
        packet[3] = 2;
    else if (strcmp(question->label, "bare") != 0)
        packet[3] = 3;
    for (i = 1; i <= records; i++)
        at = add_record(packet, at, type, (unsigned char)i);
    packet[7] = (unsigned char)records;
    return at;
}

static void name_server(int fd, void *data)
{
    for (;;) {
        unsigned char packet[1024];
        struct sockaddr_storage from;
        socklen_t from_length = sizeof from;
        ssize_t length = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_length);
        struct question question;
        size_t size;
        if (length < 17)
            continue;
        question = read_question(packet, (size_t)length);
        size = answer_question(packet, &question);
        if (size > 0)
            sendto(fd, packet, size, 0, (struct sockaddr *)&from, from_length);
    }
}

/* ---- one resolution at a time ---- */

struct run {
    struct ev_loop *loop;
    struct resolver *resolver;
    struct peer server;
    char server_text[ADDR_TEXT_MAX];
    bool called;
    int error;
    enum cause cause;
    char text[512];
    struct addr addrs[RESOLVE_ADDRS_MAX];
    size_t n;
};

static struct run run;

static void setup(void)
{
    struct error error;
    memset(&run, 0, sizeof run);
    run.loop = ev_loop_new(EVFLAG_AUTO);
    run.resolver = resolver_new(run.loop, &error);
    ck_assert_msg(run.resolver, "%s", error.text);
    ck_assert(peer_start_udp(&run.server, name_server, NULL));
    ck_assert_int_eq(resolver_set_servers(run.resolver, addr_text(&run.server.address, run.server_text)), 0);
}

static void teardown(void)
{
    resolver_free(run.resolver);
    peer_stop(&run.server);
    ev_loop_destroy(run.loop);
}

static void resolved_cb(const struct error *error, const struct addr *addrs, size_t n, void *data)
{
    ck_assert_ptr_eq(data, &run);
    ck_assert(!run.called);
    run.called = true;
    run.error = error ? error->code : 0;
    run.cause = error ? error->cause : CAUSE_NONE;
    snprintf(run.text, sizeof run.text, "%s", error ? error->text : "");
    ck_assert_uint_le(n, RESOLVE_ADDRS_MAX);
    memcpy(run.addrs, addrs, n * sizeof *addrs);
    run.n = n;
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

static void resolve_limited(const char *name, double timeout_s)
{
    run.called = false;
    ck_assert_ptr_nonnull(resolve_start(run.resolver, name, 8081, timeout_s, resolved_cb, &run));
    ck_assert_msg(!run.called, "called back inside resolve_start()");
    run_loop(peer_patience(GUARD_S));
    ck_assert_msg(run.called, "no answer for %s", name);
}

static void resolve(const char *name)
{
    resolve_limited(name, 5.);
}

static void check_addr(size_t i, const char *text)
{
    char buf[ADDR_TEXT_MAX];
    ck_assert_uint_lt(i, run.n);
    ck_assert_str_eq(addr_text(&run.addrs[i], buf), text);
}

START_TEST(numeric_addresses_need_no_server)
{
    peer_stop(&run.server);
    resolve("192.0.2.9");
    ck_assert_int_eq(run.error, 0);
    ck_assert_uint_eq(run.n, 1);
    check_addr(0, "192.0.2.9:8081");
    resolve("2001:db8::9");
    ck_assert_uint_eq(run.n, 1);
    check_addr(0, "[2001:db8::9]:8081");
    ck_assert(peer_start_udp(&run.server, name_server, NULL));
}
END_TEST

START_TEST(families_are_interleaved)
{
    resolve("both.example");
    ck_assert_int_eq(run.error, 0);
    ck_assert_uint_eq(run.n, 6);
    check_addr(0, "[2001:db8::1]:8081");
    check_addr(1, "192.0.2.1:8081");
    check_addr(2, "[2001:db8::2]:8081");
    check_addr(5, "192.0.2.3:8081");
}
END_TEST

START_TEST(number_of_addresses_is_bounded)
{
    resolve("many.example");
    ck_assert_uint_eq(run.n, RESOLVE_ADDRS_MAX);
    check_addr(14, "[2001:db8::8]:8081");
    check_addr(15, "192.0.2.8:8081");
}
END_TEST

START_TEST(one_family_is_enough)
{
    resolve("four.example");
    ck_assert_uint_eq(run.n, 1);
    check_addr(0, "192.0.2.1:8081");
    resolve("six.example");
    ck_assert_uint_eq(run.n, 1);
    check_addr(0, "[2001:db8::1]:8081");
}
END_TEST

START_TEST(a_family_without_answer_does_not_hold_up_the_other)
{
    ev_tstamp before = ev_time();
    resolve("broken6.example");
    ck_assert_int_eq(run.error, 0);
    ck_assert_uint_eq(run.n, 1);
    check_addr(0, "192.0.2.1:8081");
    ck_assert_double_lt(ev_time() - before, peer_patience(2.5));
}
END_TEST

START_TEST(hosts_file_is_read)
{
    resolve("localhost");
    ck_assert_int_eq(run.error, 0);
    ck_assert_uint_ge(run.n, 1);
}
END_TEST

START_TEST(failures_are_told_apart)
{
    resolve("unknown.example");
    ck_assert_int_eq(run.error, -ENOENT);
    ck_assert_int_eq(run.cause, CAUSE_NAME_NOT_FOUND);
    ck_assert_str_eq(run.text, "resolve unknown.example: no such name");
    resolve("bare.example");
    ck_assert_int_eq(run.error, -ENODATA);
    ck_assert_int_eq(run.cause, CAUSE_NAME_WITHOUT_ADDRESS);
    ck_assert_str_eq(run.text, "resolve bare.example: the name has no address");
}
END_TEST

/* Where tests run without any network, that is what is said instead. */
static bool no_network(void)
{
    return run.cause == CAUSE_NO_NETWORK;
}

START_TEST(failing_server_is_named)
{
    resolve("failing.example");
    if (no_network())
        return;
    ck_assert_int_eq(run.error, -EIO);
    ck_assert_int_eq(run.cause, CAUSE_NAME_SERVER_FAILED);
    ck_assert_str_eq(run.text, "resolve failing.example: no usable answer from the name servers");
}
END_TEST

START_TEST(silence_ends_at_the_limit)
{
    ev_tstamp before = ev_time();
    resolve_limited("silent.example", 0.3);
    ck_assert_double_lt(ev_time() - before, peer_patience(2.));
    if (no_network())
        return;
    ck_assert_int_eq(run.error, -ETIMEDOUT);
    ck_assert_int_eq(run.cause, CAUSE_NAME_SERVER_TIMEOUT);
    ck_assert_str_eq(run.text, "resolve silent.example: no answer from the name servers within 0.3 s");
}
END_TEST

START_TEST(host_without_network_is_our_own_lack)
{
    if (!peer_leave_network())
        return;
    ck_assert_int_eq(resolver_set_servers(run.resolver, "192.0.2.53"), 0);
    resolve("four.example");
    ck_assert_int_eq(run.error, -ENETUNREACH);
    ck_assert(run.cause == CAUSE_NO_NETWORK || run.cause == CAUSE_NO_ROUTE);
    ck_assert_str_eq(run.text, "resolve four.example: this host has no network");
    resolve("192.0.2.1"); /* whether there is a route to it is not asked here */
    ck_assert_int_eq(run.error, 0);
}
END_TEST

START_TEST(refused_queries_fail_at_once)
{
    ev_tstamp before = ev_time();
    peer_stop(&run.server);
    resolve("four.example");
    ck_assert_int_lt(run.error, 0);
    ck_assert_double_lt(ev_time() - before, peer_patience(4.));
    ck_assert(peer_start_udp(&run.server, name_server, NULL));
}
END_TEST

/* In the sandbox of the prober; what it lacks would show as another error. */
static int resolve_confined(void)
{
    struct error error;
    if (sandbox_drop_all() < 0 || filter_system_calls(FILTER_PROBER) < 0)
        return 1;
    resolver_free(run.resolver);
    run.resolver = resolver_new(run.loop, &error); /* reads resolv.conf */
    if (!run.resolver || resolver_set_servers(run.resolver, run.server_text) < 0)
        return 2;
    resolve("both.example");
    if (run.error || run.n != 6)
        return 3;
    resolve("localhost");
    if (run.error)
        return 4;
    resolve_limited("silent.example", 0.1);
    return run.error == -ETIMEDOUT || no_network() ? 0 : 5;
}

START_TEST(sandbox_has_all_that_is_needed)
{
    int status;
    pid_t pid;
    if (peer_under_valgrind())
        return;
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        _exit(resolve_confined());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "wait status %d", status);
}
END_TEST

START_TEST(pending_queries_vanish_with_the_resolver)
{
    int i;
    for (i = 0; i < 5; i++)
        ck_assert_ptr_nonnull(resolve_start(run.resolver, "silent.example", 1, 5., resolved_cb, &run));
    ck_assert_ptr_nonnull(resolve_start(run.resolver, "192.0.2.1", 1, 5., resolved_cb, &run));
    resolver_free(run.resolver);
    run.resolver = NULL;
    run_loop(0.1);
    ck_assert(!run.called);
}
END_TEST

static void freeing_cb(const struct error *error, const struct addr *addrs, size_t n, void *data)
{
    resolved_cb(error, addrs, n, data);
    resolver_free(run.resolver);
    run.resolver = NULL;
}

START_TEST(resolver_may_go_in_the_callback)
{
    ck_assert_ptr_nonnull(resolve_start(run.resolver, "silent.example", 1, 5., resolved_cb, &run));
    ck_assert_ptr_nonnull(resolve_start(run.resolver, "broken6.example", 1, 5., freeing_cb, &run));
    run_loop(peer_patience(GUARD_S));
    ck_assert(run.called);
    ck_assert_uint_eq(run.n, 1);
}
END_TEST

START_TEST(late_answers_are_dropped)
{
    resolve_limited("silent.example", 0.05);
    ck_assert_int_lt(run.error, 0);
    resolve("both.example");
    ck_assert_uint_eq(run.n, 6);
}
END_TEST

START_TEST(queries_are_bounded)
{
    int n = 0;
    while (n < 1000 && resolve_start(run.resolver, "silent.example", 1, 5., resolved_cb, &run))
        n++;
    ck_assert_int_ge(n, 16);
    ck_assert_int_lt(n, 1000);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("resolve");
    TCase *t = tcase_create("resolve");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, numeric_addresses_need_no_server);
    tcase_add_test(t, families_are_interleaved);
    tcase_add_test(t, number_of_addresses_is_bounded);
    tcase_add_test(t, one_family_is_enough);
    tcase_add_test(t, a_family_without_answer_does_not_hold_up_the_other);
    tcase_add_test(t, hosts_file_is_read);
    tcase_add_test(t, failures_are_told_apart);
    tcase_add_test(t, failing_server_is_named);
    tcase_add_test(t, silence_ends_at_the_limit);
    tcase_add_test(t, host_without_network_is_our_own_lack);
    tcase_add_test(t, refused_queries_fail_at_once);
    tcase_add_test(t, sandbox_has_all_that_is_needed);
    tcase_add_test(t, pending_queries_vanish_with_the_resolver);
    tcase_add_test(t, resolver_may_go_in_the_callback);
    tcase_add_test(t, late_answers_are_dropped);
    tcase_add_test(t, queries_are_bounded);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *runner = srunner_create(suite());
    int failed;
    under_filter(FILTER_PROBER);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
