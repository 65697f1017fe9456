/* SPDX-License-Identifier: GPL-2.0-or-later */
/* This program is its own child: started with --child=users it looks up numbers as the daemon's does, in a file of the
 * test's. Time is the test's, too. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ipc.h"
#include "gate/host/user_names.h"
#include "gate/host/users.h"

#define DEADLINE  20.
#define DEADLY    666 /* the lookup of this one ends the process */
#define ABSENT    777 /* its directory is away */
#define FIRST_UID 5000

static char program[4096];
static char passwd[] = "/tmp/test_user_names.XXXXXX";
static struct ev_loop *loop;
static struct user_names *names;
static double later;
static unsigned told;
static struct ipc_user last; /* told */

/* ---- the host's users: --wrap=getpwuid; and its time: --wrap=ev_now ---- */

struct passwd *__wrap_getpwuid(uid_t uid);
ev_tstamp __real_ev_now(struct ev_loop *loop);
ev_tstamp __wrap_ev_now(struct ev_loop *loop);

struct passwd *__wrap_getpwuid(uid_t uid)
{
    FILE *stream = fopen(getenv("TEST_PASSWD"), "re");
    struct passwd *entry = NULL;
    if (uid == DEADLY)
        abort();
    while (stream && (entry = fgetpwent(stream)) && entry->pw_uid != uid)
        ;
    if (stream)
        fclose(stream);
    errno = entry ? 0 : uid == ABSENT ? EIO : ENOENT;
    return entry;
}

ev_tstamp __wrap_ev_now(struct ev_loop *one)
{
    return __real_ev_now(one) + later;
}

static void write_users(const char *lines)
{
    FILE *stream = fopen(passwd, "w");
    ck_assert_ptr_nonnull(stream);
    fputs(lines, stream);
    fclose(stream);
}

/* ---- the loop ---- */

static void event_cb(const struct event *event, void *data)
{
    ck_assert_int_eq(event->type, EVENT_USER_NAMED);
    told++;
    last = *event->user;
    ev_break(loop, EVBREAK_ALL);
}

static void late_cb(struct ev_loop *l, ev_timer *watcher, int revents)
{
    ck_abort_msg("nothing happened for %g s", DEADLINE);
}

static void run_until_told(unsigned n)
{
    ev_timer limit;
    ev_timer_init(&limit, late_cb, DEADLINE, 0.);
    ev_timer_start(loop, &limit);
    while (told < n)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &limit);
}

/* Until no process is left. */
static void run_out(void)
{
    ev_run(loop, 0);
}

static void set_up(void)
{
    strcpy(passwd + sizeof passwd - 7, "XXXXXX");
    ck_assert_int_ge(mkstemp(passwd), 0);
    setenv("TEST_PASSWD", passwd, 1);
    loop = ev_default_loop(0);
    told = 0;
    later = 0.;
    names = user_names_new(loop, program, &(struct event_sink){.event_cb = event_cb});
    ck_assert_ptr_nonnull(names);
}

static void tear_down(void)
{
    user_names_free(names);
    unlink(passwd);
}

/* ---- tests ---- */

START_TEST(a_name_is_looked_up_told_and_kept)
{
    write_users("ann:x:4001:1::/:\nroot:x:0:0::/:\n");
    ck_assert_ptr_null(user_names_find(names, 4001));
    ck_assert_ptr_null(user_names_find(names, 4001)); /* it is under way */
    run_until_told(1);
    ck_assert_uint_eq(last.uid, 4001);
    ck_assert_str_eq(last.name, "ann");
    ck_assert_str_eq(user_names_find(names, 4001), "ann");
    ck_assert_ptr_null(user_names_find(names, 0));
    run_until_told(2);
    ck_assert_str_eq(user_names_find(names, 0), "root");
    run_out();
    ck_assert_uint_eq(told, 2);
}
END_TEST

START_TEST(who_is_not_there_has_no_name_until_it_is_asked_again)
{
    ck_assert_ptr_null(user_names_find(names, 4001));
    run_until_told(1);
    ck_assert_str_eq(last.name, "");
    write_users("ann:x:4001:1::/:\n");
    ck_assert_str_eq(user_names_find(names, 4001), "");
    run_out();
    later += USER_NAMES_NONE_S;
    ck_assert_ptr_null(user_names_find(names, 4001));
    run_until_told(2);
    ck_assert_str_eq(last.name, "ann");
}
END_TEST

