/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every test runs in a process of its own (check forks): what it gives up is gone only there. Without root the parts
 * that need it are skipped. */
#include "config.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/sandbox.h"

#define SOMEBODY "daemon"

#if defined(PENSTOCK_SANITIZERS)
#define SANITIZERS true
#else
#define SANITIZERS false
#endif

static bool is_root(void)
{
    return geteuid() == 0;
}

/* It runs the program in a simulation and has no seccomp to offer. */
static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

static uid_t somebody(void)
{
    const struct passwd *entry = getpwnam(SOMEBODY);
    ck_assert_ptr_nonnull(entry);
    return entry->pw_uid;
}

/* bounding: there was the right to empty that set too */
static void assert_capabilities(bool net_admin, bool bounding)
{
    ck_assert_int_eq(capng_get_caps_process(), 0);
    for (unsigned cap = 0; cap <= CAP_AUDIT_READ; cap++) {
        bool expected = net_admin && cap == CAP_NET_ADMIN;

        ck_assert_int_eq(capng_have_capability(CAPNG_EFFECTIVE, cap), expected);
        ck_assert_int_eq(capng_have_capability(CAPNG_PERMITTED, cap), expected);
        ck_assert_int_eq(capng_have_capability(CAPNG_INHERITABLE, cap), 0);
        ck_assert_int_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0), 0);
        if (bounding)
            ck_assert_int_eq(capng_have_capability(CAPNG_BOUNDING_SET, cap), 0);
    }
    ck_assert_int_eq(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    if (!SANITIZERS)
        ck_assert_int_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

/* ---- identity ---- */

START_TEST(root_becomes_the_user_with_one_capability)
{
    uid_t uid = 12345;
    if (!is_root())
        return;
    ck_assert_int_eq(sandbox_become_gate(SOMEBODY, &uid), 0);
    ck_assert_uint_eq(uid, somebody());
    ck_assert_uint_eq(getuid(), somebody());
    ck_assert_uint_eq(geteuid(), somebody());
    ck_assert_int_eq(setuid(0), -1);
    ck_assert_int_lt(getgroups(0, NULL), 10);
    assert_capabilities(true, true);
}
END_TEST

START_TEST(the_gate_can_start_itself_again_without_capability)
{
    uid_t uid;
    int status;
    pid_t child;
    /* Valgrind is its own /proc/self/exe. */
    if (!is_root() || under_valgrind())
        return;
    ck_assert_int_eq(sandbox_become_gate(SOMEBODY, &uid), 0);
    child = fork();
    if (child == 0) {
        /* As the gate does; not dumpable, it must still find its own file. */
        setenv("TEST_SANDBOX_AS_CHILD", "1", 1);
        execl("/proc/self/exe", "test_sandbox", NULL);
        _exit(99);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    /* The build directory may be closed to that user: then nothing could be shown here. */
    if (WEXITSTATUS(status) == 99)
        return;
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* What the test above starts. */
static int as_child(void)
{
    if (capng_get_caps_process() < 0)
        return 4;
    if (capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN) || geteuid() == 0)
        return 1;
    if (sandbox_drop_all() < 0 || (!under_valgrind() && filter_system_calls(FILTER_RELAY) < 0))
        return 2;
    return open("/etc/hosts", O_RDONLY | O_CLOEXEC) < 0 ? 3 : 0;
}

START_TEST(wrong_users_are_refused)
{
    uid_t uid = 12345;
    if (is_root()) {
        ck_assert_int_eq(sandbox_become_gate("no-such-user-here", &uid), -ENOENT);
        ck_assert_int_eq(sandbox_become_gate("root", &uid), -EINVAL);
        ck_assert_int_eq(sandbox_become_gate(NULL, &uid), -EINVAL);
        ck_assert_int_eq(setresuid(somebody(), somebody(), somebody()), 0);
    }
    ck_assert_int_eq(sandbox_become_gate(NULL, &uid), -EPERM);
    ck_assert_int_eq(sandbox_become_gate(SOMEBODY, &uid), -EPERM);
    ck_assert_uint_eq(uid, 12345);
}
END_TEST

/* As systemd starts it with User= and AmbientCapabilities=. */
static void become_with_capability(void)
{
    ck_assert_int_eq(capng_get_caps_process(), 0);
    capng_clear(CAPNG_SELECT_BOTH);
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_NET_ADMIN);
    capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_NET_RAW);
    ck_assert_int_eq(capng_change_id((int)somebody(), -1, CAPNG_DROP_SUPP_GRP), 0);
    ck_assert_int_eq(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0), 0);
}

