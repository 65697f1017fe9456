/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Standard error is a file here; the journal's side is seen through a socket in its place. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static int file = -1;

static void to_file(void)
{
    file = memfd_create("stderr", MFD_CLOEXEC);
    ck_assert_int_ge(file, 0);
    ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
    unsetenv("JOURNAL_STREAM");
    unsetenv("SYSTEMD_EXEC_PID");
}

/* What has been written since the last call. */
static const char *written(void)
{
    static char buf[8192];
    static off_t at;
    ssize_t count = pread(file, buf, sizeof buf - 1, at);
    ck_assert_int_ge(count, 0);
    at += count;
    buf[count] = '\0';
    return buf;
}

static void pretend_journal(void)
{
    char text[64];
    struct stat st;
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", text, 1);
}

START_TEST(a_terminal_or_file_gets_words)
{
    to_file();
    log_init("gate", LOG_LEVEL_DEBUG);
    log_info("number %d", 7);
    ck_assert_str_eq(written(), "penstockd[gate]: number 7\n");
    log_notice("n");
    ck_assert_str_eq(written(), "penstockd[gate]: n\n");
    log_warning("w");
    ck_assert_str_eq(written(), "penstockd[gate]: warning: w\n");
    log_error("e");
    ck_assert_str_eq(written(), "penstockd[gate]: error: e\n");
    log_debug("d");
    ck_assert_str_eq(written(), "penstockd[gate]: debug: d\n");
}
END_TEST

START_TEST(a_service_manager_gets_levels)
{
    to_file();
    setenv("SYSTEMD_EXEC_PID", "1", 1);
    log_init("relay 0", LOG_LEVEL_INFO);
    log_error("e");
    ck_assert_str_eq(written(), "<3>relay 0: e\n");
}
END_TEST

START_TEST(another_stream_than_the_journals_gets_words)
{
    to_file();
    setenv("JOURNAL_STREAM", "1:2", 1);
    log_init("gate", LOG_LEVEL_INFO);
    log_error("e");
    ck_assert_str_eq(written(), "penstockd[gate]: error: e\n");
    setenv("JOURNAL_STREAM", "rubbish", 1);
    log_init("gate", LOG_LEVEL_INFO);
    log_error("f");
    ck_assert_str_eq(written(), "penstockd[gate]: error: f\n");
}
END_TEST

START_TEST(levels_are_respected)
{
    to_file();
    log_init("gate", LOG_LEVEL_WARNING);
    log_notice("no");
    log_warning("yes");
    ck_assert_str_eq(written(), "penstockd[gate]: warning: yes\n");
    log_set_level(LOG_LEVEL_NOTICE);
    log_info("no");
    log_notice("yes");
    ck_assert_str_eq(written(), "penstockd[gate]: yes\n");
}
END_TEST

START_TEST(a_line_cannot_be_forged)
{
    to_file();
    log_init("gate", LOG_LEVEL_INFO);
    log_info("name %s", "a\n<3>gate: forged\r\x1b[31m\x7f\xc3\xa4");
    ck_assert_str_eq(written(), "penstockd[gate]: name a?<3>gate: forged??[31m?\xc3\xa4\n");
}
END_TEST

START_TEST(a_long_line_is_cut_but_ends)
{
    static char long_text[5000];
    const char *line;
    memset(long_text, 'x', sizeof long_text - 1);
    to_file();
    log_init("gate", LOG_LEVEL_INFO);
    log_info("%s", long_text);
    line = written();
    ck_assert_uint_lt(strlen(line), 2200);
    ck_assert_uint_gt(strlen(line), 2000);
    ck_assert_int_eq(line[strlen(line) - 1], '\n');
}
END_TEST

START_TEST(errno_is_left_alone)
{
    to_file();
    log_init("gate", LOG_LEVEL_INFO);
    close(STDERR_FILENO);
    errno = ENOLCK;
    log_error("nobody hears");
    ck_assert_int_eq(errno, ENOLCK);
}
END_TEST

static const struct log_field fields[] = {{"PENSTOCK_REASON", "done"}, {"PENSTOCK_NAME", NULL}, {NULL, NULL}};

START_TEST(fields_go_to_the_journal_alone)
{
    to_file();
    log_init("gate", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, fields, "event %d", 1);
    log_event(LOG_LEVEL_INFO, NULL, "event %d", 2);
    log_event(LOG_LEVEL_DEBUG, fields, "event %d", 3);
    ck_assert_str_eq(written(), "penstockd[gate]: event 1\npenstockd[gate]: event 2\n");
}
END_TEST

static bool write_file(const char *path, const char *text)
{
    FILE *stream = fopen(path, "w");
    return stream && fputs(text, stream) >= 0 && fclose(stream) == 0;
}

