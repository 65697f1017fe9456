/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every deed runs in a process of its own, which is confined for good. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/log.h"
#include "base/sandbox.h"

#if defined(PENSTOCK_SANITIZERS)
#define SANITIZERS true
#else
#define SANITIZERS false
#endif

/* It runs the program in a simulation and has no seccomp to offer. */
static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

/* From here on check cannot take the time a test needed, for which it uses timer_create(): a confined test ends by
 * _exit(0). */
static void confine(enum filter_role role)
{
    ck_assert_int_eq(sandbox_drop_all(), 0);
    ck_assert_int_eq(filter_system_calls(role), 0);
}

/* ---- what is allowed ---- */

static void use_sockets(int family, const struct sockaddr *address, socklen_t length)
{
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
    /* There may be no IPv6 here. */
    if (bind(listener, address, length) != 0)
        ck_assert_int_eq(errno, EADDRNOTAVAIL);
    ck_assert_int_eq(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
    ck_assert_int_ne(errno, EPERM);
    close(listener);
}

/* As a relay gets it from the gate. */
static int given_listener(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    return listener;
}

/* By a client of the listener. */
static void ask_what_is_undelivered(int listener)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int client, left = -1;
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    ck_assert_int_ge(client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 0);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&address, length), 0);
    ck_assert_int_eq(ioctl(client, SIOCOUTQ, &left), 0);
    ck_assert_int_eq(left, 0);
    close(client);
    close(listener);
}

START_TEST(a_relays_work_is_allowed)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct epoll_event event = {.events = EPOLLIN};
    int epoll, timer, counter, pipes[2], pair[2], listener = given_listener();
    char buf[64], *memory;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    confine(FILTER_RELAY);
    use_sockets(AF_INET, (struct sockaddr *)&in4, sizeof in4);
    use_sockets(AF_INET6, (struct sockaddr *)&in6, sizeof in6);
    ask_what_is_undelivered(listener);
    ck_assert_int_ge(epoll = epoll_create1(EPOLL_CLOEXEC), 0);
    ck_assert_int_ge(timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), 0);
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event), 0);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 0);
    ck_assert_int_ge(counter = eventfd(0, EFD_CLOEXEC), 0);
    close(counter);
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_ge(fcntl(pipes[0], F_SETPIPE_SZ, 65536), 65536);
    ck_assert_int_ge(counter = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), 0);
    ck_assert_int_ge(fcntl(counter, F_SETFL, fcntl(counter, F_GETFL) | O_NONBLOCK), 0);
    ck_assert_int_ge(fcntl(counter, F_DUPFD_CLOEXEC, 20), 20);
    close(counter);
    ck_assert_int_eq(write(pair[0], "bytes", 5), 5);
    ck_assert_int_eq(splice(pair[1], NULL, pipes[1], NULL, 64, SPLICE_F_NONBLOCK), 5);
    ck_assert_int_eq(getrandom(buf, sizeof buf, 0), sizeof buf);
    ck_assert_ptr_nonnull(memory = malloc(8 << 20));
    memset(memory, 1, 8 << 20);
    ck_assert_ptr_nonnull(memory = realloc(memory, 16 << 20));
    free(memory);
    log_init("test", LOG_LEVEL_ERROR);
    log_debug("not seen");
    ck_assert_int_gt(time(NULL), 0);
    _exit(EXIT_SUCCESS);
}
END_TEST

START_TEST(a_probers_work_is_allowed)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd;
    confine(FILTER_PROBER);
    ck_assert_int_ge(fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in4, sizeof in4), 0);
    close(fd);
    ck_assert_int_ge(fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), 0);
    close(fd);
    ck_assert_int_ge(fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 0);
    close(fd);
    ck_assert_int_ge(fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0); /* the journal's */
    ck_assert_int_ge(open("/etc/hosts", O_RDONLY | O_CLOEXEC), 0);
    _exit(EXIT_SUCCESS);
}
END_TEST

START_TEST(files_can_be_read)
{
    char name[] = "/tmp/test_filter.XXXXXX", buf[16];
    int file = mkstemp(name), fd;
    struct stat st;
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, "kept", 4), 4);
    ck_assert_int_ge(fd = open(name, O_RDONLY | O_CLOEXEC), 0);
    ck_assert_int_eq(unlink(name), 0);
    confine(FILTER_RELAY);
    ck_assert_int_eq(read(fd, buf, sizeof buf), 4);
    ck_assert_int_eq(fstat(file, &st), 0);
    ck_assert_int_ge(open("/etc/hosts", O_RDONLY | O_CLOEXEC), 0);
    ck_assert_int_eq(stat("/etc/hosts", &st), 0);
    _exit(EXIT_SUCCESS);
}
END_TEST

