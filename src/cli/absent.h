/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status while no daemon answers: what the rules do with web traffic now, why there is no daemon, what to do. */
#ifndef PENSTOCK_CLI_ABSENT_H
#define PENSTOCK_CLI_ABSENT_H

#include <jansson.h>

#include "cli/cli.h"

/* An object as that of a daemon's status, with "running": false and "last", what the daemon wrote last; never NULL but
 * for want of memory. problem: why nobody answered; gone: nobody listens. */
json_t *absent_status(const struct cli_options *options, const char *problem, bool gone);

#endif
