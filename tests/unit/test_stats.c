/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/stats.h"

/* Enough for both to run at the same time. */
#define ROUNDS 1000000

static struct stats *created(int *ret_fd)
{
    struct stats *stats;
    ck_assert_int_eq(stats_create(ret_fd, &stats), 0);
    return stats;
}

START_TEST(it_begins_with_zeros)
{
    static const struct stats zeros;
    struct stats copy;
    int fd;
    struct stats *stats = created(&fd);
    stats_read(stats, &copy);
    ck_assert_mem_eq(&copy, &zeros, sizeof copy);
    ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    stats_unmap(stats);
    close(fd);
}
END_TEST

START_TEST(both_sides_see_the_same)
{
    int fd;
    struct stats *gate = created(&fd), *relay, copy;
    ck_assert_int_eq(stats_map(fd, &relay), 0);
    stats_add(&relay->sessions_open, 2);
    stats_add(&relay->sessions_open, (uint64_t)-1);
    stats_add(&relay->sessions_total, 3);
    stats_add(&relay->sessions_failed, 4);
    stats_add(&relay->bytes_up, UINT64_C(5000000000));
    stats_set(&relay->bytes_down, 6);
    stats_read(gate, &copy);
    ck_assert_uint_eq(copy.sessions_open, 1);
    ck_assert_uint_eq(copy.sessions_total, 3);
    ck_assert_uint_eq(copy.sessions_failed, 4);
    ck_assert(copy.bytes_up == UINT64_C(5000000000));
    ck_assert_uint_eq(copy.bytes_down, 6);
    stats_unmap(relay);
    stats_unmap(gate);
    close(fd);
}
END_TEST

START_TEST(gauges_end_with_the_relay)
{
    struct stats sum = {0}, one = {.sessions_open = 2, .sessions_total = 3, .bytes_up = UINT64_C(5000000000)};
    stats_sum(&sum, &one);
    stats_sum(&sum, &one);
    ck_assert_uint_eq(sum.sessions_open, 4);
    ck_assert_uint_eq(sum.sessions_total, 6);
    ck_assert(sum.bytes_up == UINT64_C(10000000000));
    stats_zero_gauges(&sum);
    ck_assert_uint_eq(sum.sessions_open, 0);
    ck_assert_uint_eq(sum.sessions_total, 6);
}
END_TEST

START_TEST(every_field_is_listed_once)
{
    size_t n = 0;
    for (const struct stat_info *info; (info = stats_info(n)); n++) {
        ck_assert_uint_eq(info->offset, n * sizeof(uint64_t));
        ck_assert_uint_eq(strspn(info->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(info->name));
        ck_assert_str_ne(info->help, "");
    }
    ck_assert_uint_eq(n * sizeof(uint64_t), sizeof(struct stats));
}
END_TEST

START_TEST(two_processes_lose_no_count)
{
    int fd, status;
    struct stats *stats = created(&fd), copy;
    pid_t child = fork();
    /* They begin together, or one would be done before the other exists. */
    stats_add(&stats->sessions_open, 1);
    do {
        sched_yield();
        stats_read(stats, &copy);
    } while (copy.sessions_open < 2);
    for (int i = 0; i < ROUNDS; i++)
        stats_add(&stats->bytes_up, 1);
    if (child == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    stats_read(stats, &copy);
    ck_assert_uint_eq(copy.bytes_up, 2 * ROUNDS);
    stats_unmap(stats);
    close(fd);
}
END_TEST

START_TEST(its_size_cannot_be_changed)
{
    int fd;
    struct stats *stats = created(&fd);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(ftruncate(fd, 1 << 20), -1);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    stats_unmap(stats);
    close(fd);
}
END_TEST

START_TEST(another_size_is_refused)
{
    struct stats *stats = NULL;
    int fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, sizeof(struct stats) - 1), 0);
    ck_assert_int_eq(stats_map(fd, &stats), -EINVAL);
    close(fd);
    ck_assert_int_eq(stats_map(fd, &stats), -EBADF);
    ck_assert_ptr_null(stats);
    stats_unmap(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stats");
    TCase *tests = tcase_create("stats");
    SRunner *runner;
    int failed;
    tcase_add_test(tests, it_begins_with_zeros);
    tcase_add_test(tests, both_sides_see_the_same);
    tcase_add_test(tests, gauges_end_with_the_relay);
    tcase_add_test(tests, every_field_is_listed_once);
    tcase_add_test(tests, two_processes_lose_no_count);
    tcase_add_test(tests, its_size_cannot_be_changed);
    tcase_add_test(tests, another_size_is_refused);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
