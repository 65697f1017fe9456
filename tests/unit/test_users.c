/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This program is its own child: started with --child=users it looks up names as the daemon's does, in a file of the
 * test's. */
#include "config.h"

#include <check.h>
#include <ev.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/host/users.h"

#define DEADLINE 20.

static char program[4096];
static char passwd[] = "/tmp/test_users.XXXXXX";
static struct ev_loop *loop;
static struct users *users;
static struct conf *conf;
static unsigned found;

/* ---- the host's users: --wrap=getpwnam ---- */

struct passwd *__wrap_getpwnam(const char *name);

struct passwd *__wrap_getpwnam(const char *name)
{
    const char *path = getenv("TEST_PASSWD");
    FILE *stream = fopen(path, "re");
    struct passwd *entry = NULL;
    if (strcmp(name, "deadly") == 0)
        abort();
    while (stream && (entry = fgetpwent(stream)) && strcmp(entry->pw_name, name) != 0)
        ;
    if (stream)
        fclose(stream);
    return entry;
}

static void add_user(const char *line)
{
    FILE *stream = fopen(passwd, "a");
    ck_assert_ptr_nonnull(stream);
    fputs(line, stream);
    fclose(stream);
}

/* ---- the loop ---- */

static void event_cb(const struct event *event, void *data)
{
    ck_assert_int_eq(event->type, EVENT_USERS_KNOWN);
    found++;
    ev_break(loop, EVBREAK_ALL);
}

static void late_cb(struct ev_loop *l, ev_timer *watcher, int revents)
{
    ck_abort_msg("nothing happened for %g s", DEADLINE);
}

/* Until something is found. */
static void run(void)
{
    ev_timer limit;
    ev_timer_init(&limit, late_cb, DEADLINE, 0.);
    ev_timer_start(loop, &limit);
    ev_run(loop, 0);
    ev_timer_stop(loop, &limit);
}

static void no_error_cb(const char *text, void *data)
{
    ck_abort_msg("%s", text);
}

static struct conf *read_conf(const char *names)
{
    char text[1024];
    struct conf *result;
    FILE *stream;
    snprintf(text, sizeof text, "[Proxy]\nServers=a\nSecurePort=1\n[Bypass]\nUsers=%s\n", names);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "f", no_error_cb, NULL, &result), 0);
    fclose(stream);
    return result;
}

static void set_up(void)
{
    strcpy(passwd + sizeof passwd - 7, "XXXXXX");
    ck_assert_int_ge(mkstemp(passwd), 0);
    setenv("TEST_PASSWD", passwd, 1);
    loop = ev_default_loop(0);
    found = 0;
    users = users_new(loop, program, &(struct event_sink){.event_cb = event_cb});
    ck_assert_ptr_nonnull(users);
}

static void tear_down(void)
{
    users_free(users);
    conf_free(conf);
    unlink(passwd);
}

/* ---- tests ---- */

START_TEST(names_that_the_host_knows_get_their_uid)
{
    conf = read_conf("test-one 77 test-two");
    add_user("test-two:x:4002:1::/:\ntest-one:x:4001:1::/:\n");
    users_set_conf(users, conf);
    while (conf_next_unknown_user(conf, NULL))
        run();
    ck_assert_uint_eq(conf->bypass_users[0].uid, 4001);
    ck_assert_uint_eq(conf->bypass_users[1].uid, 77);
    ck_assert_uint_eq(conf->bypass_users[2].uid, 4002);
    ck_assert_uint_ge(found, 1);
}
END_TEST

START_TEST(a_name_that_comes_later_is_looked_up_again)
{
    conf = read_conf("test-one test-two");
    add_user("test-one:x:4001:1::/:\n");
    users_set_conf(users, conf);
    run();
    ck_assert_uint_eq(conf->bypass_users[0].uid, 4001);
    ck_assert_uint_eq(conf->bypass_users[1].uid, CONF_UID_UNKNOWN);
    add_user("test-two:x:4002:1::/:\n");
    run();
    ck_assert_uint_eq(conf->bypass_users[1].uid, 4002);
    ck_assert_uint_eq(found, 2);
}
END_TEST

START_TEST(a_lookup_that_crashes_is_made_again)
{
    conf = read_conf("test-one deadly");
    users_set_conf(users, conf); /* its process dies of the second name */
    add_user("test-one:x:4001:1::/:\n");
    run();
    ck_assert_uint_eq(conf->bypass_users[0].uid, 4001);
    ck_assert_uint_eq(conf->bypass_users[1].uid, CONF_UID_UNKNOWN);
}
END_TEST

START_TEST(another_configuration_is_asked_about_instead)
{
    struct conf *old = read_conf("test-one");
    users_set_conf(users, old);
    conf = read_conf("test-two");
    add_user("test-one:x:4001:1::/:\ntest-two:x:4002:1::/:\n");
    users_set_conf(users, conf);
    conf_free(old);
    run();
    ck_assert_uint_eq(conf->bypass_users[0].uid, 4002);
    ck_assert_uint_eq(found, 1);
}
END_TEST

START_TEST(nothing_is_started_when_all_are_known)
{
    conf = read_conf("root 77");
    ck_assert_uint_eq(conf->bypass_users[0].uid, 0);
    users_set_conf(users, conf);
    ev_run(loop, 0); /* no watcher keeps it */
    ck_assert_uint_eq(found, 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tests;
    SRunner *runner;
    ssize_t length;
    int failed;
    /* Whatever else is said to a child: it must not run these tests, which start children. */
    if (argc > 1 && strncmp(argv[1], "--child=", 8) == 0)
        return users_main();
    length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0)
        return EXIT_FAILURE;

    suite = suite_create("users");
    tests = tcase_create("users");
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, names_that_the_host_knows_get_their_uid);
    tcase_add_test(tests, a_name_that_comes_later_is_looked_up_again);
    tcase_add_test(tests, a_lookup_that_crashes_is_made_again);
    tcase_add_test(tests, another_configuration_is_asked_about_instead);
    tcase_add_test(tests, nothing_is_started_when_all_are_known);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
