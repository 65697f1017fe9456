/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This program is its own child: started with --child= it plays a prober or a relay, good or bad, as the environment
 * variable MISBEHAVE says. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/handover.h"
#include "base/log.h"
#include "base/spawn.h"
#include "gate/children/children.h"

#define MISBEHAVE     "MISBEHAVE"
#define DEADLINE      60. /* seconds; only reached by a failure */
#define SESSIONS_EACH 3

static char program[PATH_MAX];
static uint16_t first_port, second_port; /* that nobody has */

/* ---- the child ---- */

static bool misbehaves(const char *how)
{
    const char *value = getenv(MISBEHAVE);
    return value && strcmp(value, how) == 0;
}

/* Nothing but the standard descriptors and what ipc.h names. */
static bool descriptors_are_clean(bool relay)
{
    DIR *directory = opendir("/proc/self/fd");
    bool clean = directory;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        int fd = atoi(entry->d_name);
        clean = clean && (fd <= IPC_FD || (relay && fd <= IPC_LISTEN6_FD) || fd == dirfd(directory));
    }
    if (directory)
        closedir(directory);
    return clean;
}

static bool read_conf(int fd)
{
    char error[DETAIL_MAX];
    struct conf *conf = handover_read(fd, error);
    bool good = conf;
    conf_free(conf);
    return good;
}

static void say(const struct ipc_message *message)
{
    while (ipc_send(IPC_FD, message, -1) == -EAGAIN) {
        struct pollfd writable = {.fd = IPC_FD, .events = POLLOUT};
        poll(&writable, 1, -1);
    }
}

static void say_conf_done(uint64_t serial, bool ok, const char *detail)
{
    struct ipc_message message = {.type = IPC_CONF_DONE, .conf_done = {.serial = serial, .ok = ok}};
    snprintf(message.conf_done.detail, sizeof message.conf_done.detail, "%s", detail);
    say(&message);
}

static void say_sessions(uint64_t id)
{
    struct ipc_message message = {.type = IPC_SESSION, .session = {.request_id = id}};
    for (uint64_t i = 0; i < SESSIONS_EACH; i++) {
        message.session.id = i;
        say(&message);
        if (misbehaves("die-listing"))
            _exit(1);
    }
    message = (struct ipc_message){.type = IPC_SESSIONS_END, .request = {.id = id}};
    if (!misbehaves("endless-list"))
        say(&message);
}

/* As the prober before it connects: the report waits for the permission. */
static void say_named(uint64_t id)
{
    struct ipc_message message;
    ipc_begin(&message, IPC_NAMED);
    message.named.id = id;
    message.named.n = 1;
    addr_parse("192.0.2.1", 0, &message.named.addrs[0]);
    say(&message);
}

static void say_report(uint64_t test_id)
{
    static struct ipc_message message;
    message.type = IPC_REPORT;
    message.report = (struct test_report){.test_id = test_id, .complete = true, .n_servers = 1};
    message.report.servers[0].stages[STAGE_SECURE_TCP].outcome = TEST_PASSED;
    say(&message);
}

/* On each route: tells its process id. */
static void say_trouble(uint64_t generation)
{
    struct ipc_message message = {.type = IPC_TROUBLE, .trouble = {.generation = generation}};
    snprintf(message.trouble.detail, sizeof message.trouble.detail, "%d", (int)getpid());
    say(&message);
}

static void say_rubbish(bool relay)
{
    struct ipc_message message = {.type = IPC_REPORT};
    if (misbehaves("rubbish"))
        (void)!send(IPC_FD, "rubbish", 7, 0);
    if (misbehaves("wrong-role") && relay)
        say(&message);
    if (misbehaves("wrong-way"))
        say(&(struct ipc_message){.type = IPC_PING, .request = {.id = 1}});
    if (misbehaves("unasked-pong"))
        say(&(struct ipc_message){.type = IPC_PONG, .request = {.id = 77}});
}

