/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether it is noticed that a file of [SecureChannel] has changed, by each way in which programs replace one. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "gate/host/file_watch.h"

#define DEADLINE 20. /* seconds; only reached by a failure */

static struct {
    char directory[32];
    struct ev_loop *loop;
    ev_timer deadline;
    struct file_watch watch;
    struct conf *conf;
    unsigned told;
} t;

static void give_up(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    ck_abort_msg("waited too long");
}

static void event_cb(const struct event *event, void *data)
{
    ck_assert_int_eq(event->type, EVENT_FILES_CHANGED);
    t.told++;
}

static void run(const char *command)
{
    char text[512];
    snprintf(text, sizeof text, "cd %s && %s", t.directory, command);
    ck_assert_int_eq(system(text), 0);
}

static void set_up(void)
{
    const struct event_sink sink = {.event_cb = event_cb};
    char text[512];
    FILE *stream;
    log_init("test", LOG_LEVEL_ERROR);
    memset(&t, 0, sizeof t);
    snprintf(t.directory, sizeof t.directory, "/tmp/test_file_watch.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(t.directory));
    run("echo 1 >cert; echo 1 >key; mkdir cas; echo 1 >cas/a; mkdir v1 v2; echo 1 >v1/ca; echo 2 >v2/ca; ln -s v1 "
        "data; "
        "ln -s data/ca ca");
    snprintf(text, sizeof text,
             "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\n[SecureChannel]\nTrustedCA=%s/ca %s/cas %s/later/on/ca\n"
             "Certificate=%s/cert\nPrivateKey=%s/key\n",
             t.directory, t.directory, t.directory, t.directory, t.directory);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &t.conf), 0);
    fclose(stream);
    t.loop = ev_loop_new(0);
    ev_timer_init(&t.deadline, give_up, DEADLINE, 0.);
    ev_timer_start(t.loop, &t.deadline);
    file_watch_init(&t.watch, t.loop, &sink);
    t.watch.timing = (struct file_watch_timing){.delay = 0.02, .rest = 1000.};
    file_watch_set_conf(&t.watch, t.conf);
}

static void tear_down(void)
{
    file_watch_fini(&t.watch);
    ev_loop_destroy(t.loop);
    conf_free(t.conf);
    run("rm -r ../${PWD##*/}");
}

/* It looks now, as it does some time behind a change. */
static void look(void)
{
    ev_feed_event(t.loop, &t.watch.timer, EV_TIMER);
    ev_run(t.loop, EVRUN_NOWAIT);
}

static void wait_until_told(unsigned times)
{
    while (t.told < times)
        ev_run(t.loop, EVRUN_ONCE);
}

static const char *const changes[] = {
    "echo 2 >cert.new && mv cert.new cert",
    "echo 22 >cert",
    "rm key",
    "chmod 0640 key",
    "mv key gone",
    "echo 2 >cas/b",
    "rm cas/a",
    "echo 22 >cas/a",
    "echo 22 >v1/ca",
    "ln -s v2 data.new && mv -T data.new data",
    "mkdir -p later/on && echo 1 >later/on/ca",
    "mv cas cas2 && mkdir cas && echo 1 >cas/z",
};

START_TEST(a_change_is_told_once)
{
    run(changes[_i]);
    wait_until_told(1);
    look();
    ck_assert_uint_eq(t.told, 1);
}
END_TEST

/* A directory that is made anew is watched anew. */
START_TEST(the_next_change_is_told_too)
{
    run(changes[_i]);
    wait_until_told(1);
    run("mkdir -p later/on && echo 333 >later/on/ca");
    wait_until_told(2);
    run("echo 333 >cas/y");
    wait_until_told(3);
}
END_TEST

/* As on NFS, or with no inotify left. */
START_TEST(without_inotify_it_looks_now_and_then)
{
    t.watch.timing.rest = 0.02;
    file_watch_set_conf(&t.watch, t.conf);
    ev_io_stop(t.loop, &t.watch.io);
    run(changes[_i]);
    wait_until_told(1);
}
END_TEST

START_TEST(what_is_no_change_is_not_told)
{
    run("cat cert key cas/a ca >/dev/null; echo 1 >other; mkdir cas.d; echo 1 >v2/other");
    look();
    ck_assert_uint_eq(t.told, 0);
}
END_TEST

START_TEST(without_a_secure_channel_there_is_nothing_to_watch)
{
    t.conf->secure = false;
    file_watch_set_conf(&t.watch, t.conf);
    run("rm key");
    look();
    ck_assert_uint_eq(t.told, 0);
}
END_TEST

int main(void)
{
    const int n = (int)(sizeof changes / sizeof changes[0]);
    Suite *suite = suite_create("file_watch");
    TCase *tests = tcase_create("file_watch");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, DEADLINE + 5);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, a_change_is_told_once, 0, n);
    tcase_add_loop_test(tests, the_next_change_is_told_too, 0, n);
    tcase_add_loop_test(tests, without_inotify_it_looks_now_and_then, 0, n);
    tcase_add_test(tests, what_is_no_change_is_not_told);
    tcase_add_test(tests, without_a_secure_channel_there_is_nothing_to_watch);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