/* ---- what is refused ---- */

static int open_with(int flags)
{
    return open("/tmp/test_filter", flags | O_CLOEXEC, 0600);
}
static int open_to_write(void)
{
    return open_with(O_WRONLY);
}
static int open_to_change(void)
{
    return open_with(O_RDWR);
}
static int create_a_file(void)
{
    return open_with(O_RDONLY | O_CREAT);
}
static int empty_a_file(void)
{
    return open_with(O_RDONLY | O_TRUNC);
}
static int append_to_a_file(void)
{
    return open_with(O_WRONLY | O_APPEND);
}
static int remove_a_file(void)
{
    return unlink("/tmp/test_filter");
}
static int make_a_directory(void)
{
    return mkdir("/tmp/test_filter_directory", 0700);
}
static int change_a_mode(void)
{
    return chmod("/tmp/test_filter", 0777);
}
static int see_packets(void)
{
    return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}
static int reach_the_hypervisor(void)
{
    return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int change_the_user(void)
{
    return setuid(getuid());
}
static int use_io_uring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}
static int send_a_signal(void)
{
    return SANITIZERS ? change_the_user() : kill(getppid(), 0);
}
static int fork_itself(void)
{
    return SANITIZERS ? change_the_user() : (int)syscall(SYS_fork);
}
static int make_code(void)
{
    void *memory;
    if (SANITIZERS)
        return change_the_user();
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? -1 : 0;
}
static int become_dumpable(void)
{
    return SANITIZERS ? change_the_user() : prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}
static int ask_an_unknown_request(void)
{
    return SANITIZERS ? change_the_user() : ioctl(STDOUT_FILENO, TIOCSTI, "x");
}

/* A relay could have ended gate and prober with these: whoever may kill a user's process may let a descriptor do it. */
static int own_a_descriptor(void)
{
    return fcntl(STDOUT_FILENO, F_SETOWN, getppid());
}
static int own_a_descriptor_otherwise(void)
{
    struct f_owner_ex owner = {.type = F_OWNER_PID, .pid = getppid()};
    return fcntl(STDOUT_FILENO, F_SETOWN_EX, &owner);
}
static int choose_its_signal(void)
{
    return fcntl(STDOUT_FILENO, F_SETSIG, SIGKILL);
}
static int be_told_by_signal(void)
{
    return fcntl(STDOUT_FILENO, F_SETFL, O_ASYNC | O_NONBLOCK);
}
static int watch_a_directory(void)
{
    return fcntl(STDOUT_FILENO, F_NOTIFY, DN_CREATE);
}
static int reach_the_control_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}
static int reach_another_sequence(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}
static int see_the_rules(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
}
static int send_raw_packets(void)
{
    return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
}
static int make_a_file_in_memory(void)
{
    return memfd_create("code", MFD_CLOEXEC);
}
static int list_a_directory(void)
{
    char buf[512];
    return SANITIZERS ? change_the_user() : (int)syscall(SYS_getdents64, STDIN_FILENO, buf, sizeof buf);
}
static int ask_a_name_server(void)
{
    return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}
static int see_the_routes(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}
static int see_the_sockets(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}
static int accept_a_client(void)
{
    return accept4(STDIN_FILENO, NULL, NULL, SOCK_CLOEXEC);
}
static int listen_to_clients(void)
{
    return listen(STDIN_FILENO, 1);
}
static int make_a_pipe(void)
{
    int fds[2];
    return pipe2(fds, O_CLOEXEC);
}

#define BOTH -1

static const struct {
    int (*deed)(void);
    int role; /* BOTH, or the one that may not */
} refused[] = {
    {open_to_write, BOTH},
    {open_to_change, BOTH},
    {create_a_file, BOTH},
    {empty_a_file, BOTH},
    {append_to_a_file, BOTH},
    {remove_a_file, BOTH},
    {make_a_directory, BOTH},
    {change_a_mode, BOTH},
    {see_packets, BOTH},
    {reach_the_hypervisor, BOTH},
    {change_the_user, BOTH},
    {use_io_uring, BOTH},
    {send_a_signal, BOTH},
    {fork_itself, BOTH},
    {make_code, BOTH},
    {become_dumpable, BOTH},
    {ask_an_unknown_request, BOTH},
    {own_a_descriptor, BOTH},
    {own_a_descriptor_otherwise, BOTH},
    {choose_its_signal, BOTH},
    {be_told_by_signal, BOTH},
    {watch_a_directory, BOTH},
    {reach_the_control_socket, BOTH},
    {reach_another_sequence, BOTH},
    {see_the_rules, BOTH},
    {send_raw_packets, BOTH},
    {make_a_file_in_memory, BOTH},
    {list_a_directory, BOTH},
    {ask_a_name_server, FILTER_RELAY},
    {see_the_routes, FILTER_RELAY},
    {see_the_sockets, FILTER_PROBER},
    {accept_a_client, FILTER_PROBER},
    {listen_to_clients, BOTH},
    {make_a_pipe, FILTER_PROBER},
};

