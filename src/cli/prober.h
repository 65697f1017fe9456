/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's own prober, in a process of its own (penstock-worker), asked without the daemon: what it says of keys
 * and certificates, and the connectivity test. This program maps no TLS. */
#ifndef PENSTOCK_CLI_PROBER_H
#define PENSTOCK_CLI_PROBER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/ipc.h"
#include "model/conf/conf.h"

struct cli_prober {
    pid_t pid; /* 0: not running */
    int fd;
    int64_t deadline_ms; /* of all its answers */
};

/* Starts it and gives it conf with the files that conf names, which this process reads. False: the problem has been
 * written. cli_prober_close() is needed either way. */
bool cli_prober_open(struct cli_prober *prober, const struct conf *conf, unsigned wait_s,
                     struct ipc_conf_done *ret_done);
bool cli_prober_start_test(struct cli_prober *prober);
/* The next report of the test. False: there is none in time, or the prober is gone; the problem has been written. */
bool cli_prober_next(struct cli_prober *prober, struct test_report *ret_report);
void cli_prober_close(struct cli_prober *prober);

#endif
