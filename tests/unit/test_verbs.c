/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who asks gets an answer, whatever happens. The control socket is a real one; tests, reloads, relays and rules below
 * are as this program says, the linker takes them instead of the gate's. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gate/control/verbs.h"
#include "gate/decide/refusals.h"
#include "gate/rules/foreign.h"
#include "gate/rules/keeper.h"

#define DEADLINE 20. /* seconds; only reached by a failure */
#define SHORT    "{\"error\": \"out of memory\"}\n"

/* ---- what is below ---- */

static struct {
    char directory[32], path[64];
    struct ev_loop *loop;
    struct conf *conf;
    struct control *control;
    struct verbs *verbs;
    struct enforcement enforcement;
    struct test_run test_run;
    struct servers servers;
    struct reload reload;
    struct foreign foreign;
    struct status_source status;
    struct refusals refusals;
    ev_timer deadline;
    uint64_t test_id; /* that runs or ran last; 0: no prober */
    bool test_over;
    const char *why;
    uint64_t reload_number;
    bool reload_over;
    struct texts reload_texts;
    uint64_t list_id; /* asked for last */
    int lists;
} t;

uint64_t test_run_test_now(struct test_run *test_run)
{
    return t.test_id;
}

bool test_run_is_over(const struct test_run *test_run, uint64_t id, const char **ret_why)
{
    ck_assert_uint_eq(id, t.test_id);
    *ret_why = t.why;
    return t.test_over;
}

time_t test_run_next_at(const struct test_run *test_run)
{
    return 0;
}

bool test_run_can_test(const struct test_run *test_run)
{
    return t.test_id != 0;
}

uint64_t reload_request(struct reload *reload)
{
    return ++t.reload_number;
}

bool reload_is_over(const struct reload *reload, uint64_t number)
{
    ck_assert_uint_le(number, t.reload_number);
    return t.reload_over;
}

const struct texts *reload_texts(const struct reload *reload)
{
    return &t.reload_texts;
}

void children_list_sessions(struct children *children, uint64_t request_id)
{
    ck_assert_uint_gt(request_id, t.list_id);
    t.list_id = request_id;
    t.lists++;
}

const char *children_listen_error(const struct children *children)
{
    return "";
}

void children_count_relays(const struct children *children, unsigned *ret_ready, unsigned *ret_wanted)
{
    *ret_ready = *ret_wanted = 1;
}

const struct shares *children_shares(const struct children *children)
{
    static const struct shares none;
    return &none;
}

void children_read_stats(const struct children *children, struct stats *ret_sum)
{
    *ret_sum = (struct stats){.sessions_open = 1};
}

struct counters keeper_count(const struct keeper *keeper)
{
    return (struct counters){.known = true, .bypassed = 118, .rejected = 7};
}

void keeper_status(const struct keeper *keeper, struct status_rules *ret_status)
{
    *ret_status = (struct status_rules){.installed = true};
}

/* Memory: of the server and the verbs by the linker, of the JSON library by its own door. */
static bool short_of_memory;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    return short_of_memory ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return short_of_memory ? NULL : __real_realloc(old, size);
}

static void *json_malloc_cb(size_t size)
{
    return short_of_memory ? NULL : malloc(size);
}

/* ---- clients ---- */

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

static void turn(void)
{
    ev_run(t.loop, EVRUN_NOWAIT);
    verbs_settle(t.verbs);
}

static int ask(const char *verb)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", t.path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(dprintf(fd, "%s\n", verb), (int)strlen(verb) + 1);
    for (int i = 0; i < 4; i++) /* accepted, read, and whatever follows at once */
        turn();
    return fd;
}

/* What has come so far; at the end of the answer also "." */
static const char *heard(int fd)
{
    static char text[8192];
    size_t length = 0;
    ssize_t n = 1;
    for (int i = 0; i < 4; i++)
        turn();
    while (n > 0 && length < sizeof text - 2) {
        n = recv(fd, text + length, sizeof text - 2 - length, 0);
        if (n > 0)
            length += (size_t)n;
    }
    ck_assert(n == 0 || errno == EAGAIN);
    snprintf(text + length, 2, "%s", n == 0 ? "." : "");
    return text;
}

