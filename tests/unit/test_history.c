/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of changes: what is written, what is not, and that it stays small and whole. */
#include "config.h"

#include "gate/control/history.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "control/change.h"
#include "gate/control/server.h"

static struct history history;
static struct servers servers;
static struct verdict verdict;
static char directory[] = "/tmp/test_history.XXXXXX", control[64];

static void set_up(void)
{
    log_init("test", LOG_LEVEL_ERROR);
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(control, sizeof control, "%s/control.sock", directory);
    memset(&servers, 0, sizeof servers);
    verdict = (struct verdict){.kind = VERDICT_SECURE};
    history_init(&history, control);
}

static void tear_down(void)
{
    history_fini(&history);
    unlink(history.path);
    ck_assert_int_eq(rmdir(directory), 0);
}

/* The caller frees it. */
static char *content(void)
{
    FILE *file = fopen(history.path, "r");
    char *text = calloc(1, 2 * HISTORY_SIZE_MAX);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_lt(fread(text, 1, 2 * HISTORY_SIZE_MAX - 1, file), 2 * HISTORY_SIZE_MAX - 1);
    fclose(file);
    return text;
}

static unsigned lines(const char *words)
{
    char *text = content(), *rest = text;
    unsigned n = 0;
    for (char *line; (line = strsep(&rest, "\n"));)
        n += strstr(line, words) ? 1 : 0;
    free(text);
    return n;
}

START_TEST(changes_are_written_once)
{
    struct stat st;
    history_settle(&history, &verdict, &servers);
    history_settle(&history, &verdict, &servers);
    ck_assert_uint_eq(lines("\"type\":\"start\""), 1);
    ck_assert_uint_eq(lines("\"verdict\":\"secure\""), 1);
    verdict.stages[STAGE_SECURE_TCP].us++; /* of each test anew */
    history_settle(&history, &verdict, &servers);
    ck_assert_uint_eq(lines("{\"seq\":"), 2);
    verdict = (struct verdict){.kind = VERDICT_PORT_NOT_AVAILABLE, .cause = CAUSE_TCP_REFUSED, .detail = "a\nb"};
    history_settle(&history, &verdict, &servers);
    verdict.cause = CAUSE_TCP_TIMEOUT;
    history_settle(&history, &verdict, &servers);
    history_stop(&history, "refused");
    ck_assert_uint_eq(lines("\"cause\":\"tcp-refused\",\"detail\":\"a\\nb\""), 1);
    ck_assert_uint_eq(lines("\"cause\":\"tcp-timeout\""), 1);
    ck_assert_uint_eq(lines("\"web_traffic\":\"refused\""), 1);
    ck_assert_uint_eq(lines("{\"seq\":"), 5);
    ck_assert_int_eq(stat(history.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0644);
}
END_TEST

START_TEST(a_server_is_told_when_it_changes)
{
    servers.n = 1;
    snprintf(servers.list[0].report.server, NAME_SIZE, "gw1.example");
    history_settle(&history, &verdict, &servers);
    servers.list[0].state = SERVER_TESTING;
    history_settle(&history, &verdict, &servers);
    ck_assert_uint_eq(lines("\"type\":\"server\""), 0);
    servers.list[0].state = SERVER_TRUSTED;
    servers.list[0].since++;
    history_settle(&history, &verdict, &servers);
    servers.list[0].tested_at++;
    history_settle(&history, &verdict, &servers);
    ck_assert_uint_eq(lines("\"server\":\"gw1.example\",\"state\":\"trusted\""), 1);
    ck_assert_uint_eq(lines("\"type\":\"server\""), 1);
}
END_TEST

START_TEST(the_next_daemon_goes_on_counting_also_behind_half_a_line)
{
    uint64_t seq;
    FILE *file;
    history_settle(&history, &verdict, &servers);
    seq = history.seq;
    history_fini(&history);
    file = fopen(history.path, "a");
    fputs("{\"seq\":9", file); /* the host lost power */
    fclose(file);
    history_init(&history, control);
    ck_assert_uint_gt(history.seq, seq);
    ck_assert_uint_eq(lines("\"type\":\"start\""), 2);
    history_settle(&history, &verdict, &servers);
    ck_assert_uint_eq(lines("\"verdict\":\"secure\""), 2);
}
END_TEST

START_TEST(the_older_half_goes_when_it_is_full)
{
    char first[64], *text;
    struct stat st;
    for (unsigned i = 0; i < HISTORY_SIZE_MAX / 100; i++) {
        verdict.cause = i % 2 ? CAUSE_TCP_REFUSED : CAUSE_TCP_TIMEOUT;
        history_settle(&history, &verdict, &servers);
        ck_assert_uint_le(history.size, HISTORY_SIZE_MAX);
    }
    ck_assert_int_eq(stat(history.path, &st), 0);
    ck_assert_uint_eq((size_t)st.st_size, history.size);
    ck_assert_uint_gt(history.size, HISTORY_SIZE_MAX / 4);
    text = content();
    ck_assert_int_eq(sscanf(text, "{\"seq\":%63[0-9],\"at\"", first), 1); /* begins with a whole line */
    ck_assert_int_gt(atoi(first), 1);
    free(text);
    snprintf(first, sizeof first, "{\"seq\":%" PRIu64 ",", history.seq);
    ck_assert_uint_eq(lines(first), 1);
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_lost_and_nothing_else)
{
    history_fini(&history);
    unlink(history.path);
    ck_assert_int_eq(symlink("/dev/full", history.path), 0); /* no link is followed */
    history_init(&history, control);
    history_settle(&history, &verdict, &servers);
    history_stop(&history, "open");
    ck_assert(history.failed);
}
END_TEST

START_TEST(the_service_has_its_own_place)
{
    char path[64];
    change_path(CONTROL_DEFAULT_PATH, CONTROL_DEFAULT_PATH, path, sizeof path);
    ck_assert_str_eq(path, "/var/lib/penstock/changes.jsonl");
    change_path("/tmp/x.sock", CONTROL_DEFAULT_PATH, path, sizeof path);
    ck_assert_str_eq(path, "/tmp/changes.jsonl");
    change_path("x.sock", CONTROL_DEFAULT_PATH, path, sizeof path);
    ck_assert_str_eq(path, "changes.jsonl");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("history");
    TCase *tests = tcase_create("history");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, changes_are_written_once);
    tcase_add_test(tests, a_server_is_told_when_it_changes);
    tcase_add_test(tests, the_next_daemon_goes_on_counting_also_behind_half_a_line);
    tcase_add_test(tests, the_older_half_goes_when_it_is_full);
    tcase_add_test(tests, a_file_that_cannot_be_written_is_lost_and_nothing_else);
    tcase_add_test(tests, the_service_has_its_own_place);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
