/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of a configuration into force. Children, rules, tests and verdict below write down what is done to them; the
 * linker takes them instead of the gate's. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/reload.h"

#define DEADLINE 20. /* seconds; only reached by a failure */

static struct {
    char path[32];
    struct ev_loop *loop;
    ev_timer deadline;
    struct enforcement enforcement;
    struct servers servers;
    struct file_watch file_watch;
    struct reload reload;
    char done[512];
    int try_result, configure_result;
    uint64_t serial, files;
    bool trying, settled;
    const char *complaints[2];
} t;

static void note(const char *what)
{
    size_t length = strlen(t.done);
    snprintf(t.done + length, sizeof t.done - length, "%s%s", length > 0 ? ", " : "", what);
}

int children_try(struct children *children, const struct conf *conf, uint64_t *ret_serial)
{
    ck_assert(!t.trying);
    note("try");
    if (t.try_result < 0)
        return t.try_result;
    t.trying = true;
    *ret_serial = ++t.serial;
    return 0;
}

void children_end_try(struct children *children)
{
    ck_assert(t.trying);
    t.trying = false;
    note("end try");
}

int children_configure(struct children *children, const struct conf *conf)
{
    note("configure");
    if (t.configure_result == 0) {
        t.serial++;
        t.trying = false;
    }
    return t.configure_result;
}

bool children_settled(const struct children *children)
{
    return t.settled;
}

const char *children_complaint(const struct children *children, unsigned i)
{
    return i < 2 ? t.complaints[i] : NULL;
}

const char *child_name(const struct child *child)
{
    return "relay 0";
}

void keeper_set_conf(struct keeper *keeper, const struct conf *conf)
{
    ck_assert_ptr_eq(conf, t.reload.conf);
    note("rules");
}

void foreign_set_conf(struct foreign *foreign, const struct conf *conf)
{
    ck_assert_ptr_eq(conf, t.reload.conf);
}

void trial_set_conf(struct trial *trial, const struct conf *conf)
{
    ck_assert_ptr_eq(conf, t.reload.conf);
}

void users_set_conf(struct users *users, struct conf *conf)
{
    ck_assert_ptr_eq(conf, t.reload.conf);
}

uint64_t file_watch_look(const struct conf *conf)
{
    return t.files;
}

void file_watch_set_conf(struct file_watch *watch, const struct conf *conf)
{
    watch->seen = t.files;
}

void test_run_set_conf(struct test_run *test_run, const struct conf *conf)
{
    ck_assert_ptr_eq(conf, t.reload.conf);
    note("tests");
}

void enforce_pursue(struct enforcement *enforcement, const struct verdict *wanted)
{
    note(verdict_mode_text(verdict_mode(wanted->kind)));
}

/* ---- */

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            ev_run(t.loop, EVRUN_ONCE);                                                                                \
    } while (0)
#define DONE(text)                                                                                                     \
    do {                                                                                                               \
        ck_assert_str_eq(t.done, text);                                                                                \
        t.done[0] = '\0';                                                                                              \
    } while (0)

static void write_conf(const char *port, const char *more)
{
    FILE *file = fopen(t.path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "[Proxy]\nServers=192.0.2.1\nPort=%s\nSecurePort=8081\n%s", port, more);
    ck_assert_int_eq(fclose(file), 0);
}

