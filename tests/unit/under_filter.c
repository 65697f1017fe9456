/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "under_filter.h"

#include <stdio.h>
#include <string.h>

/* Its lists are nobody else's; the library's own copy is not linked then. */
#include "base/filter.c"

/* What is not about bytes: processes and their ends, check's timers and files, peers that listen, and threads. */
static const int of_tests[] = {
    SCMP_SYS(clone),
    SCMP_SYS(clone3),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(wait4),
    SCMP_SYS(waitid),
    SCMP_SYS(kill),
    SCMP_SYS(tgkill),
    SCMP_SYS(setpgid),
    SCMP_SYS(getpgid),
    SCMP_SYS(getpgrp),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(timer_create),
    SCMP_SYS(timer_settime),
    SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_delete),
    SCMP_SYS(timer_settime64),
    SCMP_SYS(timer_gettime64),
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(rmdir),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(socketpair),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(dup2),
    SCMP_SYS(memfd_create),
    SCMP_SYS(prlimit64),
    SCMP_SYS(setrlimit),
    SCMP_SYS(prctl),
    SCMP_SYS(seccomp),
    SCMP_SYS(pause),
    SCMP_SYS(mprotect),
    SCMP_SYS(unshare),

    SCMP_SYS(getdents64),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(setresuid),
    SCMP_SYS(setfsuid),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(pread64),
    SCMP_SYS(capget),
    SCMP_SYS(capset),
    SCMP_SYS(ftruncate),
    SCMP_SYS(chdir),
    SCMP_SYS(fchdir),
    SCMP_SYS(getcwd),
};

static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

/* Without the deadly ones, of which a test may make use. */
static int add_all(scmp_filter_ctx filter, enum filter_role role)
{
    int result = add_allowed(filter, role);
    if (result == 0)
        result = add_sockets(filter, role);
    if (result == 0)
        result = add_fcntl(filter, role);
    if (result == 0 && !SANITIZERS)
        result = add_memory(filter);
    if (result == 0 && !SANITIZERS)
        result = add_various(filter);
    if (result == 0) /* of who hands a configuration over */
        result = add_if(filter, SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS, 0));
    return result == 0 ? add_list(filter, SCMP_ACT_ALLOW, of_tests, sizeof of_tests / sizeof of_tests[0]) : result;
}

void under_filter(enum filter_role role)
{
    scmp_filter_ctx filter;
    int result;
    if (SANITIZERS || under_valgrind())
        return;
    filter = seccomp_init(REFUSAL);
    result = filter ? add_all(filter, role) : -ENOMEM;
    if (result == 0)
        result = watch_refusals();
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    if (result < 0) {
        fprintf(stderr, "no filter: %s\n", strerror(-result));
        exit(EXIT_FAILURE);
    }
}
