/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The test is the gate; a child of its own runs the link at the other end. */
#include "config.h"

#include <assert.h>
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/gate_link.h"
#include "base/log.h"

#define WAIT_MS  10000
#define LIST_OF  2000
#define REPORTS  500
#define TROUBLES 20000

/* ---- the child ---- */

static struct child {
    struct gate_link *link;
    uint64_t list_id, told;
    uint64_t route; /* generation of the latest */
} child;

static bool configure_cb(struct conf *conf, uint32_t index, struct ipc_conf_done *ret_done, void *data)
{
    bool good = conf->listen_port == 15443;
    snprintf(ret_done->detail, DETAIL_MAX, good ? "" : "port %u, relay %u", conf->listen_port, index);
    conf_free(conf);
    return good;
}

static void room_cb(void *data)
{
    struct ipc_message message = {.type = IPC_SESSION};
    for (; child.told < LIST_OF; child.told++) {
        message.session = (struct ipc_session){.request_id = child.list_id, .id = child.told};
        if (!gate_link_offer(child.link, &message))
            return;
    }
    message.type = IPC_SESSIONS_END;
    message.request.id = child.list_id;
    if (child.list_id != 0 && gate_link_offer(child.link, &message))
        child.list_id = 0;
}

static void say_much(uint64_t test_id)
{
    static struct ipc_message message;
    for (uint64_t i = 1; i <= REPORTS; i++) {
        message.type = IPC_REPORT;
        message.report = (struct test_report){.test_id = test_id, .n_servers = 1, .complete = i == REPORTS};
        gate_link_send(child.link, &message);
    }
    for (uint64_t i = 1; i <= TROUBLES; i++) {
        message.type = IPC_TROUBLE;
        message.trouble = (struct ipc_trouble){.generation = i};
        gate_link_send(child.link, &message);
    }
}

/* Says that it is busy, and is until a route has come: the loop cannot bring it. */
static void await_route(void)
{
    struct ipc_message message = {.type = IPC_TROUBLE, .trouble = {.generation = child.route}};
    uint64_t before = child.route;
    gate_link_send(child.link, &message);
    while (child.route == before)
        gate_link_hear(child.link);
    message.trouble.generation = child.route;
    gate_link_send(child.link, &message);
}

static void message_cb(const struct ipc_message *message, void *data)
{
    assert(data == &child); /* check would write its notes into IPC_FD, in whose place it had its own */
    if (message->type == IPC_SESSIONS) {
        child.list_id = message->request.id;
        child.told = 0;
        room_cb(data);
    } else if (message->type == IPC_TEST) {
        say_much(message->test.test_id);
    } else if (message->type == IPC_ROUTE) {
        child.route = message->route.generation;
    } else if (message->type == IPC_ALLOWED) {
        await_route();
    }
}

static int child_main(void)
{
    static const struct gate_link_cbs cbs = {.configure = configure_cb, .message = message_cb, .room = room_cb};
    struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
    int status = EXIT_FAILURE;
    log_init("child", LOG_LEVEL_INFO);
    child.link = gate_link_new(loop, FILTER_RELAY, &cbs, &child);
    if (child.link)
        status = gate_link_run(child.link);
    gate_link_free(child.link);
    ev_loop_destroy(loop);
    return status;
}

/* ---- the gate ---- */

static struct gate {
    pid_t pid;
    int fd;
    struct ipc_message message; /* the last that was heard */
} gate;

static void setup(void)
{
    int ends[2];
    ck_assert_int_eq(ipc_pair(ends), 0);
    gate.fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 10);
    close(ends[0]);
    gate.pid = fork();
    if (gate.pid == 0) {
        close(gate.fd);
        if (ends[1] != IPC_FD && dup2(ends[1], IPC_FD) < 0)
            _exit(9);
        _exit(child_main());
    }
    close(ends[1]);
}

static int end_status(void)
{
    int status;
    close(gate.fd);
    ck_assert_int_eq(waitpid(gate.pid, &status, 0), gate.pid);
    gate.pid = 0;
    return status;
}

/* A child ends well when its gate is gone, whatever happened before. */
static void teardown(void)
{
    if (gate.pid != 0)
        ck_assert_int_eq(end_status(), EXIT_SUCCESS);
}

static const struct ipc_message *hear(void)
{
    struct pollfd readable = {.fd = gate.fd, .events = POLLIN};
    int passed = -1;
    ck_assert_int_eq(poll(&readable, 1, WAIT_MS), 1);
    ck_assert_int_eq(ipc_receive(gate.fd, &gate.message, &passed), 1);
    ck_assert_int_eq(passed, -1);
    return &gate.message;
}

static void say(enum ipc_type type, uint64_t id)
{
    struct ipc_message message = {.type = type, .request.id = id};
    ck_assert_int_eq(ipc_send(gate.fd, &message, -1), 0);
}

static void configure(uint64_t serial, const char *text)
{
    struct ipc_message message = {.type = IPC_CONF, .conf = {.serial = serial, .index = 5}};
    int fd = memfd_create("conf", MFD_CLOEXEC);
    /* As handover.h has it, of a host without a name. */
    ck_assert_int_eq(write(fd, text, strlen(text) + 1), (ssize_t)strlen(text) + 1);
    ck_assert_int_eq(write(fd, "\0", 2), 2);
    ck_assert_int_eq(ipc_send(gate.fd, &message, fd), 0);
    close(fd);
    ck_assert_uint_eq(hear()->type, IPC_CONF_DONE);
    ck_assert_uint_eq(gate.message.conf_done.serial, serial);
}