START_TEST(a_user_with_the_capability_keeps_that_alone)
{
    uid_t uid;
    if (!is_root())
        return;
    become_with_capability();
    ck_assert_int_eq(sandbox_become_gate("root", &uid), -EPERM);
    ck_assert_int_eq(sandbox_become_gate("no-such-user-here", &uid), -ENOENT);
    ck_assert_int_eq(sandbox_become_gate(_i == 0 ? NULL : SOMEBODY, &uid), 0);
    ck_assert_uint_eq(uid, somebody());
    assert_capabilities(true, false);
}
END_TEST

START_TEST(all_is_dropped_for_good)
{
    struct rlimit limit;
    int signal_number = 0;
    ck_assert_int_eq(sandbox_drop_all(), 0);
    assert_capabilities(false, is_root());
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_max, 0);
    ck_assert_int_eq(prctl(PR_GET_PDEATHSIG, &signal_number, 0, 0, 0), 0);
    ck_assert_int_eq(signal_number, SIGKILL);
    ck_assert_int_eq(sandbox_drop_all(), 0);
}
END_TEST

START_TEST(descriptors_are_raised_to_the_hard_limit)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(sandbox_raise_nofile(), (unsigned)limit.rlim_max);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, limit.rlim_max);
}
END_TEST

/* Three generations: this test, a gate, its child; the child reports its life through a pipe. */
START_TEST(a_child_dies_with_its_gate)
{
    struct pollfd poll_end = {.events = POLLIN};
    int alive[2], ready[2];
    pid_t gate;
    char byte;
    ck_assert_int_eq(pipe(alive), 0);
    ck_assert_int_eq(pipe(ready), 0);
    gate = fork();
    if (gate == 0) {
        if (fork() == 0) {
            byte = sandbox_drop_all() == 0 ? 'y' : 'n';
            close(alive[0]);
            ck_assert_int_eq(write(ready[1], &byte, 1), 1);
            pause();
        }
        close(alive[1]);
        pause();
    }
    close(alive[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    ck_assert_int_eq(kill(gate, SIGKILL), 0);
    ck_assert_int_eq(waitpid(gate, NULL, 0), gate);
    poll_end.fd = alive[0];
    ck_assert_int_eq(poll(&poll_end, 1, 10000), 1);
    ck_assert_int_eq(read(alive[0], &byte, 1), 0);
}
END_TEST

static Suite *all_tests(void)
{
    Suite *suite = suite_create("sandbox");
    TCase *identity = tcase_create("identity");
    tcase_add_test(identity, root_becomes_the_user_with_one_capability);
    tcase_add_test(identity, the_gate_can_start_itself_again_without_capability);
    tcase_add_test(identity, wrong_users_are_refused);
    tcase_add_loop_test(identity, a_user_with_the_capability_keeps_that_alone, 0, 2);
    tcase_add_test(identity, all_is_dropped_for_good);
    tcase_add_test(identity, descriptors_are_raised_to_the_hard_limit);
    tcase_add_test(identity, a_child_dies_with_its_gate);
    suite_add_tcase(suite, identity);
    return suite;
}

int main(void)
{
    SRunner *runner;
    int failed;
    if (getenv("TEST_SANDBOX_AS_CHILD"))
        return as_child();
    runner = srunner_create(all_tests());
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
