/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gate/control/server.h"

#define DEADLINE 60. /* seconds; only reached by a failure */
#define NOBODY   65534

/* The linker sends the server's realloc() here. */
static bool short_of_memory;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return short_of_memory ? NULL : __real_realloc(old, size);
}

static struct {
    char directory[32], path[64];
    struct ev_loop *loop;
    struct control *control;
    ev_timer deadline, tick;
    struct control_client *client; /* of the last request that was not answered at once */
    char verb[300];
    bool privileged, many;
    int requests, gone;
} t;

static void on_request(struct control_client *client, const char *verb, bool privileged, void *data)
{
    ck_assert_ptr_eq(data, &t);
    snprintf(t.verb, sizeof t.verb, "%s", verb);
    t.privileged = privileged;
    t.requests++;
    if (strcmp(verb, "later") == 0) {
        t.client = client;
        return;
    }
    control_send(client, "{\"line\": 1}");
    control_send(client, "{\"line\": 2}");
    control_finish(client);
}

static void on_gone(struct control_client *client, void *data)
{
    ck_assert_ptr_eq(data, &t);
    ck_assert(t.many || client == t.client);
    t.client = NULL;
    t.gone++;
}

static const struct control_cbs cbs = {.request = on_request, .gone = on_gone};

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

/* Wakes the loop, so that UNTIL can look at what is not a watcher's. */
static void on_tick(struct ev_loop *loop, ev_timer *watcher, int revents)
{
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ev_run(t.loop, EVRUN_ONCE);                                                                                \
    } while (0)

static void open_control(void)
{
    char error[CONTROL_ERROR_MAX] = "";
    t.control = control_new(t.loop, t.path, &cbs, &t, error);
    ck_assert_msg(t.control, "%s", error);
}

