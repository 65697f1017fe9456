/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate process: configuration, verdict, rules, children, control. On the way down the rules go first, on the way up
 * the route. */
#ifndef PENSTOCK_GATE_GATE_H
#define PENSTOCK_GATE_GATE_H

#include <sys/types.h>

#include "model/conf/conf.h"

struct gate_options {
    const char *conf_path;    /* NULL: the default */
    const char *control_path; /* never NULL */
    uid_t own_uid;
};

/* Runs until SIGTERM or SIGINT; takes conf over. Returns the exit status (sysexits.h). */
int gate_main(const struct gate_options *options, struct conf *conf);

#endif
