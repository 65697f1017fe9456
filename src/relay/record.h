/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one log line of a finished session. */
#ifndef PENSTOCK_RELAY_RECORD_H
#define PENSTOCK_RELAY_RECORD_H

#include <stdint.h>

#include "common/addr.h"
#include "common/ipc.h"
#include "common/reason.h"

struct record {
    const struct addr *client, *destination, *proxy;
    const char *name; /* NULL: none */
    enum route_mode mode;
    uint64_t up, down;
    double seconds;
    enum reason reason;
    const char *detail; /* NULL: none */
};

void record_log(const struct record *record);

#endif
