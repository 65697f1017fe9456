/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one log line of a finished session. */
#ifndef PENSTOCK_RELAY_SESSION_SESSION_LOG_H
#define PENSTOCK_RELAY_SESSION_SESSION_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "model/addr.h"
#include "model/cause.h"
#include "model/reason.h"
#include "model/route.h"
#include "model/target.h"

struct session_log {
    uint64_t id; /* within its relay, as in debug lines */
    const struct addr *client, *destination, *proxy;
    const char *status;     /* the verdict at its end */
    const char *server;     /* whose proxy that is; NULL: none, or another one is in use by now */
    const char *uid, *unit; /* of who made the connection; NULL: not known */
    const char *name;       /* NULL: none */
    const char *rule;       /* that decided; NULL: none was asked */
    bool ech;               /* the name is one that many share */
    enum target target;
    enum route_mode mode;
    uint64_t up, down;
    int http_status;   /* of the proxy's last answer; 0: none */
    uint64_t requests; /* of plain HTTP that were answered; 0: none, or it was a tunnel */
    double seconds;
    enum reason reason;
    enum cause cause;   /* of the last connection to the proxy; CAUSE_NONE: it came about */
    const char *detail; /* NULL: none */
};

void session_log_write(const struct session_log *record);

#endif