static void set_up(void)
{
    int fd;
    log_init("test", LOG_LEVEL_ERROR);
    memset(&t, 0, sizeof t);
    t.complaints[0] = t.complaints[1] = "";
    snprintf(t.path, sizeof t.path, "/tmp/test_reload.XXXXXX");
    fd = mkstemp(t.path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    write_conf("8080", "[SecureChannel]\nAllowFallback=yes\n[Failure]\nOnUnavailable=direct\n");
    t.loop = ev_loop_new(0);
    t.enforcement.wanted.kind = VERDICT_SECURE;
    t.reload = (struct reload){.loop = t.loop,
                               .path = t.path,
                               .keeper = (struct keeper *)&t, /* none of these is looked into */
                               .children = (struct children *)&t,
                               .servers = &t.servers,
                               .file_watch = &t.file_watch,
                               .enforcement = &t.enforcement};
    ck_assert_int_eq(conf_load(t.path, NULL, NULL, &t.reload.conf), 0);
    reload_init(&t.reload);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
}

static void tear_down(void)
{
    reload_fini(&t.reload);
    ev_loop_destroy(t.loop);
    ck_assert_int_eq(unlink(t.path), 0);
}

static bool conf_done(uint64_t serial, bool ok, const char *detail)
{
    struct ipc_conf_done done = {.serial = serial, .ok = ok};
    snprintf(done.detail, sizeof done.detail, "%s", detail);
    return reload_on_conf_done(&t.reload, (const struct child *)&t, &done);
}

static const char *only_text(void)
{
    const struct texts *texts = reload_texts(&t.reload);
    ck_assert_uint_eq(texts->n, 1);
    return texts->lines[0];
}

START_TEST(a_good_one_is_tried_then_put_in_force_everywhere)
{
    uint64_t number;
    write_conf("3128", "");
    number = reload_request(&t.reload);
    ck_assert_uint_eq(number, 1);
    DONE("try");
    ck_assert_uint_eq(t.reload.conf->port, 8080);
    ck_assert(!reload_is_over(&t.reload, number));
    ck_assert(!conf_done(t.serial, true, "")); /* not yet a test with it */
    DONE("configure, rules, tests, secure");
    ck_assert_uint_eq(t.reload.conf->port, 3128);
    ck_assert_str_eq(t.servers.list[0].report.server, "192.0.2.1");
    ck_assert(!reload_is_over(&t.reload, number));
    ck_assert(conf_done(t.serial, true, ""));
    ck_assert(!reload_is_over(&t.reload, number));
    t.settled = true;
    ck_assert(conf_done(t.serial, true, ""));
    ck_assert(reload_is_over(&t.reload, number));
    ck_assert(!t.reload.refused);
    ck_assert_uint_eq(reload_texts(&t.reload)->n, 0);
    DONE("");
    ck_assert(!ev_is_active(&t.reload.timer));
}
END_TEST

START_TEST(a_bad_one_is_refused_with_every_mistake)
{
    uint64_t number;
    write_conf("99999", "[Nonsense]\nKey=1\n");
    number = reload_request(&t.reload);
    DONE("");
    ck_assert(reload_is_over(&t.reload, number));
    ck_assert(t.reload.refused);
    ck_assert_uint_ge(reload_texts(&t.reload)->n, 2);
    ck_assert_ptr_nonnull(strstr(reload_texts(&t.reload)->lines[0], ":3: "));
    ck_assert_uint_eq(t.reload.conf->port, 8080);
    /* The next one begins with nothing of it. */
    write_conf("3128", "");
    t.settled = true;
    reload_request(&t.reload);
    conf_done(t.serial, true, "");
    conf_done(t.serial, true, "");
    ck_assert(!t.reload.refused);
    ck_assert_uint_eq(reload_texts(&t.reload)->n, 0);
}
END_TEST

START_TEST(one_that_the_prober_refuses_stays_out)
{
    uint64_t number = reload_request(&t.reload);
    ck_assert(!conf_done(t.serial, false, _i == 0 ? "no such key" : ""));
    DONE("try, end try");
    ck_assert(reload_is_over(&t.reload, number));
    ck_assert(t.reload.refused);
    ck_assert_str_eq(only_text(), _i == 0 ? "no such key" : "the configuration could not be taken");
}
END_TEST

START_TEST(a_prober_that_ends_in_the_try_refuses_it)
{
    uint64_t number;
    reload_on_prober_lost(&t.reload); /* nothing to do with it */
    number = reload_request(&t.reload);
    reload_on_prober_lost(&t.reload);
    DONE("try, end try");
    ck_assert(reload_is_over(&t.reload, number) && t.reload.refused);
    ck_assert_str_eq(only_text(), "the prober ended while it read the configuration; try again");
}
END_TEST

START_TEST(without_a_prober_it_is_taken_untried)
{
    t.try_result = -EAGAIN;
    write_conf("3128", "");
    reload_request(&t.reload);
    DONE("try, configure, rules, tests, secure");
    ck_assert_uint_eq(t.reload.conf->port, 3128);
    ck_assert(!t.reload.refused);
}
END_TEST

START_TEST(what_cannot_be_passed_is_refused)
{
    uint64_t number;
    t.try_result = -ENOMEM;
    number = reload_request(&t.reload);
    DONE("try");
    ck_assert(reload_is_over(&t.reload, number) && t.reload.refused);
    ck_assert_str_eq(only_text(), "Cannot allocate memory");
    t.try_result = 0;
    t.configure_result = -EMFILE;
    number = reload_request(&t.reload);
    conf_done(t.serial, true, "");
    DONE("try, configure, end try");
    ck_assert(reload_is_over(&t.reload, number) && t.reload.refused);
    ck_assert_str_eq(only_text(), "Too many open files");
    ck_assert_uint_eq(t.reload.conf->port, 8080);
}
END_TEST

START_TEST(those_asked_for_during_another_are_one_that_follows)
{
    uint64_t first = reload_request(&t.reload), second, third;
    write_conf("3128", "");
    second = reload_request(&t.reload);
    third = reload_request(&t.reload);
    ck_assert_uint_eq(second, first + 1);
    ck_assert_uint_eq(third, second);
    conf_done(t.serial, true, "");
    ck_assert_uint_eq(reload_request(&t.reload), second);
    DONE("try, configure, rules, tests, secure");
    ck_assert_uint_eq(t.reload.conf->port, 8080); /* read before the file changed */
    t.settled = true;
    conf_done(t.serial, true, "");
    ck_assert(reload_is_over(&t.reload, first)); /* those who wait for it are told before the next begins */
    ck_assert(!reload_is_over(&t.reload, second));
    ck_assert_uint_eq(reload_request(&t.reload), second);
    DONE("");
    UNTIL(t.done[0] != '\0');
    DONE("try");
    ck_assert(!reload_is_over(&t.reload, first)); /* what is over is told of the last one alone */
    conf_done(t.serial, true, "");
    conf_done(t.serial, true, "");
    ck_assert(reload_is_over(&t.reload, second));
    ck_assert_uint_eq(t.reload.conf->port, 3128);
    ck_assert_int_eq(ev_run(t.loop, EVRUN_NOWAIT), 1); /* and none follows */
}
END_TEST

START_TEST(what_children_complain_of_is_a_warning_until_they_do_not)
{
    t.complaints[0] = t.complaints[1] = "no such key";
    ck_assert(conf_done(0, false, "no such key"));
    ck_assert_str_eq(only_text(), "no such key"); /* of both */
    t.complaints[1] = "port is taken";
    ck_assert(conf_done(0, false, "port is taken"));
    ck_assert_uint_eq(t.reload.warnings.n, 2);
    t.complaints[0] = t.complaints[1] = "";
    ck_assert(conf_done(0, true, ""));
    ck_assert_uint_eq(t.reload.warnings.n, 0);
}
END_TEST

/* ---- the files alone ---- */

START_TEST(files_that_have_changed_are_tried_and_taken_with_the_configuration_in_force)
{
    struct conf *conf = t.reload.conf;
    write_conf("3128", ""); /* half an edit, for all that it knows */
    reload_files(&t.reload);
    DONE("try");
    ck_assert(!conf_done(t.serial, true, ""));
    DONE("configure, tests");
    ck_assert_ptr_eq(t.reload.conf, conf);
    ck_assert_uint_eq(t.reload.number, 0);
    t.settled = true;
    ck_assert(conf_done(t.serial, true, "")); /* and tests */
    ck_assert_int_eq(t.reload.state, RELOAD_IDLE);
    ck_assert_uint_eq(t.reload.warnings.n, 0);
    ck_assert(!ev_is_active(&t.reload.timer));
}
END_TEST

START_TEST(files_that_do_not_go_together_stay_out_until_they_do)
{
    reload_files(&t.reload);
    conf_done(t.serial, false, "the key is another one");
    DONE("try, end try");
    ck_assert_int_eq(t.reload.state, RELOAD_IDLE);
    ck_assert_str_eq(only_text(), "files of [SecureChannel] have changed and are not in force: the key is another one");
    ck_assert(!ev_is_active(&t.reload.timer));
    reload_files(&t.reload);
    conf_done(t.serial, true, "");
    DONE("try, configure, tests");
    ck_assert_uint_eq(reload_texts(&t.reload)->n, 0);
}
END_TEST

START_TEST(files_are_never_taken_untried)
{
    t.try_result = -EAGAIN;
    reload_files(&t.reload);
    DONE("try");
    ck_assert(ev_is_active(&t.reload.timer));
    t.try_result = 0;
    UNTIL(t.done[0] != '\0');
    DONE("try");
    reload_on_prober_lost(&t.reload);
    DONE("end try");
    UNTIL(t.done[0] != '\0');
    DONE("try");
    conf_done(t.serial, true, "");
    DONE("configure, tests");
}
END_TEST

/* Or the certificate would be forgotten, for it is not told of twice. */
START_TEST(files_that_wait_outlast_a_reload_that_is_refused)
{
    t.try_result = -EAGAIN;
    reload_files(&t.reload);
    DONE("try");
    t.try_result = 0;
    write_conf("99999", "");
    reload_request(&t.reload);
    DONE("");
    UNTIL(t.done[0] != '\0');
    DONE("try");
    conf_done(t.serial, true, "");
    DONE("configure, tests");
}
END_TEST

START_TEST(files_that_change_while_a_reload_is_tried_follow_it)
{
    t.settled = true;
    reload_request(&t.reload);
    t.files++;
    conf_done(t.serial, true, "");
    conf_done(t.serial, true, "");
    DONE("try, configure, rules, tests, secure");
    UNTIL(t.done[0] != '\0');
    DONE("try");
}
END_TEST

/* The second file comes while the first one waits for a prober: one try, and its own time. */
START_TEST(a_second_change_does_not_run_into_the_time_of_the_first)
{
    t.try_result = -EAGAIN;
    reload_files(&t.reload);
    ck_assert(ev_is_active(&t.reload.timer));
    t.try_result = 0;
    reload_files(&t.reload);
    DONE("try, try");
    ck_assert(!ev_is_active(&t.reload.timer));
}
END_TEST

START_TEST(a_reload_and_files_wait_for_each_other)
{
    uint64_t first, second;
    t.settled = true;
    reload_files(&t.reload);
    first = reload_request(&t.reload);
    ck_assert_uint_eq(first, 1);
    ck_assert(!reload_is_over(&t.reload, first));
    conf_done(t.serial, true, "");
    conf_done(t.serial, true, "");
    DONE("try, configure, tests");
    ck_assert(!reload_is_over(&t.reload, first));
    UNTIL(t.done[0] != '\0');
    DONE("try");
    reload_files(&t.reload); /* they may have been read before */
    conf_done(t.serial, true, "");
    conf_done(t.serial, true, "");
    DONE("configure, rules, tests, secure");
    ck_assert(reload_is_over(&t.reload, first));
    UNTIL(t.done[0] != '\0');
    DONE("try");
    ck_assert(reload_is_over(&t.reload, first)); /* who waited for it does not wait for them */
    second = reload_request(&t.reload);
    ck_assert_uint_eq(second, 2);
    ck_assert(!reload_is_over(&t.reload, second));
    conf_done(t.serial, false, "no");
    DONE("end try");
    UNTIL(t.done[0] != '\0');
    DONE("try");
}
END_TEST

START_TEST(relays_that_do_not_answer_are_waited_for_so_long)
{
    uint64_t number = reload_request(&t.reload);
    ev_tstamp begun;
    conf_done(t.serial, true, "");
    begun = ev_now(t.loop);
    UNTIL(reload_is_over(&t.reload, number));
    ck_assert_double_ge(ev_now(t.loop) - begun, 11.5);
    ck_assert(!t.reload.refused);
    ck_assert_str_eq(only_text(), "not all relays have taken the configuration yet");
}
END_TEST

static const struct {
    enum verdict_kind wanted;
    const char *more, *expected;
} changes[] = {
    {VERDICT_SECURE, "", "secure"},
    {VERDICT_NO_PROXY, "", "blocked"},
    {VERDICT_PLAIN, "", "blocked"},
    {VERDICT_PLAIN, "[SecureChannel]\nAllowFallback=yes\n", "plain"},
    {VERDICT_PLAIN, "[SecureChannel]\nEnabled=no\n", "plain"},
    {VERDICT_NO_PROXY_DIRECT, "", "blocked"},
    {VERDICT_NO_PROXY_DIRECT, "[Failure]\nOnUnavailable=direct\n", "direct"},
};

START_TEST(a_verdict_that_the_new_one_does_not_allow_ends_at_once)
{
    char expected[100];
    t.enforcement.wanted.kind = changes[_i].wanted;
    write_conf("3128", changes[_i].more);
    reload_request(&t.reload);
    conf_done(t.serial, true, "");
    snprintf(expected, sizeof expected, "try, configure, rules, tests, %s", changes[_i].expected);
    DONE(expected);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reload");
    TCase *tests = tcase_create("reload");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_good_one_is_tried_then_put_in_force_everywhere);
    tcase_add_test(tests, a_bad_one_is_refused_with_every_mistake);
    tcase_add_loop_test(tests, one_that_the_prober_refuses_stays_out, 0, 2);
    tcase_add_test(tests, a_prober_that_ends_in_the_try_refuses_it);
    tcase_add_test(tests, without_a_prober_it_is_taken_untried);
    tcase_add_test(tests, what_cannot_be_passed_is_refused);
    tcase_add_test(tests, those_asked_for_during_another_are_one_that_follows);
    tcase_add_test(tests, what_children_complain_of_is_a_warning_until_they_do_not);
    tcase_add_test(tests, relays_that_do_not_answer_are_waited_for_so_long);
    tcase_add_test(tests, files_that_have_changed_are_tried_and_taken_with_the_configuration_in_force);
    tcase_add_test(tests, files_that_do_not_go_together_stay_out_until_they_do);
    tcase_add_test(tests, files_are_never_taken_untried);
    tcase_add_test(tests, files_that_wait_outlast_a_reload_that_is_refused);
    tcase_add_test(tests, files_that_change_while_a_reload_is_tried_follow_it);
    tcase_add_test(tests, a_second_change_does_not_run_into_the_time_of_the_first);
    tcase_add_test(tests, a_reload_and_files_wait_for_each_other);
    tcase_add_loop_test(tests, a_verdict_that_the_new_one_does_not_allow_ends_at_once, 0,
                        sizeof changes / sizeof changes[0]);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
