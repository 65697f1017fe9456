/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our TLS client and a server on the two ends of a socket pair, moved in turn by the test. */
#ifndef PENSTOCK_TESTS_TLS_PAIR_H
#define PENSTOCK_TESTS_TLS_PAIR_H

#include "channel/tls/tls.h"
#include "model/conf/conf.h"
#include "tls_peer.h"

/* A directory with the certificates of tests/lab/pki for gw.example, 192.0.2.7 and 2001:db8::7; call once, before any
 * test. */
void pki_make(void);
void pki_remove(void);
const char *pki(const char *name); /* "DIRECTORY/name", in one of a few static buffers */

/* Trusts ca.pem, shows client.pem. */
struct conf pair_conf(void);
/* certificate: "server" for server.pem and server.key; asks for client certificates of ca.pem. */
struct tls_peer_conf pair_peer_conf(const char *certificate);

struct tls_context *pair_context(const struct conf *conf);

/* What lies between the two when the test wants to meddle. */
struct wire;

struct pair {
    struct tls *tls;
    struct tls_peer *peer;
    struct wire *wire; /* NULL: they are connected directly */
};

enum wire_way { WIRE_TO_CLIENT, WIRE_TO_SERVER };

/* Bytes move in pieces of at most so many (0: as they come). */
struct pair pair_open_wired(struct tls_context *context, struct tls_peer_server *server, const char *name,
                            size_t piece);
void wire_move(struct pair *pair);
/* Inverts a bit of the byte at this offset of what goes that way. */
void wire_damage(struct pair *pair, enum wire_way way, size_t offset, unsigned bit);
/* Ends that way there, as if the peer had closed. */
void wire_cut(struct pair *pair, enum wire_way way, size_t offset);
size_t wire_moved(const struct pair *pair, enum wire_way way);

struct pair pair_open(struct tls_context *context, struct tls_peer_server *server, const char *name, bool resume);
void pair_close(struct pair *pair); /* takes what is already freed and set to NULL */

/* Until the client is done or failed, and the server too (or it waits for nobody). */
enum stream_status pair_handshake(struct pair *pair);

/* Moves the server until the client's read says anything but again. */
enum stream_status pair_read(struct pair *pair, void *buf, size_t size, size_t *ret_count);

/* A whole connection that must work: open, handshake, one message each way. */
struct pair pair_up(struct tls_context *context, struct tls_peer_server *server, const char *name, bool resume);

#endif