#define HEARS(fd, expected) ck_assert_str_eq(heard(fd), expected)

/* The last line is the status. */
static void hears_status(int fd)
{
    const char *text = heard(fd);
    ck_assert_msg(strstr(text, "{\"verdict\":") == text && text[strlen(text) - 1] == '.', "%s", text);
}

static void set_up(void)
{
    static char text[] = "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\nHeader=Proxy-Authorization: Basic c2VjcmV0\n";
    char error[CONTROL_ERROR_MAX] = "";
    FILE *stream = fmemopen(text, sizeof text - 1, "r");
    memset(&t, 0, sizeof t);
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &t.conf), 0);
    fclose(stream);
    json_set_alloc_funcs(json_malloc_cb, free);
    snprintf(t.directory, sizeof t.directory, "/tmp/test_verbs.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(t.directory));
    snprintf(t.path, sizeof t.path, "%s/control.sock", t.directory);
    t.loop = ev_loop_new(0);
    t.test_id = 1;
    t.reload.conf = t.conf;
    t.status = (struct status_source){.enforcement = &t.enforcement,
                                      .test_run = &t.test_run,
                                      .servers = &t.servers,
                                      .reload = &t.reload,
                                      .foreign = &t.foreign,
                                      .refusals = &t.refusals};
    t.verbs = verbs_new(&(struct verbs_parts){.test_run = &t.test_run, .reload = &t.reload, .status = &t.status});
    t.control = control_new(t.loop, t.path, &verbs_control_cbs, t.verbs, error);
    ck_assert_msg(t.control, "%s", error);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
}

static void tear_down(void)
{
    short_of_memory = false;
    control_free(t.control);
    verbs_free(t.verbs);
    texts_clear(&t.reload_texts);
    conf_free(t.conf);
    ev_loop_destroy(t.loop);
    ck_assert_int_eq(rmdir(t.directory), 0);
}

/* ---- tests ---- */

START_TEST(status_and_config_are_answered_at_once)
{
    const char *text;
    int fd = ask("status");
    hears_status(fd);
    close(fd);
    fd = ask("config");
    text = heard(fd);
    ck_assert_ptr_nonnull(strstr(text, "Header=Proxy-Authorization: (hidden)"));
    close(fd);
    fd = ask("config secrets");
    text = heard(fd);
    ck_assert_ptr_nonnull(strstr(text, "Header=Proxy-Authorization: Basic c2VjcmV0"));
    close(fd);
    fd = ask("configuration");
    HEARS(fd, "{\"error\":\"unknown request\"}\n.");
    close(fd);
}
END_TEST

START_TEST(others_than_root_get_the_status_alone)
{
    static const char *const verbs[] = {"config", "config secrets", "test", "sessions", "top", "reload"};
    int fd;
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(chmod(t.directory, 0755), 0);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(seteuid(65534), 0); /* as whom it connects */
        fd = ask(verbs[i]);
        ck_assert_int_eq(seteuid(0), 0);
        HEARS(fd, "{\"error\":\"permission denied: only root may ask for that\"}\n.");
        close(fd);
    }
    ck_assert_int_eq(t.lists, 0);
    ck_assert_uint_eq(t.reload_number, 0);
    ck_assert_int_eq(seteuid(65534), 0);
    fd = ask("status");
    ck_assert_int_eq(seteuid(0), 0);
    hears_status(fd);
    close(fd);
}
END_TEST

