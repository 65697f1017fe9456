/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/log.h"

/* The leak checker of a sanitizer build traces its own process. */
#if defined(PENSTOCK_SANITIZERS)
#define SANITIZERS 1
#else
#define SANITIZERS 0
#endif

/* Names that an architecture lacks are passed over by add_list(). */
static const int allowed[] = {
    /* bytes and descriptors */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(lseek),
    SCMP_SYS(dup),
    SCMP_SYS(dup3),
    /* sockets; socket() itself is below, as fcntl() is */
    SCMP_SYS(connect),
    SCMP_SYS(shutdown),
    SCMP_SYS(send),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recv),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    /* waiting */
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(select),
    SCMP_SYS(_newselect),
    SCMP_SYS(pselect6),
    SCMP_SYS(pselect6_time64),
    SCMP_SYS(eventfd),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_settime64),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(timerfd_gettime64),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(sched_yield),
    SCMP_SYS(restart_syscall),
    /* clocks */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_getres_time64),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    /* memory; mmap and mprotect are below */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    /* files, for reading; open and openat are below */
    SCMP_SYS(stat),
    SCMP_SYS(stat64),
    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fstatat64),
    SCMP_SYS(statx),
    SCMP_SYS(statfs),
    SCMP_SYS(statfs64),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fstatfs64),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(fadvise64),
    /* signals */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(signalfd),
    SCMP_SYS(signalfd4),
    /* about itself */
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getuid32),
    SCMP_SYS(geteuid32),
    SCMP_SYS(getgid32),
    SCMP_SYS(getegid32),
    SCMP_SYS(getrlimit),
    SCMP_SYS(ugetrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(getrandom),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
#if SANITIZERS
    /* what AddressSanitizer and LeakSanitizer do at exit and for a report */
    SCMP_SYS(clone),
    SCMP_SYS(getdents),
    SCMP_SYS(getdents64),
    SCMP_SYS(ptrace),
    SCMP_SYS(wait4),
    SCMP_SYS(prctl),
    SCMP_SYS(mmap),
    SCMP_SYS(mmap2),
    SCMP_SYS(mprotect),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(kill),
    SCMP_SYS(tgkill),
    SCMP_SYS(prlimit64),
    SCMP_SYS(ioctl),
#endif
};

static const int allowed_relay[] = {
    SCMP_SYS(bind), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(splice),
};

/* bind: the resolver's sockets. */
static const int allowed_prober[] = {
    SCMP_SYS(bind),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg),
};

/* No honest path leads here: the process has been taken over. */
static const int deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(process_madvise),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
#if !SANITIZERS
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
#endif
};

static int add_list(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int result = seccomp_rule_add(filter, action, calls[i], 0);

        if (result < 0 && result != -EDOM)
            return result;
    }
    return 0;
}

static int add_allowed(scmp_filter_ctx filter, enum filter_role role)
{
    int result = add_list(filter, SCMP_ACT_ALLOW, allowed, sizeof allowed / sizeof allowed[0]);
    if (result < 0)
        return result;
    switch (role) {
    case FILTER_RELAY:
        return add_list(filter, SCMP_ACT_ALLOW, allowed_relay, sizeof allowed_relay / sizeof allowed_relay[0]);
    case FILTER_PROBER:
        return add_list(filter, SCMP_ACT_ALLOW, allowed_prober, sizeof allowed_prober / sizeof allowed_prober[0]);
    }
    return -EINVAL;
}

/* One system call whose argument decides. */
static int add_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
    return result == -EDOM ? 0 : result;
}

static int add_socket(scmp_filter_ctx filter, int family, int type)
{
    const scmp_datum_t type_mask = 0xf; /* without SOCK_CLOEXEC and SOCK_NONBLOCK */
    struct scmp_arg_cmp conditions[] = {SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0),
                                        SCMP_A1(SCMP_CMP_MASKED_EQ, type_mask, (scmp_datum_t)type)};
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, conditions);
    return result == -EDOM ? 0 : result;
}

static int add_netlink(scmp_filter_ctx filter, int protocol)
{
    struct scmp_arg_cmp conditions[] = {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0),
                                        SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)protocol, 0)};
    int result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, conditions);
    return result == -EDOM ? 0 : result;
}

/* A Unix datagram socket is the journal's; the control socket and the message buses are streams, which it cannot reach.
 */
static int add_sockets(scmp_filter_ctx filter, enum filter_role role)
{
    int result = add_socket(filter, AF_UNIX, SOCK_DGRAM);
    if (result == 0)
        result = add_socket(filter, AF_INET, SOCK_STREAM);
    if (result == 0)
        result = add_socket(filter, AF_INET6, SOCK_STREAM);
    if (result == 0 && role == FILTER_PROBER)
        result = add_socket(filter, AF_INET, SOCK_DGRAM);
    if (result == 0 && role == FILTER_PROBER)
        result = add_socket(filter, AF_INET6, SOCK_DGRAM);
    if (result == 0)
        result = add_netlink(filter, role == FILTER_PROBER ? NETLINK_ROUTE : NETLINK_SOCK_DIAG);
    return result;
}

