/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small servers on loopback for unit tests: blocking code in a process of its own, so that a test can be written down
 * as what the peer says. They die with the test. */
#ifndef PENSTOCK_TESTS_LOOP_PEER_H
#define PENSTOCK_TESTS_LOOP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "model/addr.h"

/* Of one connection; returning closes it. Runs in the peer's process. */
typedef void peer_script(int fd, void *data);

struct peer {
    pid_t pid;
    struct addr address;
    volatile unsigned *accepted; /* connections so far, shared with the peer */
};

/* Listens on 127.0.0.1 or ::1 (AF_INET, AF_INET6), any port, or that one; scripts run one after the other. False: no
 * such family here. */
bool peer_start(struct peer *peer, int family, uint16_t port, peer_script *script, const void *data);
/* The same for datagrams: the script reads and answers on fd for ever. */
bool peer_start_udp(struct peer *peer, peer_script *script, const void *data);
void peer_stop(struct peer *peer);

/* A listener of the test itself; close it. */
int peer_listen(struct addr *ret_address);
/* An address of 127.0.0.1 where nobody listens, for as long as the test runs. */
struct addr peer_refusing(void);
/* One that never answers: the queue of its listener is full. */
struct addr peer_silent(void);

/* From here on this process has no network at all, not even a loopback. False: that is not allowed here. */
bool peer_leave_network(void);

/* It runs everything in one simulated, slow processor and knows no seccomp. */
bool peer_under_valgrind(void);
/* A limit for what is over in much less on any machine that is not overloaded, stretched as check's own limits are. */
double peer_patience(double seconds);

/* A directory with the certificates of tests/lab/pki, made anew; call once, before any test. */
const char *peer_make_pki(void);
void peer_remove_pki(void);
/* "DIRECTORY/name"; static for as long as the process lives. */
const char *peer_pki(const char *name);

/* ---- for scripts ---- */

/* Up to the blank line; false when the other end closed before. */
bool peer_read_head(int fd, char *buf, size_t size);
void peer_write(int fd, const char *text);
/* Waits for the other end to close. */
void peer_drain(int fd);
/* close() will send RST. */
void peer_reset_at_close(int fd);

/* ---- TLS ---- */

struct peer_tls {
    const char *certificate, *key; /* files */
    const char *client_ca;         /* NULL: asks for no client certificate */
    bool tls12;                    /* no newer version */
    bool mute;                     /* closes without an alert */
};

struct peer_channel; /* one TLS connection, over a socket or over another one */

/* NULL when the handshake failed. below NULL: over fd. */
struct peer_channel *peer_tls_accept(int fd, struct peer_channel *below, const struct peer_tls *tls);
bool peer_tls_read_head(struct peer_channel *channel, char *buf, size_t size);
void peer_tls_write(struct peer_channel *channel, const char *text);
void peer_tls_close(struct peer_channel *channel); /* close_notify; fd stays */
void peer_tls_drain(struct peer_channel *channel);

#endif