START_TEST(a_test_gives_each_stage_once_then_the_status)
{
    static struct test_report report;
    int fd = ask("test"), other = ask("test");
    report = (struct test_report){.test_id = 1, .n_servers = 1};
    HEARS(fd, "");
    report.servers[0].stages[STAGE_SECURE_TCP].outcome = TEST_RUNNING;
    verbs_on_report(t.verbs, &report);
    HEARS(fd, "");
    report.servers[0].stages[STAGE_SECURE_TCP].outcome = TEST_PASSED;
    verbs_on_report(t.verbs, &report);
    ck_assert_ptr_nonnull(strstr(heard(fd), "\"stage\":\"tcp\""));
    verbs_on_report(t.verbs, &report);
    HEARS(fd, "");
    report.test_id = 2; /* not the one that they wait for */
    report.servers[0].stages[STAGE_MUTUAL_AUTH].outcome = TEST_PASSED;
    verbs_on_report(t.verbs, &report);
    HEARS(fd, "");
    t.test_over = true;
    hears_status(fd);
    ck_assert_ptr_nonnull(strstr(heard(other), "\"stage\":\"tcp\""));
    close(fd);
    close(other);
}
END_TEST

START_TEST(a_test_without_a_result_says_why)
{
    int fd = ask("test");
    t.test_over = true;
    t.why = "the prober ended";
    HEARS(fd, "{\"error\":\"the prober ended\"}\n.");
    close(fd);
    t.test_id = 0;
    fd = ask("test");
    HEARS(fd, "{\"error\":\"the prober is being started; try again in a moment\"}\n.");
    close(fd);
}
END_TEST

/* The open ones and the finished ones are one list; who wants the open ones alone gets no sums. */
START_TEST(sums_go_to_who_asked_for_them)
{
    struct ipc_session session = {.request_id = 1, .name = "www.example"};
    struct ipc_sum sum = {.request_id = 1, .sum = {.by = SUM_BY_NAME, .key = "done.example", .sessions = 3, .down = 9}};
    int sessions, top, first = ask("top");
    ck_assert_int_eq(t.lists, 1);
    verbs_on_sum(t.verbs, &sum);
    verbs_on_sessions_end(t.verbs, 1);
    HEARS(first,
          "{\"by\":\"name\",\"key\":\"done.example\",\"others\":false,\"sessions\":3,\"failed\":0,\"bytes\":{\"up\":0,"
          "\"down\":9}}\n.");
    sessions = ask("sessions");
    top = ask("top"); /* comes while that list is being made */
    session.request_id = sum.request_id = 2;
    verbs_on_session(t.verbs, &session);
    verbs_on_sum(t.verbs, &sum);
    verbs_on_sessions_end(t.verbs, 2);
    ck_assert_ptr_null(strstr(heard(sessions), "done.example"));
    session.request_id = sum.request_id = 3;
    verbs_on_session(t.verbs, &session);
    verbs_on_sum(t.verbs, &sum);
    ck_assert_ptr_nonnull(strstr(heard(top), "done.example"));
    verbs_on_sessions_end(t.verbs, 3);
    close(first);
    close(sessions);
    close(top);
}
END_TEST

START_TEST(one_list_serves_all_who_came_before_it_began)
{
    struct ipc_session session = {.name = "www.example"};
    int first = ask("sessions"), second, third;
    ck_assert_int_eq(t.lists, 1);
    second = ask("sessions");
    third = ask("sessions");
    ck_assert_int_eq(t.lists, 1); /* the next one begins when this one has ended */
    session.request_id = 1;
    verbs_on_session(t.verbs, &session);
    ck_assert_ptr_nonnull(strstr(heard(first), "www.example"));
    HEARS(second, "");
    verbs_on_sessions_end(t.verbs, 1);
    HEARS(first, ".");
    ck_assert_int_eq(t.lists, 2);
    session.request_id = 2;
    verbs_on_session(t.verbs, &session);
    ck_assert_ptr_nonnull(strstr(heard(second), "www.example"));
    ck_assert_ptr_nonnull(strstr(heard(third), "www.example"));
    verbs_on_sessions_end(t.verbs, 2);
    HEARS(second, ".");
    HEARS(third, ".");
    ck_assert_int_eq(t.lists, 2);
    close(first);
    close(second);
    close(third);
}
END_TEST