static void hear(const struct ipc_message *message, int fd, struct stats *stats)
{
    static bool configured;
    static int refusals;
    switch ((enum ipc_type)message->type) {
    case IPC_CONF:
        if (misbehaves("no-conf-done") || (misbehaves("no-reload-done") && configured)) {
            close(fd);
            return;
        }
        if (misbehaves("die-on-reload") && configured)
            _exit(5);
        if (misbehaves("refuse-reload") && configured) {
            say_conf_done(message->conf.serial, false, "no such key");
            close(fd);
            return;
        }
        configured = true;
        if (misbehaves("refuse") || (misbehaves("refuse-thrice") && refusals++ < 3))
            say_conf_done(message->conf.serial, false, "no such key");
        else if (misbehaves("future-serial"))
            say_conf_done(message->conf.serial + 1, true, "");
        else
            say_conf_done(message->conf.serial, read_conf(fd), "");
        say_rubbish(stats);
        if (misbehaves("deaf"))
            pause();
        return;
    case IPC_ROUTE:
        stats_add(&stats->sessions_total, 1);
        stats_set(&stats->sessions_open, 7);
        say_trouble(message->route.generation);
        return;
    case IPC_TEST:
        say_named(message->test.test_id);
        return;
    case IPC_ALLOWED:
        say_report(message->request.id);
        return;
    case IPC_SESSIONS:
        say_sessions(message->request.id);
        return;
    case IPC_PING:
        if (!misbehaves("no-pong"))
            say(&(struct ipc_message){.type = IPC_PONG, .request = message->request});
        return;
    case IPC_CONF_DONE:
    case IPC_REPORT:
    case IPC_UNIT:
    case IPC_USER:
    case IPC_TROUBLE:
    case IPC_ANSWERS:
    case IPC_CGROUP:
    case IPC_UID:
    case IPC_SESSION:
    case IPC_SUM:
    case IPC_SESSIONS_END:
    case IPC_PONG:
    case IPC_NAMED:
        _exit(2);
    }
}

static int child_main(bool relay)
{
    struct stats *stats = NULL;
    struct shares *shares;
    static struct ipc_message message;
    if (!descriptors_are_clean(relay) || (relay && stats_map(IPC_STATS_FD, &stats) < 0) ||
        (relay && shares_map(IPC_SHARES_FD, &shares) < 0))
        return 3;
    if (misbehaves("stubborn"))
        signal(SIGTERM, SIG_IGN);
    if (misbehaves("die-at-once"))
        return 4;
    for (;;) {
        struct pollfd readable = {.fd = IPC_FD, .events = POLLIN};
        int fd = -1, r;
        poll(&readable, 1, -1);
        r = ipc_receive(IPC_FD, &message, &fd);
        if (r < 0 && misbehaves("stubborn"))
            for (;;)
                pause();
        if (r < 0)
            return 0;
        if (r > 0)
            hear(&message, fd, stats);
    }
}

/* ---- the gate's side ---- */

#define PIDS_MAX 64

static struct {
    struct ev_loop *loop;
    struct children *children;
    struct conf *conf;
    ev_timer deadline;
    int prober_ready, prober_lost, relays_up, relays_down;
    int conf_done, conf_refused, settled;
    bool trying;
    uint64_t tried_serial;
    int tried, tried_good;
    char detail[DETAIL_MAX];
    uint64_t report_id;
    int troubles;
    unsigned answers;
    uint64_t generation;
    int pids[PIDS_MAX]; /* of relays, as heard */
    int n_pids;
    int sessions, sessions_ends;
    uint64_t sessions_id;
} t;

static void note_trouble(const struct ipc_trouble *trouble)
{
    int pid = atoi(trouble->detail);
    t.troubles++;
    t.generation = trouble->generation;
    for (int i = 0; i < t.n_pids; i++)
        if (t.pids[i] == pid)
            return;
    ck_assert_int_lt(t.n_pids, PIDS_MAX);
    t.pids[t.n_pids++] = pid;
}

static unsigned ready_relays(void)
{
    unsigned ready, wanted;
    children_count_relays(t.children, &ready, &wanted);
    return ready;
}

/* As the gate does: at the first one and after the last one. */
static void note_relays(void)
{
    bool up = t.relays_up > t.relays_down;
    t.relays_up += !up && ready_relays() > 0;
    t.relays_down += up && ready_relays() == 0;
}

static void note_conf_done(const struct child *child, const struct ipc_conf_done *done)
{
    snprintf(t.detail, sizeof t.detail, "%s", done->detail);
    if (t.trying && done->serial == t.tried_serial) {
        t.trying = false;
        t.tried++;
        t.tried_good += done->ok;
        children_end_try(t.children);
        return;
    }
    t.conf_done++;
    t.conf_refused += !done->ok;
    t.settled += children_settled(t.children);
    if (child_role(child) == CHILD_PROBER)
        t.prober_ready++;
    else
        note_relays();
}