/* A child that is confined and does it twice; what it wrote to its standard error goes to text. */
static int status_after(int (*deed)(void), enum filter_role role, char *text, size_t size)
{
    int said[2], status;
    size_t length = 0;
    ssize_t n;
    pid_t child;
    ck_assert_int_eq(pipe(said), 0);
    child = fork();
    if (child == 0) {
        dup2(said[1], STDERR_FILENO);
        close(said[0]);
        close(said[1]);
        log_init("test", LOG_LEVEL_ERROR);
        if (sandbox_drop_all() < 0 || filter_system_calls(role) < 0)
            _exit(1);
        if (deed() != -1 || errno != EPERM || deed() != -1 || errno != EPERM)
            _exit(2);
        _exit(EXIT_SUCCESS);
    }
    close(said[1]);
    while ((n = read(said[0], text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    close(said[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

/* A refused call must not look like an ordinary failure: that is how bytes were once lost. */
static void expect_refusal(int (*deed)(void), enum filter_role role)
{
    char text[4096], *line;
    int status = status_after(deed, role, text, sizeof text);
    if (FILTER_IS_STRICT)
        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x: %s", status, text);
    else
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS, "status %x: %s", status, text);
#if defined(__x86_64__) || defined(__aarch64__) || defined(__riscv)
    line = strstr(text, "the system call ");
    ck_assert_msg(line, "nothing was said: %s", text);
    ck_assert_ptr_null(strstr(line + 1, "the system call "));
    ck_assert_ptr_nonnull(strstr(line, "refused"));
#else
#endif
}

START_TEST(a_refused_call_is_told_of_once)
{
    if (refused[_i].role != FILTER_PROBER)
        expect_refusal(refused[_i].deed, FILTER_RELAY);
    if (refused[_i].role != FILTER_RELAY)
        expect_refusal(refused[_i].deed, FILTER_PROBER);
}
END_TEST

START_TEST(a_refused_call_is_named)
{
    char text[4096];
    (void)status_after(change_the_user, FILTER_RELAY, text, sizeof text);
#if defined(__x86_64__)
    ck_assert_msg(strstr(text, "the system call setuid (105) ") != NULL, "%s", text);
    (void)status_after(choose_its_signal, FILTER_PROBER, text, sizeof text);
    ck_assert_msg(strstr(text, "the system call fcntl (72) ") != NULL, "%s", text);
#endif
}
END_TEST

/* ---- what kills ---- */

static void do_exec(void)
{
    execl("/bin/true", "true", NULL);
}
static void do_mount(void)
{
    syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
}
static void do_unshare(void)
{
    syscall(SYS_unshare, 0);
}
static void do_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}
static void do_write_memory(void)
{
    syscall(SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0);
}
static void do_ptrace(void)
{
    if (SANITIZERS) { /* which trace themselves */
        signal(SIGSYS, SIG_DFL);
        raise(SIGSYS);
    }
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, NULL, NULL);
}

static void (*const deeds[])(void) = {do_exec, do_mount, do_unshare, do_bpf, do_write_memory, do_ptrace};

START_TEST(what_only_an_intruder_does_kills)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (sandbox_drop_all() < 0 || filter_system_calls(FILTER_RELAY) < 0)
            _exit(1);
        deeds[_i]();
        _exit(2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "status %x", status);
}
END_TEST

START_TEST(an_assertion_still_aborts)
{
    confine(FILTER_RELAY);
    abort();
}
END_TEST

static Suite *all_tests(void)
{
    Suite *suite = suite_create("filter");
    TCase *calls = tcase_create("system calls");
    suite_add_tcase(suite, calls);
    if (under_valgrind()) {
        puts("filter: valgrind has no seccomp, these tests are left out");
        return suite;
    }
    tcase_add_exit_test(calls, a_relays_work_is_allowed, EXIT_SUCCESS);
    tcase_add_exit_test(calls, a_probers_work_is_allowed, EXIT_SUCCESS);
    tcase_add_exit_test(calls, files_can_be_read, EXIT_SUCCESS);
    tcase_add_loop_test(calls, a_refused_call_is_told_of_once, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(calls, a_refused_call_is_named);
    tcase_add_loop_test(calls, what_only_an_intruder_does_kills, 0, sizeof deeds / sizeof deeds[0]);
    tcase_add_test_raise_signal(calls, an_assertion_still_aborts, SIGABRT);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(all_tests());
    int failed;
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