START_TEST(a_reload_is_answered_when_it_is_over)
{
    int fd = ask("reload"), other = ask("reload");
    ck_assert_uint_eq(t.reload_number, 2);
    HEARS(fd, "");
    t.reload_over = true;
    HEARS(fd, "{\"ok\":true}\n.");
    HEARS(other, "{\"ok\":true}\n.");
    close(fd);
    close(other);
    texts_add(&t.reload_texts, "no such key");
    t.reload.refused = true;
    fd = ask("reload");
    HEARS(fd, "{\"ok\":false,\"errors\":[\"no such key\"]}\n.");
    close(fd);
}
END_TEST

START_TEST(a_client_that_left_is_not_waited_for)
{
    struct ipc_session session = {.request_id = 1};
    close(ask("test"));
    close(ask("reload"));
    close(ask("sessions"));
    for (int i = 0; i < 4; i++)
        turn();
    verbs_on_session(t.verbs, &session); /* writing to it shows that it left */
    for (int i = 0; i < 4; i++)
        turn();
    verbs_on_sessions_end(t.verbs, 1);
    t.test_over = t.reload_over = true;
    turn();
    int fd = ask("status");
    hears_status(fd);
    close(fd);
}
END_TEST

START_TEST(who_waits_at_the_end_is_told)
{
    static const char *const verbs[] = {"test", "sessions", "reload"};
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = ask(verbs[i]);
    verbs_stop(t.verbs);
    control_free(t.control);
    t.control = NULL;
    for (int i = 0; i < 3; i++) {
        char text[100] = "";
        ck_assert_int_gt((int)recv(fds[i], text, sizeof text - 1, 0), 0);
        ck_assert_str_eq(text, "{\"error\":\"penstockd is stopping\"}\n");
        close(fds[i]);
    }
}
END_TEST

static const char *const all_verbs[] = {"status", "config", "test", "sessions", "reload"};

/* The memory goes after the client was accepted, with its request. */
START_TEST(without_memory_at_the_request_the_answer_says_so)
{
    int fd = ask("");
    close(fd);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", t.path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    turn();
    short_of_memory = true;
    ck_assert_int_gt(dprintf(fd, "%s\n", all_verbs[_i]), 0);
    HEARS(fd, SHORT ".");
    close(fd);
}
END_TEST

START_TEST(without_memory_at_the_end_of_a_wait_the_answer_says_so)
{
    int test = ask("test"), reload = ask("reload"), sessions = ask("sessions");
    struct ipc_session session = {.request_id = 1};
    short_of_memory = true;
    t.test_over = t.reload_over = true;
    HEARS(test, SHORT ".");
    HEARS(reload, SHORT ".");
    verbs_on_session(t.verbs, &session);
    verbs_on_sessions_end(t.verbs, 1);
    HEARS(sessions, SHORT ".");
    close(test);
    close(reload);
    close(sessions);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verbs");
    TCase *tests = tcase_create("verbs");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, status_and_config_are_answered_at_once);
    tcase_add_test(tests, others_than_root_get_the_status_alone);
    tcase_add_test(tests, a_test_gives_each_stage_once_then_the_status);
    tcase_add_test(tests, a_test_without_a_result_says_why);
    tcase_add_test(tests, one_list_serves_all_who_came_before_it_began);
    tcase_add_test(tests, sums_go_to_who_asked_for_them);
    tcase_add_test(tests, a_reload_is_answered_when_it_is_over);
    tcase_add_test(tests, a_client_that_left_is_not_waited_for);
    tcase_add_test(tests, who_waits_at_the_end_is_told);
    tcase_add_loop_test(tests, without_memory_at_the_request_the_answer_says_so, 0, 5);
    tcase_add_test(tests, without_memory_at_the_end_of_a_wait_the_answer_says_so);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
