/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which way sessions go. */
#ifndef PENSTOCK_MODEL_ROUTE_H
#define PENSTOCK_MODEL_ROUTE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "model/addr.h"
#include "model/text.h"

enum route_mode {
    ROUTE_CLOSED, /* blocked: end every session, refuse new ones */
    ROUTE_SECURE,
    ROUTE_PLAIN,
};

struct route {
    uint64_t generation; /* grows with every verdict that was confirmed or changed: held connections try again */
    uint8_t mode;        /* enum route_mode */
    struct addr address; /* of the proxy, with its port */
    char server[NAME_SIZE];
    char status[64]; /* the verdict's text, for the log */
};

/* Does it lead somewhere else, or otherwise? A new generation alone does not. */
static inline bool route_is_other_way(const struct route *route, const struct route *previous)
{
    return route->mode != previous->mode || !addr_equal(&route->address, &previous->address) ||
           strcmp(route->server, previous->server) != 0;
}

/* "secure", "plain", as that of the verdict (verdict.c); NULL when closed. */
const char *route_mode_text(enum route_mode mode);

#endif
