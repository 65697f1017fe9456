/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source ports for connections to the proxy. Whoever ends a connection first keeps its port in TIME_WAIT for a minute,
 * and all connections go to one address: at some 500 sessions per second that clients end first, the kernel's choice
 * among 28,000 ephemeral ports runs dry, after having searched longer and longer. A port that is chosen with bind() and
 * SO_REUSEADDR may be used again at once, because timestamps keep the old connection's segments apart (RFC 6191). Those
 * below the ephemeral range are chosen, so that no other program is short of ports; and only when many were lost.
 * Embedded. */
#ifndef PENSTOCK_RELAY_CLOSE_SOURCE_PORTS_H
#define PENSTOCK_RELAY_CLOSE_SOURCE_PORTS_H

#include <stdint.h>

struct source_ports {
    uint16_t first, count, next; /* count 0: none to choose from */
    double minute_began;
    unsigned this_minute, last_minute; /* ports that went into TIME_WAIT */
};

#define SOURCE_PORTS_LOST_MAX 2000 /* per minute and relay, before we choose */

/* Reads the host's ip_local_port_range, before the sandbox. */
void source_ports_init(struct source_ports *ports);

/* now in seconds, from any start that does not change. */
void source_ports_note_lost(struct source_ports *ports, double now);
uint16_t source_ports_next(struct source_ports *ports, double now); /* 0: let the kernel choose */

#endif
