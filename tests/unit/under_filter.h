/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a whole test program under the filter of the process that its code is for. */
#ifndef PENSTOCK_TESTS_UNDER_FILTER_H
#define PENSTOCK_TESTS_UNDER_FILTER_H

#include "base/filter.h"

/* Before the suite runs; for good. What check and the peers of tests need is allowed as well, but neither a request of
 * ioctl() or fcntl() nor a kind of socket. In a strict build (configure --enable-strict-filter) a refused call ends the
 * test with its name. Does nothing under valgrind, which has no seccomp, and in a
 * sanitized build, whose leak checker stops the process from outside. */
void under_filter(enum filter_role role);

#endif
