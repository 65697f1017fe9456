/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TLS client of the secure channel, without any TLS library in sight: a mutually authenticated stream above another
 * stream (the TCP socket, or for AuthURL the tunnel inside the channel). Verification of chain and name is always on.
 */
#ifndef PENSTOCK_CHANNEL_TLS_TLS_H
#define PENSTOCK_CHANNEL_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/stream.h"
#include "model/conf/conf.h"
#include "model/error.h"
#include "model/report.h"

#define TLS_TEXT_MAX DETAIL_MAX

/* Trust anchors, client certificate and key, versions, ciphers, groups; shared by all connections of a process.
 * Also remembers sessions for resumption (one per server name, bounded). */
struct tls_context;
struct tls;

/* Why a handshake or a first read failed. */
enum tls_failure {
    TLS_FAILURE_NONE,
    TLS_FAILURE_SERVER_CERT, /* we refuse the server: chain, name, dates */
    TLS_FAILURE_CLIENT_CERT, /* the server's alert refuses our certificate (or its absence) */
    TLS_FAILURE_ALERT,       /* any other fatal alert */
    TLS_FAILURE_CLOSED,   /* closed or reset without an alert: after the handshake and before the first byte, suspect */
    TLS_FAILURE_PROTOCOL, /* not TLS, bad record, no common version or cipher */
    TLS_FAILURE_MEMORY,
};

/* Takes CAs, certificate and key that conf names (which is not kept) from conf->files; without those it reads them. 0,
 * or -errno with ret_error filled, which names the file and what is wrong with it: missing, unreadable, encrypted, no
 * match between certificate and key. An expired certificate of our own is no error here: the server will refuse it, and
 * the failure text will say so. */
int tls_context_new(const struct conf *conf, struct error *ret_error, struct tls_context **ret_context);
/* Takes NULL. Connections that still use it keep it until the last of them is freed; then keys and sessions are wiped.
 */
void tls_context_free(struct tls_context *context);

/* Expiry of our own certificate, seconds since the epoch; 0 when there is none. */
int64_t tls_context_client_expires(const struct tls_context *context);

/* A client above below, which is taken over (freed also on failure). name: SNI and the name that the certificate must
 * carry; a numeric address sends no SNI and must match an IP subjectAltName. resume: offer a remembered session and
 * remember new ones; never for the mutual authentication test, a resumed session skips the certificates. NULL: out of
 * memory. */
struct tls *tls_new(struct tls_context *context, struct stream *below, const char *name, bool resume);

/* STREAM_OK when done (in TLS 1.3 the server has not judged our certificate yet), again, or an end: then tls_failure().
 */
enum stream_status tls_handshake(struct tls *tls);

/* The stream that reads and writes plaintext; owns the tls and what is below: stream_free() ends all of it.
 * Its error() text is the sentence of tls_failure_text(). */
struct stream *tls_stream(struct tls *tls);

/* Of the first failure, in the handshake or later; text names the certificate, the alert or the error:
 * certificate of 192.0.2.7:8081 is for "gw.example", expected "mcp.wgcs.skyhigh.cloud";
 * server rejected the client certificate (alert 48, unknown ca). */
enum tls_failure tls_failure(const struct tls *tls);
enum cause tls_failure_cause(const struct tls *tls); /* CAUSE_NONE without a failure */
const char *tls_failure_text(const struct tls *tls);

/* After the handshake. */
void tls_summary(const struct tls *tls, struct tls_summary *ret_summary);
bool tls_resumed(const struct tls *tls);

#endif