/* Owner and signal of a descriptor (F_SETOWN, F_SETSIG, O_ASYNC) are not among them: the kernel checks for the user
 * alone whether they may send, and the gate, the prober and the relays are one user. */
static int add_fcntl(scmp_filter_ctx filter, enum filter_role role)
{
    static const int calls[] = {SCMP_SYS(fcntl), SCMP_SYS(fcntl64)};
    static const int commands[] = {F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC};
    int result = 0;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct scmp_arg_cmp flags[] = {SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0), SCMP_A2(SCMP_CMP_MASKED_EQ, O_ASYNC, 0)};
        for (size_t k = 0; result == 0 && k < sizeof commands / sizeof commands[0]; k++)
            result = add_if(filter, calls[i], SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[k], 0));
        if (result == 0 && role == FILTER_RELAY)
            result = add_if(filter, calls[i], SCMP_A1(SCMP_CMP_EQ, F_SETPIPE_SZ, 0));
        if (result == 0 && role == FILTER_RELAY)
            result = add_if(filter, calls[i], SCMP_A1(SCMP_CMP_EQ, F_GETPIPE_SZ, 0));
        if (result == 0)
            result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i], 2, flags);
        result = result == -EDOM ? 0 : result;
    }
    return result;
}

static int add_reading_files(scmp_filter_ctx filter)
{
    const scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
    int result = add_if(filter, SCMP_SYS(open), SCMP_A1(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));
    if (result == 0)
        result = add_if(filter, SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));
    return result;
}

static int add_memory(scmp_filter_ctx filter)
{
    static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof calls / sizeof calls[0]; i++)
        result = add_if(filter, calls[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return result;
}

static int add_various(scmp_filter_ctx filter)
{
    /* SIOCOUTQ: whether a peer has got everything. */
    static const unsigned long requests[] = {FIONREAD, FIONBIO, TCGETS, SIOCOUTQ};
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof requests / sizeof requests[0]; i++)
        result = add_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, requests[i]));
    if (result == 0)
        result = add_if(filter, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0, 0)); /* reading limits */
    if (result == 0)
        result = add_if(filter, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0));
    if (result == 0) /* abort() */
        result = add_if(filter, SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return result;
}

static int add_rules(scmp_filter_ctx filter, enum filter_role role)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* The hot calls are many: a tree instead of a long chain of comparisons. */
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (result == 0)
        result = add_allowed(filter, role);
    if (result == 0)
        result = add_list(filter, SCMP_ACT_KILL_PROCESS, deadly, sizeof deadly / sizeof deadly[0]);
    if (result == 0)
        result = add_sockets(filter, role);
    if (result == 0)
        result = add_fcntl(filter, role);
    if (result == 0)
        result = add_reading_files(filter);
    if (result == 0 && !SANITIZERS)
        result = add_memory(filter);
    if (result == 0 && !SANITIZERS)
        result = add_various(filter);
    return result;
}

/* ---- what is refused ---- */

/* Where the place of a system call's result is known, a refused one is told of and then fails with EPERM; elsewhere the
 * kernel says so in its own log (audit, type SECCOMP). */
#if defined(__x86_64__)
#define RESULT_OF(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT_OF(context) ((context)->uc_mcontext.regs[0])
#elif defined(__riscv)
#define RESULT_OF(context) ((context)->uc_mcontext.__gregs[REG_A0])
#endif

#ifdef RESULT_OF
#define REFUSAL SCMP_ACT_TRAP

#define CALLS_MAX 1024

/* True: for the first time. */
static bool is_news(int call)
{
    static uint8_t told[CALLS_MAX / 8];
    uint8_t bit;
    if (call < 0 || call >= CALLS_MAX)
        return true;
    bit = (uint8_t)(1U << (call % 8));
    if ((told[call / 8] & bit) != 0)
        return false;
    told[call / 8] |= bit;
    return true;
}

/* Runs where the call was made, in the place of the call: nothing that allocates or writes is ever refused, so what is
 * used here is not interrupted half-way. A failure that the caller takes for an answer would go unseen otherwise. */
static void refused_cb(int number, siginfo_t *info, void *data)
{
    ucontext_t *context = data;
    int saved_errno = errno;
    if (is_news(info->si_syscall)) {
        char *name = seccomp_syscall_resolve_num_arch(info->si_arch, info->si_syscall);
        log_error("the system call %s (%d) is not among those that this process may make: refused",
                  name ? name : "without a name", info->si_syscall);
        free(name);
    }
    if (FILTER_IS_STRICT)
        abort();
    errno = saved_errno;
    RESULT_OF(context) = -EPERM;
}

static int watch_refusals(void)
{
    struct sigaction action = {.sa_sigaction = refused_cb, .sa_flags = SA_SIGINFO | SA_NODEFER};
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
#else
#define REFUSAL (FILTER_IS_STRICT ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM))

static int watch_refusals(void)
{
    return 0;
}
#endif

int filter_system_calls(enum filter_role role)
{
    scmp_filter_ctx filter = seccomp_init(REFUSAL);
    int result;
    if (!filter)
        return -ENOMEM;
    /* Best effort: an older libseccomp or kernel has no such flag. */
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    result = add_rules(filter, role);
    if (result == 0)
        result = watch_refusals();
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return result;
}