static void note_lost(const struct child *child)
{
    if (child_role(child) == CHILD_RELAY) {
        note_relays();
        return;
    }
    t.prober_lost++;
    if (!t.trying)
        return;
    t.trying = false;
    t.tried++;
    children_end_try(t.children);
}

static void note_message(const struct child *child, const struct ipc_message *message)
{
    switch ((enum ipc_type)message->type) {
    case IPC_CONF_DONE:
        note_conf_done(child, &message->conf_done);
        return;
    case IPC_REPORT:
        ck_assert_int_eq(child_role(child), CHILD_PROBER);
        t.report_id = message->report.test_id;
        return;
    case IPC_NAMED:
        ck_assert_int_eq(child_role(child), CHILD_PROBER);
        children_allow(t.children, message->named.id);
        return;
    case IPC_TROUBLE:
        ck_assert_int_eq(child_role(child), CHILD_RELAY);
        note_trouble(&message->trouble);
        return;
    case IPC_ANSWERS:
        ck_assert_int_eq(child_role(child), CHILD_RELAY);
        t.answers += message->answers.n;
        return;
    case IPC_CGROUP:
    case IPC_UID:
        ck_assert_int_eq(child_role(child), CHILD_RELAY);
        return;
    case IPC_SUM:
        return;
    case IPC_SESSION:
        t.sessions++;
        t.sessions_id = message->session.request_id;
        return;
    case IPC_SESSIONS_END:
        ck_assert_ptr_null(child); /* of all relays */
        ck_assert_uint_ne(message->request.id, 0);
        t.sessions_ends++;
        t.sessions_id = message->request.id;
        return;
    case IPC_CONF:
    case IPC_ROUTE:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_PING:
    case IPC_PONG:
    case IPC_UNIT:
    case IPC_USER:
    case IPC_ALLOWED:
        break;
    }
    ck_abort_msg("message %u", message->type);
}

static void note(const struct event *event, void *data)
{
    if (event->type == EVENT_CHILD_LOST) {
        note_lost(event->child);
        return;
    }
    ck_assert_int_eq(event->type, EVENT_MESSAGE);
    note_message(event->child, event->message);
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ev_run(t.loop, EVRUN_ONCE);                                                                                \
    } while (0)

static void fail_conf(const char *text, void *data)
{
    ck_abort_msg("%s", text);
}

static struct conf *make_conf(unsigned relays, unsigned port)
{
    char text[256];
    struct conf *conf;
    FILE *stream;
    snprintf(text, sizeof text,
             "[Proxy]\nServers=192.0.2.1\nPort=8080\n[SecureChannel]\nEnabled=no\n[Redirect]\nListenPort=%u\n"
             "[Relay]\nProcesses=%u\n",
             port, relays);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(conf_read(stream, "test", fail_conf, NULL, &conf), 0);
    fclose(stream);
    return conf;
}

static void configure(unsigned relays, unsigned port)
{
    struct conf *conf = make_conf(relays, port);
    ck_assert_int_eq(children_configure(t.children, conf), 0);
    conf_free(conf);
}