/* As root: a mount namespace; else in a user namespace where this process is root. */
static bool get_mount_namespace(void)
{
    char uid_map[32], gid_map[32];
    if (unshare(CLONE_NEWNS) == 0)
        return true;
    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_file("/proc/self/uid_map", uid_map) &&
           write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", gid_map);
}

/* A journal's socket of our own, in a /run that this process alone sees. False: that is not allowed here. */
static bool be_the_journal(int *ret_fd)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
    if (!get_mount_namespace() || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("run", "/run", "tmpfs", 0, "mode=777") < 0)
        return false;
    ck_assert_int_eq(mkdir("/run/systemd", 0755), 0);
    ck_assert_int_eq(mkdir("/run/systemd/journal", 0755), 0);
    *ret_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(*ret_fd, (const struct sockaddr *)&address, sizeof address), 0);
    return true;
}

/* The next datagram as the native protocol has it: FIELD=value lines (a value with a newline would be in binary form).
 */
static bool has_line(const char *datagram, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = datagram; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
        if (strncmp(at, line, length) == 0 && at[length] == '\n')
            return true;
    return false;
}

START_TEST(an_event_is_a_datagram_with_its_fields)
{
    static const struct log_field both[] = {{"MESSAGE_ID", "7ff04749974243fcacebf8764ee8041a"},
                                            {"PENSTOCK_NAME", NULL},
                                            {"PENSTOCK_REASON", "Mutual Auth Failed"},
                                            {NULL, NULL}};
    char datagram[4096];
    ssize_t size;
    int fd;
    if (!be_the_journal(&fd)) {
        fputs("SKIPPED: no mount namespace for a journal of our own\n", stderr);
        return;
    }
    to_file();
    pretend_journal();
    log_init("gate", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_NOTICE, both, "verdict: %s\nforged=1", "a -> b");
    size = recv(fd, datagram, sizeof datagram - 1, 0);
    ck_assert_int_gt(size, 0);
    datagram[size] = '\0';
    ck_assert(has_line(datagram, "MESSAGE=gate: verdict: a -> b?forged=1"));
    ck_assert(has_line(datagram, "PRIORITY=5"));
    ck_assert(has_line(datagram, "SYSLOG_IDENTIFIER=penstockd"));
    ck_assert(has_line(datagram, "MESSAGE_ID=7ff04749974243fcacebf8764ee8041a"));
    ck_assert(has_line(datagram, "PENSTOCK_REASON=Mutual Auth Failed"));
    ck_assert_ptr_null(strstr(datagram, "PENSTOCK_NAME"));
    ck_assert_str_eq(written(), ""); /* once is enough */

    log_event(LOG_LEVEL_DEBUG, both, "below the level");
    ck_assert_int_lt(recv(fd, datagram, sizeof datagram, 0), 0);
    log_info("no fields");
    ck_assert_int_lt(recv(fd, datagram, sizeof datagram, 0), 0);
    ck_assert_str_eq(written(), "<6>gate: no fields\n");

    unsetenv("JOURNAL_STREAM");
    log_init("gate", LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, both, "elsewhere");
    ck_assert_int_lt(recv(fd, datagram, sizeof datagram, 0), 0);
    ck_assert_str_eq(written(), "penstockd[gate]: elsewhere\n");
}
END_TEST

/* There may be no journal, as in a container: the line must appear somewhere all the same. */
START_TEST(an_event_reaches_the_stream_when_the_journal_is_deaf)
{
    const char *line;
    to_file();
    pretend_journal();
    log_init("gate", LOG_LEVEL_INFO);
    log_info("plain");
    ck_assert_str_eq(written(), "<6>gate: plain\n");
    log_event(LOG_LEVEL_INFO, fields, "event");
    line = written();
    if (access("/run/systemd/journal/socket", F_OK) != 0)
        ck_assert_str_eq(line, "<6>gate: event\n");
    else
        ck_assert_str_eq(line, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tests = tcase_create("log");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, a_terminal_or_file_gets_words);
    tcase_add_test(tests, a_service_manager_gets_levels);
    tcase_add_test(tests, another_stream_than_the_journals_gets_words);
    tcase_add_test(tests, levels_are_respected);
    tcase_add_test(tests, a_line_cannot_be_forged);
    tcase_add_test(tests, a_long_line_is_cut_but_ends);
    tcase_add_test(tests, errno_is_left_alone);
    tcase_add_test(tests, fields_go_to_the_journal_alone);
    tcase_add_test(tests, an_event_is_a_datagram_with_its_fields);
    tcase_add_test(tests, an_event_reaches_the_stream_when_the_journal_is_deaf);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