START_TEST(a_number_that_is_given_to_another_gets_the_other_name)
{
    write_users("ann:x:4001:1::/:\n");
    (void)user_names_find(names, 4001);
    run_until_told(1);
    run_out();
    write_users("bob:x:4001:1::/:\n");
    ck_assert_str_eq(user_names_find(names, 4001), "ann");
    later += USER_NAMES_KEEP_S;
    ck_assert_ptr_null(user_names_find(names, 4001));
    run_until_told(2);
    ck_assert_str_eq(last.name, "bob");
    run_out();
    write_users("");
    later += USER_NAMES_KEEP_S;
    (void)user_names_find(names, 4001);
    run_until_told(3);
    ck_assert_str_eq(last.name, "");
}
END_TEST

START_TEST(a_directory_that_is_away_takes_no_name_away)
{
    write_users("ann:x:777:1::/:\n");
    (void)user_names_find(names, ABSENT);
    run_until_told(1);
    ck_assert_str_eq(last.name, "ann");
    run_out();
    write_users("");
    later += USER_NAMES_KEEP_S;
    ck_assert_ptr_null(user_names_find(names, ABSENT));
    run_until_told(2);
    ck_assert_str_eq(last.name, "ann");
}
END_TEST

START_TEST(a_lookup_that_crashes_costs_nobody_else_a_name)
{
    write_users("ann:x:4001:1::/:\nbob:x:4002:1::/:\n");
    (void)user_names_find(names, 4000); /* its process runs while the others are asked for: they go together */
    (void)user_names_find(names, 4001);
    (void)user_names_find(names, DEADLY);
    (void)user_names_find(names, 4002);
    run_until_told(4);
    ck_assert_str_eq(user_names_find(names, 4001), "ann");
    ck_assert_str_eq(user_names_find(names, 4002), "bob");
    ck_assert_str_eq(user_names_find(names, DEADLY), "");
    run_out();
    ck_assert_uint_eq(told, 4);
}
END_TEST

START_TEST(more_than_one_process_can_be_asked_are_looked_up)
{
    char lines[200 * 32] = "";
    for (unsigned i = 0; i < 200; i++)
        sprintf(lines + strlen(lines), "u%u:x:%u:1::/:\n", i, FIRST_UID + i);
    write_users(lines);
    for (unsigned i = 0; i < 200; i++)
        ck_assert_ptr_null(user_names_find(names, FIRST_UID + i));
    run_until_told(200);
    ck_assert_str_eq(user_names_find(names, FIRST_UID + 199), "u199");
}
END_TEST

START_TEST(the_cache_is_bounded)
{
    write_users("ann:x:4001:1::/:\n");
    (void)user_names_find(names, 4001);
    run_until_told(1);
    run_out();
    for (unsigned i = 0; i < USER_NAMES_MAX - 1; i++)
        (void)user_names_find(names, FIRST_UID + i);
    ck_assert_str_eq(user_names_find(names, 4001), "ann");
    (void)user_names_find(names, FIRST_UID + USER_NAMES_MAX);
    ck_assert_ptr_null(user_names_find(names, 4001));
}
END_TEST

START_TEST(without_a_process_there_is_no_name)
{
    user_names_free(names);
    names = user_names_new(loop, "/nonexistent/program", &(struct event_sink){.event_cb = event_cb});
    const char *name = user_names_find(names, 4001);
    if (!name) {
        run_until_told(1);
        name = user_names_find(names, 4001);
    }
    ck_assert_str_eq(name, "");
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
        return users_main();
    length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0)
        return EXIT_FAILURE;

    suite = suite_create("user_names");
    tests = tcase_create("user_names");
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, a_name_is_looked_up_told_and_kept);
    tcase_add_test(tests, who_is_not_there_has_no_name_until_it_is_asked_again);
    tcase_add_test(tests, a_number_that_is_given_to_another_gets_the_other_name);
    tcase_add_test(tests, a_directory_that_is_away_takes_no_name_away);
    tcase_add_test(tests, a_lookup_that_crashes_costs_nobody_else_a_name);
    tcase_add_test(tests, more_than_one_process_can_be_asked_are_looked_up);
    tcase_add_test(tests, the_cache_is_bounded);
    tcase_add_test(tests, without_a_process_there_is_no_name);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
