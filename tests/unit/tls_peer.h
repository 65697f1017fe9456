/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A TLS server for unit tests, in the same process and never blocking: the test moves both ends in turn. */
#ifndef PENSTOCK_TESTS_TLS_PEER_H
#define PENSTOCK_TESTS_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_peer_conf {
    const char *certificate, *key; /* files; the certificate's chain may follow in it */
    const char *client_ca;         /* NULL: asks for no client certificate */
    bool tls12;                    /* no newer version */
    const char *suites;            /* NULL: wolfSSL's own */
};

struct tls_peer_server; /* keys and tickets, for any number of connections */
struct tls_peer;

struct tls_peer_server *tls_peer_server_new(const struct tls_peer_conf *conf);
/* TLS 1.3: connections that are made from now on give no new tickets; the old ones are good. */
void tls_peer_server_stop_tickets(struct tls_peer_server *server);
void tls_peer_server_free(struct tls_peer_server *server);

/* Over fd, which is taken over, or inside the tunnel of below (fd -1). */
struct tls_peer *tls_peer_new(struct tls_peer_server *server, int fd, struct tls_peer *below);
void tls_peer_free(struct tls_peer *peer); /* takes NULL; closes fd and says nothing */

enum tls_peer_result { TLS_PEER_OK, TLS_PEER_AGAIN, TLS_PEER_EOF, TLS_PEER_FAILED };

enum tls_peer_result tls_peer_accept(struct tls_peer *peer);
enum tls_peer_result tls_peer_read(struct tls_peer *peer, void *buf, size_t size, size_t *ret_count);
enum tls_peer_result tls_peer_write(struct tls_peer *peer, const void *buf, size_t size, size_t *ret_count);
enum tls_peer_result tls_peer_close_notify(struct tls_peer *peer);
/* TLS 1.3: new keys both ways. */
void tls_peer_update_keys(struct tls_peer *peer);
bool tls_peer_resumed(struct tls_peer *peer);
bool tls_peer_saw_certificate(struct tls_peer *peer);
/* The SNI that the client sent, "" when none. */
const char *tls_peer_sni(struct tls_peer *peer);

#endif