static void set_up(void)
{
    const struct child_timing timing = {
        .restart_first_ms = 20, .restart_max_ms = 100, .young = 10., .configure = 0.5, .ping = 0.2};
    log_init("test", LOG_LEVEL_ERROR);
    unsetenv(MISBEHAVE);
    t.loop = ev_default_loop(0);
    t.children = children_new(t.loop, program, &(struct event_sink){.event_cb = note});
    ck_assert_ptr_nonnull(t.children);
    children_set_timing(t.children, &timing);
    ev_timer_init(&t.deadline, on_deadline, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
    ev_unref(t.loop);
}

static void tear_down(void)
{
    children_free(t.children);
}

static void send_route(uint64_t generation)
{
    struct route route = {.generation = generation, .mode = ROUTE_PLAIN};
    children_set_route(t.children, &route);
}

/* Everything up, and every relay has been heard once. */
static void start(unsigned relays)
{
    configure(relays, first_port);
    UNTIL(t.prober_ready == 1 && t.n_pids == (int)relays);
}

static int living_relays(void)
{
    int living = 0;
    for (int i = 0; i < t.n_pids; i++)
        living += kill(t.pids[i], 0) == 0;
    return living;
}

START_TEST(children_start_configured_and_with_the_route)
{
    send_route(41);
    start(3);
    ck_assert_int_eq(t.relays_up, 1);
    ck_assert_int_eq(t.conf_done, 4);
    ck_assert_int_eq(t.conf_refused, 0);
    ck_assert_int_eq(t.settled, 1);
    ck_assert_uint_eq(t.generation, 41);
    send_route(42);
    UNTIL(t.troubles == 6);
    ck_assert_uint_eq(t.generation, 42);
}
END_TEST

START_TEST(a_test_is_asked_for_and_reported)
{
    ck_assert(!children_start_test(t.children, 1));
    start(1);
    ck_assert(children_start_test(t.children, 9));
    UNTIL(t.report_id == 9);
}
END_TEST

START_TEST(a_killed_relay_is_replaced_and_its_counters_go_on)
{
    struct stats sum;
    start(2);
    kill(t.pids[0], SIGKILL);
    UNTIL(t.n_pids == 3);
    ck_assert_int_eq(t.relays_down, 0);
    children_read_stats(t.children, &sum);
    ck_assert_uint_eq(sum.sessions_total, 3);
    ck_assert_uint_eq(sum.sessions_open, 14);
}
END_TEST

START_TEST(open_sessions_of_a_dead_relay_are_not_counted)
{
    struct stats sum;
    start(2);
    setenv(MISBEHAVE, "die-at-once", 1);
    kill(t.pids[0], SIGKILL);
    kill(t.pids[1], SIGKILL);
    UNTIL(t.relays_down == 1);
    do {
        ev_run(t.loop, EVRUN_ONCE);
        children_read_stats(t.children, &sum);
    } while (sum.sessions_open > 0);
    ck_assert_uint_eq(sum.sessions_total, 2);
    unsetenv(MISBEHAVE);
    UNTIL(t.relays_up == 2);
}
END_TEST

START_TEST(a_killed_prober_is_replaced)
{
    start(1);
    children_kill_prober(t.children, "of the test");
    ck_assert_int_eq(t.prober_lost, 0); /* never inside the call */
    UNTIL(t.prober_lost == 1 && t.prober_ready == 2);
    ck_assert(children_start_test(t.children, 5));
    UNTIL(t.report_id == 5);
}
END_TEST

static const char *const rubbish[] = {"rubbish", "wrong-role", "wrong-way", "unasked-pong", "future-serial"};

START_TEST(a_child_that_says_what_it_may_not_is_killed)
{
    start(1);
    setenv(MISBEHAVE, rubbish[_i], 1);
    kill(t.pids[0], SIGKILL);
    UNTIL(t.relays_down == 1);
    if (strcmp(rubbish[_i], "future-serial") != 0)
        UNTIL(t.relays_down == 2); /* it had started, and was killed for what it said */
    unsetenv(MISBEHAVE);
    UNTIL(ready_relays() == 1);
    ck_assert_int_eq(t.prober_lost, 0);
}
END_TEST

START_TEST(a_child_that_does_not_answer_pings_is_killed)
{
    setenv(MISBEHAVE, "no-pong", 1);
    start(1);
    UNTIL(t.relays_down == 1 && t.prober_lost == 1);
    UNTIL(t.relays_up == 2 && t.prober_ready == 2);
}
END_TEST

START_TEST(a_child_that_answers_pings_stays)
{
    start(1);
    ev_tstamp until = ev_time() + 1.5; /* seven pings, each of which wakes the loop */

    while (ev_time() < until)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_int_eq(t.relays_down, 0);
    ck_assert_int_eq(t.prober_lost, 0);
}
END_TEST

START_TEST(a_child_that_does_not_take_its_configuration_is_killed)
{
    setenv(MISBEHAVE, "no-conf-done", 1);
    configure(1, first_port);
    UNTIL(t.prober_lost >= 2);
    ck_assert_int_eq(t.relays_up, 0);
    unsetenv(MISBEHAVE);
    UNTIL(t.relays_up == 1 && t.prober_ready == 1);
}
END_TEST

START_TEST(a_child_that_does_not_take_a_reload_is_killed)
{
    setenv(MISBEHAVE, "no-reload-done", 1);
    start(1);
    configure(1, first_port);
    UNTIL(t.relays_down == 1 && t.prober_lost == 1);
    UNTIL(t.relays_up == 2 && t.prober_ready == 2);
}
END_TEST

static int try_conf(unsigned relays)
{
    struct conf *conf = make_conf(relays, first_port);
    int r = children_try(t.children, conf, &t.tried_serial);
    t.trying = r == 0;
    conf_free(conf);
    return r;
}

START_TEST(a_configuration_is_tried_by_the_prober_alone)
{
    ck_assert_int_eq(try_conf(1), -EAGAIN);
    start(1);
    ck_assert_int_eq(try_conf(2), 0);
    ck_assert_int_eq(t.tried, 0);
    UNTIL(t.tried == 1);
    ck_assert_int_eq(t.tried_good, 1);
    ck_assert_int_eq(t.conf_done, 2);
    ck_assert_int_eq(t.prober_ready, 1);
    ck_assert_int_eq(living_relays(), 1);
    configure(2, first_port);
    UNTIL(t.prober_ready == 2 && t.n_pids == 2);
}
END_TEST

START_TEST(a_configuration_that_the_prober_refuses_goes_nowhere)
{
    setenv(MISBEHAVE, "refuse-reload", 1);
    start(1);
    ck_assert_int_eq(try_conf(2), 0);
    UNTIL(t.tried == 1);
    ck_assert_int_eq(t.tried_good, 0);
    ck_assert_str_eq(t.detail, "no such key");
    ck_assert_int_eq(t.conf_refused, 0);
    ck_assert(children_start_test(t.children, 3)); /* with what it had */
    UNTIL(t.report_id == 3);
    ck_assert_int_eq(try_conf(2), 0);
    UNTIL(t.tried == 2);
    ev_tstamp until = ev_time() + 0.5; /* two pings; it is not offered again */
    while (ev_time() < until)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_int_eq(t.conf_refused, 0);
    ck_assert_int_eq(t.conf_done, 2);
}
END_TEST

static const char *const bad_tries[] = {"die-on-reload", "no-reload-done"};

START_TEST(a_prober_that_does_not_survive_a_try_starts_with_the_old_one)
{
    setenv(MISBEHAVE, bad_tries[_i], 1);
    start(1);
    ck_assert_int_eq(try_conf(2), 0);
    UNTIL(t.tried == 1);
    ck_assert_int_eq(t.tried_good, 0);
    UNTIL(t.prober_lost == 1 && t.prober_ready == 2);
    ck_assert_int_eq(t.tried, 1);
    ck_assert_int_eq(t.relays_down, 0);
}
END_TEST

START_TEST(a_refused_configuration_is_told)
{
    setenv(MISBEHAVE, "refuse", 1);
    configure(1, first_port);
    UNTIL(children_complaint(t.children, 0)[0] && children_complaint(t.children, 1)[0]);
    ck_assert_int_ge(t.conf_refused, 2);
    ck_assert_str_eq(t.detail, "no such key");
    ck_assert_int_eq(t.relays_up, 0);
    /* The prober can test all the same. */
    ck_assert(children_start_test(t.children, 1));
}
END_TEST

START_TEST(a_refused_configuration_is_offered_again_with_pauses)
{
    ev_tstamp begun = ev_time();
    setenv(MISBEHAVE, "refuse-thrice", 1);
    configure(1, first_port);
    UNTIL(children_complaint(t.children, 0)[0] != '\0');
    ck_assert_str_eq(children_complaint(t.children, 0), "no such key");
    UNTIL(t.relays_up == 1 && t.conf_done == 8);
    /* The pauses were 20, 40 and 80 ms, at least three quarters of them. */
    ck_assert_double_ge(ev_time() - begun, 0.105);
    ck_assert_int_eq(t.conf_refused, 6);
    ck_assert_str_eq(children_complaint(t.children, 0), "");
    ck_assert_str_eq(children_complaint(t.children, 1), "");
    ck_assert_ptr_null(children_complaint(t.children, 2));
    ck_assert_int_eq(t.prober_lost, 0);
}
END_TEST

START_TEST(a_child_that_does_not_read_costs_nothing_and_is_killed)
{
    setenv(MISBEHAVE, "deaf", 1);
    configure(1, first_port);
    UNTIL(t.relays_up == 1);
    for (uint64_t i = 0; i < 100000; i++)
        send_route(i);
    UNTIL(t.relays_down == 1);
    unsetenv(MISBEHAVE);
    UNTIL(t.n_pids == 1);
    ck_assert_uint_eq(t.generation, 99999);
}
END_TEST

START_TEST(a_child_that_dies_at_once_is_not_restarted_in_a_hot_loop)
{
    ev_tstamp begun = ev_time();
    setenv(MISBEHAVE, "die-at-once", 1);
    configure(1, first_port);
    UNTIL(t.prober_lost > 3);
    /* The pauses were 20, 40 and 80 ms, at least three quarters of them. */
    ck_assert_double_ge(ev_time() - begun, 0.105);
    unsetenv(MISBEHAVE);
    UNTIL(t.prober_ready == 1 && t.relays_up == 1);
}
END_TEST

START_TEST(sessions_of_all_relays_are_listed)
{
    start(3);
    children_list_sessions(t.children, 11);
    UNTIL(t.sessions_ends == 1);
    ck_assert_int_eq(t.sessions, 3 * SESSIONS_EACH);
    ck_assert_uint_eq(t.sessions_id, 11);
    children_list_sessions(t.children, 12);
    UNTIL(t.sessions_ends == 2);
    ck_assert_uint_eq(t.sessions_id, 12);
}
END_TEST

static const char *const bad_lists[] = {"die-listing", "endless-list"};

START_TEST(a_list_ends_though_a_relay_does_not_end_it)
{
    setenv(MISBEHAVE, bad_lists[_i], 1);
    start(2);
    children_list_sessions(t.children, 11);
    UNTIL(t.sessions_ends == 1);
    /* What a dying relay said last may be lost with it. */
    ck_assert(_i == 0 || t.sessions == 2 * SESSIONS_EACH);
}
END_TEST

START_TEST(a_list_of_no_relays_ends_from_the_loop)
{
    children_list_sessions(t.children, 11);
    ck_assert_int_eq(t.sessions_ends, 0);
    UNTIL(t.sessions_ends == 1);
}
END_TEST

START_TEST(a_reload_changes_the_number_of_relays)
{
    start(2);
    configure(4, first_port);
    UNTIL(t.n_pids == 4 && ready_relays() == 4);
    ck_assert_int_eq(t.relays_down, 0);
    configure(1, first_port);
    UNTIL(living_relays() == 1);
    ck_assert_uint_eq(ready_relays(), 1);
    /* Those that are gone do not come back; a later reload starts them anew. */
    configure(2, first_port);
    UNTIL(t.n_pids == 5 && ready_relays() == 2);
}
END_TEST

START_TEST(another_listen_port_needs_new_relays)
{
    start(2);
    configure(2, second_port);
    UNTIL(t.n_pids == 4 && ready_relays() == 2);
    ck_assert_int_lt(kill(t.pids[0], 0), 0);
    ck_assert_int_lt(kill(t.pids[1], 0), 0);
}
END_TEST

/* Both families, as the gate will ask for them. */
static int take_port(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -1;
    *port = ntohs(address.sin_port);
    return fd;
}

static bool accepts(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool accepted = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return accepted;
}

START_TEST(the_port_is_held_while_no_relay_lives)
{
    start(2);
    for (int i = 0; i < 2; i++)
        kill(t.pids[i], SIGKILL);
    ck_assert(accepts(first_port));
    ck_assert_int_lt(take_port(&first_port), 0);
    UNTIL(ready_relays() == 2);
}
END_TEST

START_TEST(a_port_that_is_taken_is_waited_for)
{
    int taken = take_port(&second_port);
    ck_assert_int_ge(taken, 0);
    start(2);
    ck_assert_str_eq(children_listen_error(t.children), "");
    configure(2, second_port);
    UNTIL(ready_relays() == 0);
    ck_assert_ptr_nonnull(strstr(children_listen_error(t.children), "Address already in use"));
    UNTIL(!accepts(first_port)); /* nobody is redirected there any more */
    close(taken);
    UNTIL(ready_relays() == 2);
    ck_assert_str_eq(children_listen_error(t.children), "");
    ck_assert(accepts(second_port));
}
END_TEST

START_TEST(the_end_takes_stubborn_children_along)
{
    ev_tstamp begun;
    setenv(MISBEHAVE, "stubborn", 1);
    start(3);
    begun = ev_time();
    children_free(t.children);
    t.children = NULL;
    for (int i = 0; i < 3; i++)
        ck_assert_int_lt(kill(t.pids[i], 0), 0);
    ck_assert_double_lt(ev_time() - begun, 3.);
}
END_TEST

static int *handled; /* shared with the processes */

static void count_signal(int number)
{
    __atomic_add_fetch(handled, 1, __ATOMIC_RELAXED);
}

START_TEST(a_child_that_is_ended_before_it_is_one_runs_no_handler_of_ours)
{
    handled = mmap(NULL, sizeof *handled, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(handled != MAP_FAILED);
    const int none[SPAWN_FDS] = {-1, -1, -1};
    signal(SIGTERM, count_signal);
    for (int i = 0; i < 100; i++) {
        pid_t pid;
        int fd;

        ck_assert_int_eq(spawn_child(program, "prober", none, &pid, &fd), 0);
        kill(pid, SIGTERM);
        spawn_reap(pid, clock_ms() + 10000);
        close(fd);
    }
    ck_assert_int_eq(*handled, 0);
    raise(SIGTERM); /* still ours here, and let through */
    ck_assert_int_eq(*handled, 1);
    munmap(handled, sizeof *handled);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tests;
    SRunner *runner;
    ssize_t length;
    int failed;
    if (argc > 1 && strncmp(argv[1], "--child=", 8) == 0)
        return child_main(strcmp(argv[1] + 8, "relay") == 0);
    /* Two that were free a moment ago; several runs of this program do not meet. */
    for (int i = 0, fds[2] = {take_port(&first_port), take_port(&second_port)}; i < 2; i++)
        close(fds[i]);
    length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0)
        return EXIT_FAILURE;

    suite = suite_create("children");
    tests = tcase_create("children");
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, children_start_configured_and_with_the_route);
    tcase_add_test(tests, a_test_is_asked_for_and_reported);
    tcase_add_test(tests, a_killed_relay_is_replaced_and_its_counters_go_on);
    tcase_add_test(tests, open_sessions_of_a_dead_relay_are_not_counted);
    tcase_add_test(tests, a_killed_prober_is_replaced);
    tcase_add_loop_test(tests, a_child_that_says_what_it_may_not_is_killed, 0, sizeof rubbish / sizeof rubbish[0]);
    tcase_add_test(tests, a_child_that_does_not_answer_pings_is_killed);
    tcase_add_test(tests, a_child_that_answers_pings_stays);
    tcase_add_test(tests, a_child_that_does_not_take_its_configuration_is_killed);
    tcase_add_test(tests, a_child_that_does_not_take_a_reload_is_killed);
    tcase_add_test(tests, a_configuration_is_tried_by_the_prober_alone);
    tcase_add_test(tests, a_configuration_that_the_prober_refuses_goes_nowhere);
    tcase_add_loop_test(tests, a_prober_that_does_not_survive_a_try_starts_with_the_old_one, 0, 2);
    tcase_add_test(tests, a_refused_configuration_is_told);
    tcase_add_test(tests, a_refused_configuration_is_offered_again_with_pauses);
    tcase_add_test(tests, a_child_that_does_not_read_costs_nothing_and_is_killed);
    tcase_add_test(tests, a_child_that_dies_at_once_is_not_restarted_in_a_hot_loop);
    tcase_add_test(tests, sessions_of_all_relays_are_listed);
    tcase_add_loop_test(tests, a_list_ends_though_a_relay_does_not_end_it, 0, 2);
    tcase_add_test(tests, a_list_of_no_relays_ends_from_the_loop);
    tcase_add_test(tests, a_reload_changes_the_number_of_relays);
    tcase_add_test(tests, another_listen_port_needs_new_relays);
    tcase_add_test(tests, the_port_is_held_while_no_relay_lives);
    tcase_add_test(tests, a_port_that_is_taken_is_waited_for);
    tcase_add_test(tests, a_child_that_is_ended_before_it_is_one_runs_no_handler_of_ours);
    tcase_add_test(tests, the_end_takes_stubborn_children_along);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