static void set_up(void)
{
    snprintf(t.directory, sizeof t.directory, "/tmp/test_control.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(t.directory));
    ck_assert_int_eq(chmod(t.directory, 0755), 0);
    snprintf(t.path, sizeof t.path, "%s/control.sock", t.directory);
    t.loop = ev_loop_new(0);
    ev_timer_init(&t.deadline, on_deadline, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
    ev_timer_init(&t.tick, on_tick, 0.005, 0.005);
    ev_timer_start(t.loop, &t.tick);
    open_control();
}

static void tear_down(void)
{
    control_free(t.control);
    ck_assert_int_lt(access(t.path, F_OK), 0); /* the socket is removed */
    ck_assert_int_eq(rmdir(t.directory), 0);   /* and nothing else was left there */
    ev_loop_destroy(t.loop);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static int ask(const void *request, size_t size)
{
    int fd = connect_to(t.path);
    ck_assert_int_eq(send(fd, request, size, MSG_NOSIGNAL), (ssize_t)size);
    return fd;
}

/* Reads to the end; true at an orderly one. */
static bool read_some(int fd, char *buf, size_t size, size_t *length)
{
    ssize_t n = recv(fd, buf + *length, size - 1 - *length, 0);
    if (n > 0) {
        *length += (size_t)n;
        buf[*length] = '\0';
    }
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static const char *answer(int fd)
{
    static char buf[4096];
    size_t length = 0;
    buf[0] = '\0';
    UNTIL(read_some(fd, buf, sizeof buf, &length));
    close(fd);
    return buf;
}

#define LINES "{\"line\": 1}\n{\"line\": 2}\n"

START_TEST(a_request_is_answered_line_by_line)
{
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
    ck_assert_str_eq(t.verb, "status");
    ck_assert(t.privileged);
}
END_TEST

START_TEST(a_request_may_come_in_pieces)
{
    int fd = ask("st", 2);
    for (int i = 0; i < 5; i++)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_int_eq(t.requests, 0);
    ck_assert_int_eq(send(fd, "atus\n", 5, 0), 5);
    ck_assert_str_eq(answer(fd), LINES);
}
END_TEST

START_TEST(a_half_closed_client_gets_its_answer)
{
    int fd = ask("later\n", 6);
    shutdown(fd, SHUT_WR);
    UNTIL(t.client);
    for (int i = 0; i < 5; i++)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_int_eq(t.gone, 0);
    control_send(t.client, "{}");
    control_finish(t.client);
    ck_assert_str_eq(answer(fd), "{}\n");
}
END_TEST

static const struct {
    const char *bytes;
    size_t size;
    const char *answer;
} bad[] = {
    {"\n", 1, "{\"error\": \"not a request\"}\n"},
    {"stat\0us\n", 8, "{\"error\": \"not a request\"}\n"},
    {"\x16\x03\x01\n", 4, "{\"error\": \"not a request\"}\n"},
    {"stat\xffus\n", 8, "{\"error\": \"not a request\"}\n"},
};

START_TEST(rubbish_is_refused)
{
    ck_assert_str_eq(answer(ask(bad[_i].bytes, bad[_i].size)), bad[_i].answer);
    ck_assert_int_eq(t.requests, 0);
}
END_TEST

START_TEST(an_endless_request_is_refused)
{
    char bytes[256];
    memset(bytes, 'a', sizeof bytes);
    ck_assert_str_eq(answer(ask(bytes, sizeof bytes)), "{\"error\": \"the request is too long\"}\n");
    bytes[255] = '\n';
    ck_assert_str_eq(answer(ask(bytes, sizeof bytes)), LINES); /* the longest one */
}
END_TEST

START_TEST(a_silent_client_is_dropped)
{
    ck_assert_str_eq(answer(connect_to(t.path)), "");
    ck_assert_int_eq(t.requests, 0);
}
END_TEST

START_TEST(a_client_that_leaves_before_its_request_ended_is_forgotten)
{
    close(ask("stat", 4));
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
    ck_assert_int_eq(t.requests, 1);
    ck_assert_int_eq(t.gone, 0);
}
END_TEST

START_TEST(a_client_that_leaves_midway_is_told_of_from_the_loop)
{
    int fd = ask("later\n", 6);
    UNTIL(t.client);
    close(fd);
    control_send(t.client, "{}");
    ck_assert_int_eq(t.gone, 0);
    UNTIL(t.gone == 1);
}
END_TEST

START_TEST(a_client_that_goes_on_talking_is_dropped)
{
    int fd = ask("later\n", 6);
    UNTIL(t.client);
    ck_assert_int_eq(send(fd, "more\n", 5, 0), 5);
    UNTIL(t.gone == 1);
    close(fd);
}
END_TEST

START_TEST(a_client_that_does_not_read_is_dropped_when_its_queue_is_full)
{
    int fd = ask("later\n", 6);
    char line[1001];
    int lines = 0;
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    UNTIL(t.client);
    /* Never inside the call; what comes after the limit is thrown away. */
    for (; lines < 20000; lines++)
        control_send(t.client, line);
    ck_assert_int_eq(t.gone, 0);
    UNTIL(t.gone == 1);
    close(fd);
}
END_TEST

START_TEST(a_finished_client_that_overflowed_is_not_told_of)
{
    int fd = ask("later\n", 6);
    char line[1001];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    UNTIL(t.client);
    for (int i = 0; i < 20000; i++)
        control_send(t.client, line);
    control_finish(t.client);
    for (int i = 0; i < 5; i++)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_int_eq(t.gone, 0);
    close(fd);
}
END_TEST

START_TEST(a_client_that_stops_reading_is_dropped)
{
    int fd = ask("later\n", 6);
    char line[1001];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    UNTIL(t.client);
    for (int i = 0; i < 2000; i++)
        control_send(t.client, line);
    UNTIL(t.gone == 1); /* after STALL_SECONDS */
    close(fd);
}
END_TEST

START_TEST(a_long_answer_arrives_whole)
{
    int fd = ask("later\n", 6);
    size_t total = 0;
    char line[1001];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    UNTIL(t.client);
    for (int i = 0; i < 2000; i++)
        control_send(t.client, line);
    control_finish(t.client);
    for (;;) {
        static char buf[65536];
        ssize_t n = recv(fd, buf, sizeof buf, 0);
        if (n == 0)
            break;
        if (n > 0)
            total += (size_t)n;
        else
            ev_run(t.loop, EVRUN_ONCE);
    }
    ck_assert_uint_eq(total, 2000 * 1001);
    close(fd);
}
END_TEST

/* Root's clients find a slot when all the others are taken; clients beyond the limit are told. */
START_TEST(clients_are_bounded)
{
    int fds[40];
    for (int i = 0; i < 32; i++)
        fds[i] = ask("later", 5);
    ck_assert_str_eq(answer(ask("status\n", 7)), "{\"error\": \"penstockd has too many clients\"}\n");
    close(fds[0]);
    for (int i = 0; i < 10; i++)
        ev_run(t.loop, EVRUN_ONCE);
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
    for (int i = 1; i < 32; i++)
        close(fds[i]);
}
END_TEST

/* A process of another user: so many connections that wait for an answer and so many silent ones, then one that asks.
 * Leaves 'a' (answered) or 'r' (refused) in the pipe, and stays connected until it is killed. */
static void other_user(uid_t uid, int waiting, int silent, int result)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char buf[200] = "";
    int fd = -1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", t.path);
    if (setgid(uid) < 0 || setuid(uid) < 0)
        _exit(1);
    for (int i = 0; i <= waiting + silent; i++) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
            _exit(1);
        if (i < waiting)
            (void)!send(fd, "later\n", 6, MSG_NOSIGNAL);
    }
    (void)!send(fd, "status\n", 7, MSG_NOSIGNAL);
    (void)!recv(fd, buf, sizeof buf - 1, MSG_WAITALL);
    (void)!write(result, strstr(buf, "too many") ? "r" : "a", 1);
    pause();
}

/* server: as whom the server looks at its clients. */
static pid_t start_other_user(uid_t uid, int waiting, int silent, uid_t server, char *ret_result)
{
    int fds[2];
    pid_t pid;
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0)
        other_user(uid, waiting, silent, fds[1]);
    close(fds[1]);
    ck_assert_int_eq(seteuid(server), 0);
    UNTIL(read(fds[0], ret_result, 1) >= 0);
    ck_assert_int_eq(seteuid(0), 0);
    close(fds[0]);
    return pid;
}

static void end_other_user(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* The server's own user neither: the relays, which meet the network, are of that user. */
START_TEST(everybody_may_ask_but_only_root_as_a_privileged_one)
{
    char result = 0;
    if (geteuid() != 0)
        return;
    end_other_user(start_other_user(NOBODY, 0, 0, _i == 0 ? 0 : NOBODY, &result));
    ck_assert_int_eq(result, 'a');
    ck_assert_str_eq(t.verb, "status");
    ck_assert(!t.privileged);
}
END_TEST

START_TEST(others_cannot_take_roots_places)
{
    char result = 0;
    pid_t pid;
    if (geteuid() != 0)
        return;
    pid = start_other_user(NOBODY, 0, 28, 0, &result);
    ck_assert_int_eq(result, 'r');
    ck_assert_int_eq(t.requests, 0);
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
    end_other_user(pid);
}
END_TEST

START_TEST(a_greedy_user_makes_way_for_another_with_its_idle_ones)
{
    char result = 0;
    pid_t greedy, modest;
    if (geteuid() != 0)
        return;
    greedy = start_other_user(NOBODY, 2, 26, 0, &result);
    ck_assert_int_eq(result, 'r');
    ck_assert_int_eq(t.requests, 2);
    modest = start_other_user(NOBODY - 1, 0, 13, 0, &result);
    ck_assert_int_eq(result, 'a');
    ck_assert_int_eq(t.gone, 0);
    end_other_user(modest);
    end_other_user(greedy);
}
END_TEST

START_TEST(a_greedy_user_that_only_waits_makes_way_too)
{
    char result = 0;
    pid_t greedy, modest;
    if (geteuid() != 0)
        return;
    t.many = true;
    greedy = start_other_user(NOBODY, 28, 0, 0, &result);
    ck_assert_int_eq(result, 'r');
    modest = start_other_user(NOBODY - 1, 0, 0, 0, &result);
    ck_assert_int_eq(result, 'a');
    ck_assert_int_eq(t.gone, 1);
    end_other_user(modest);
    end_other_user(greedy);
}
END_TEST

START_TEST(places_are_shared_not_taken_in_turns)
{
    char result = 0;
    pid_t one, other;
    if (geteuid() != 0)
        return;
    one = start_other_user(NOBODY, 0, 14, 0, &result);
    ck_assert_int_eq(result, 'a');
    other = start_other_user(NOBODY - 1, 0, 14, 0, &result);
    ck_assert_int_eq(result, 'r');
    end_other_user(other);
    end_other_user(one);
}
END_TEST

START_TEST(without_memory_that_is_said)
{
    int fds[2];
    t.many = true;
    for (int i = 0; i < 2; i++) {
        fds[i] = ask("later\n", 6);
        t.client = NULL;
        UNTIL(t.client);
        if (i == 1)
            control_send(t.client, "{}"); /* there was some at first */
        short_of_memory = true;
        for (int lines = 0; lines < 5000; lines++)
            control_send(t.client, "{}");
        if (i == 1)
            control_finish(t.client);
        short_of_memory = false;
    }
    ck_assert_str_eq(answer(fds[0]), "{\"error\": \"out of memory\"}\n");
    ck_assert_int_eq(t.gone, 1); /* the one that was not finished */
    static char all[16384];
    size_t length = 0;
    UNTIL(read_some(fds[1], all, sizeof all, &length));
    close(fds[1]);
    ck_assert_uint_gt(length, 4000);
    ck_assert_str_eq(all + length - strlen("\n{}\n{\"error\": \"out of memory\"}\n"),
                     "\n{}\n{\"error\": \"out of memory\"}\n");
}
END_TEST

START_TEST(the_socket_is_for_everybody)
{
    struct stat st;
    ck_assert_int_eq(stat(t.path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 07777, 0666);
}
END_TEST

START_TEST(a_living_daemon_is_not_replaced)
{
    char error[CONTROL_ERROR_MAX] = "";
    ck_assert_ptr_null(control_new(t.loop, t.path, &cbs, &t, error));
    ck_assert_ptr_nonnull(strstr(error, "another penstockd is running"));
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
}
END_TEST

START_TEST(the_socket_of_a_dead_daemon_is_replaced)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;
    control_free(t.control);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", t.path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    close(fd); /* leaves the file */
    open_control();
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
}
END_TEST

START_TEST(another_file_is_not_replaced)
{
    char error[CONTROL_ERROR_MAX] = "";
    int fd;
    control_free(t.control);
    fd = open(t.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    t.control = control_new(t.loop, t.path, &cbs, &t, error);
    ck_assert_ptr_null(t.control);
    ck_assert_ptr_nonnull(strstr(error, "is not a socket"));
    ck_assert_int_eq(unlink(t.path), 0);
}
END_TEST

START_TEST(a_path_that_cannot_be_is_named)
{
    char path[200], error[CONTROL_ERROR_MAX] = "";
    memset(path, 'a', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    ck_assert_ptr_null(control_new(t.loop, path, &cbs, &t, error));
    ck_assert_ptr_nonnull(strstr(error, "too long"));
    ck_assert_ptr_null(control_new(t.loop, "/nowhere/at/all.sock", &cbs, &t, error));
    ck_assert_ptr_nonnull(strstr(error, "/nowhere/at/all.sock"));
}
END_TEST

START_TEST(the_socket_of_a_successor_is_left_alone)
{
    struct control *first = t.control;
    ck_assert_int_eq(unlink(t.path), 0);
    open_control();
    control_free(first);
    ck_assert_str_eq(answer(ask("status\n", 7)), LINES);
}
END_TEST

START_TEST(the_directory_is_made_for_the_user)
{
    char path[100], error[CONTROL_ERROR_MAX] = "";
    struct stat st;
    if (geteuid() != 0)
        return;
    snprintf(path, sizeof path, "%s/run", t.directory);
    strcat(path, "/control.sock");
    umask(077);
    ck_assert_int_eq(control_make_directory(path, NOBODY, NOBODY, error), 0);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, NOBODY);
    ck_assert_uint_eq(st.st_mode & 07777, 0755);
    ck_assert_int_eq(rmdir(path), 0);

    /* One that was there belongs to somebody else and stays so. */
    ck_assert_int_eq(control_make_directory(t.path, NOBODY, NOBODY, error), 0);
    ck_assert_int_eq(stat(t.directory, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    ck_assert_int_lt(control_make_directory("/nowhere/at/all.sock", NOBODY, NOBODY, error), 0);
    ck_assert_ptr_nonnull(strstr(error, "/nowhere/at"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control");
    TCase *tests = tcase_create("control");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_request_is_answered_line_by_line);
    tcase_add_test(tests, a_request_may_come_in_pieces);
    tcase_add_test(tests, a_half_closed_client_gets_its_answer);
    tcase_add_loop_test(tests, rubbish_is_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tests, an_endless_request_is_refused);
    tcase_add_test(tests, a_silent_client_is_dropped);
    tcase_add_test(tests, a_client_that_leaves_before_its_request_ended_is_forgotten);
    tcase_add_test(tests, a_client_that_leaves_midway_is_told_of_from_the_loop);
    tcase_add_test(tests, a_client_that_goes_on_talking_is_dropped);
    tcase_add_test(tests, a_client_that_does_not_read_is_dropped_when_its_queue_is_full);
    tcase_add_test(tests, a_finished_client_that_overflowed_is_not_told_of);
    tcase_add_test(tests, a_client_that_stops_reading_is_dropped);
    tcase_add_test(tests, a_long_answer_arrives_whole);
    tcase_add_test(tests, clients_are_bounded);
    tcase_add_loop_test(tests, everybody_may_ask_but_only_root_as_a_privileged_one, 0, 2);
    tcase_add_test(tests, others_cannot_take_roots_places);
    tcase_add_test(tests, a_greedy_user_makes_way_for_another_with_its_idle_ones);
    tcase_add_test(tests, a_greedy_user_that_only_waits_makes_way_too);
    tcase_add_test(tests, places_are_shared_not_taken_in_turns);
    tcase_add_test(tests, without_memory_that_is_said);
    tcase_add_test(tests, the_socket_is_for_everybody);
    tcase_add_test(tests, a_living_daemon_is_not_replaced);
    tcase_add_test(tests, the_socket_of_a_dead_daemon_is_replaced);
    tcase_add_test(tests, another_file_is_not_replaced);
    tcase_add_test(tests, a_path_that_cannot_be_is_named);
    tcase_add_test(tests, the_socket_of_a_successor_is_left_alone);
    tcase_add_test(tests, the_directory_is_made_for_the_user);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
