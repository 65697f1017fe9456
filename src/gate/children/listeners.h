/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sockets on which redirected connections arrive. They are the gate's, so that they outlive a relay: all relays
 * accept from the same ones, and no connection waits behind one that is full or dead. They are transparent
 * (IP_TRANSPARENT), which only a privileged program can be: by that the rules tell them, and what is left of their
 * connections, from the socket of a user who took the port. Embedded. */
#ifndef PENSTOCK_GATE_CHILDREN_LISTENERS_H
#define PENSTOCK_GATE_CHILDREN_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/text.h"

enum listener_family { LISTENER_IPV4, LISTENER_IPV6, LISTENERS };

struct listeners {
    uint16_t port;      /* 0: not open */
    int fds[LISTENERS]; /* IPv6 -1: this host has none */
};

void listeners_init(struct listeners *listeners);
void listeners_fini(struct listeners *listeners);
/* On the loopback addresses, also before they are there; those of another port are closed. 0; or -errno with a sentence
 * that says who has the port, as far as that can be seen, and then none is open. */
int listeners_open(struct listeners *listeners, uint16_t port, char ret_error[static DETAIL_MAX]);
bool listeners_are_open(const struct listeners *listeners);
/* One of them has no room for another connection. */
bool listeners_are_full(const struct listeners *listeners);

#endif