/* "Seccomp" of /proc/PID/status: 2 is a filter. */
static int status_field(const char *name)
{
    char path[64], line[256];
    int value = -1;
    FILE *stream;
    snprintf(path, sizeof path, "/proc/%d/status", (int)gate.pid);
    stream = fopen(path, "r");
    ck_assert_ptr_nonnull(stream);
    while (fgets(line, sizeof line, stream))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atoi(line + strlen(name));
    fclose(stream);
    return value;
}

#define GOOD "[Proxy]\nServers=192.0.2.1\n[SecureChannel]\nEnabled=no\n"

START_TEST(a_configuration_is_taken)
{
    configure(3, GOOD);
    ck_assert(gate.message.conf_done.ok);
    ck_assert_str_eq(gate.message.conf_done.detail, "");
}
END_TEST

/* Whether it could be used or not: once confined, a process cannot be confined again. */
START_TEST(a_configuration_that_cannot_be_used_is_answered_again_and_again)
{
    for (uint64_t i = 0; i < 3; i++) {
        configure(2 * i, GOOD "[Redirect]\nListenPort=15444\n");
        ck_assert(!gate.message.conf_done.ok);
        ck_assert_str_eq(gate.message.conf_done.detail, "port 15444, relay 5");
        configure(2 * i + 1, "[Proxy]\nServers=192.0.2.1\nNothing=3\nMore=4\n");
        ck_assert(!gate.message.conf_done.ok);
        ck_assert_msg(strstr(gate.message.conf_done.detail, "Nothing"), "%s", gate.message.conf_done.detail);
    }
    configure(9, GOOD);
    ck_assert(gate.message.conf_done.ok);
}
END_TEST

START_TEST(it_is_confined_before_it_has_a_configuration)
{
    say(IPC_PING, 4);
    ck_assert_uint_eq(hear()->type, IPC_PONG);
    ck_assert_uint_eq(gate.message.request.id, 4);
    ck_assert_int_eq(status_field("NoNewPrivs:"), 1);
    ck_assert_int_eq(status_field("Seccomp:"), 2);
}
END_TEST

START_TEST(a_route_is_heard_within_a_turn_of_the_loop)
{
    struct ipc_message route;
    ipc_begin(&route, IPC_ROUTE);
    route.route.generation = 7;
    say(IPC_ALLOWED, 1);
    ck_assert_uint_eq(hear()->type, IPC_TROUBLE);
    ck_assert_uint_eq(gate.message.trouble.generation, 0);
    ck_assert_int_eq(ipc_send(gate.fd, &route, -1), 0);
    ck_assert_uint_eq(hear()->type, IPC_TROUBLE);
    ck_assert_uint_eq(gate.message.trouble.generation, 7);
}
END_TEST

START_TEST(a_list_that_does_not_fit_goes_on_when_there_is_room)
{
    say(IPC_SESSIONS, 17);
    for (uint64_t i = 0; i < LIST_OF; i++) {
        ck_assert_uint_eq(hear()->type, IPC_SESSION);
        ck_assert_uint_eq(gate.message.session.id, i);
    }
    ck_assert_uint_eq(hear()->type, IPC_SESSIONS_END);
    ck_assert_uint_eq(gate.message.request.id, 17);
}
END_TEST

/* Until the gate reads, much is said to it: it hears less, and of each kind the last. */
START_TEST(the_last_of_each_kind_arrives)
{
    unsigned n = 0;
    bool complete = false;
    uint64_t generation = 0;
    say(IPC_TEST, 9);
    say(IPC_PING, 1);
    say(IPC_PING, 2);
    for (bool pong = false; !pong || !complete || generation < TROUBLES; n++) {
        const struct ipc_message *message = hear();
        if (message->type == IPC_REPORT)
            complete = message->report.complete;
        else if (message->type == IPC_TROUBLE)
            generation = message->trouble.generation;
        else
            pong = message->type == IPC_PONG && message->request.id == 2;
    }
    ck_assert_uint_lt(n, REPORTS + TROUBLES);
}
END_TEST

START_TEST(it_ends_when_the_gate_says_what_nobody_understands)
{
    int status;
    say(IPC_PONG, 1);
    ck_assert_int_eq(waitpid(gate.pid, &status, 0), gate.pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
    gate.pid = 0;
    close(gate.fd);
}
END_TEST

START_TEST(it_ends_when_the_gate_leaves_something_unread)
{
    say(IPC_TEST, 9);
    hear();
    ck_assert_int_eq(end_status(), EXIT_SUCCESS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gate link");
    TCase *tests = tcase_create("gate link");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 30);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_configuration_is_taken);
    tcase_add_test(tests, a_configuration_that_cannot_be_used_is_answered_again_and_again);
    tcase_add_test(tests, it_is_confined_before_it_has_a_configuration);
    tcase_add_test(tests, a_route_is_heard_within_a_turn_of_the_loop);
    tcase_add_test(tests, a_list_that_does_not_fit_goes_on_when_there_is_room);
    tcase_add_test(tests, the_last_of_each_kind_arrives);
    tcase_add_test(tests, it_ends_when_the_gate_says_what_nobody_understands);
    tcase_add_test(tests, it_ends_when_the_gate_leaves_something_unread);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
