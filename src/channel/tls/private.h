/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the TLS client share: context.c (settings, remembered sessions), files.c (CAs, our
 * certificate), connection.c (one connection), bytes.c (its bytes), cert.c (what certificates say),
 * failure.c (why it failed, in words). Nobody else includes this. */
#ifndef PENSTOCK_CHANNEL_TLS_PRIVATE_H
#define PENSTOCK_CHANNEL_TLS_PRIVATE_H

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/ssl.h>

#include "channel/tls/device.h"
#include "channel/tls/tls.h"
#include "model/addr.h"

#define TLS_REMEMBERED_MAX CONF_SERVERS_MAX

/* Several records in one system call, for connections that are busy. A record is at most 16 KiB of ours (RFC 8446
 * section 5.1) and what it adds, which is 85 bytes in the worst suite. So many of ours fill what TCP hands to a network
 * device at once (64 KiB in whole segments); a little more would need a second, small packet each time. */
#define TLS_RECORD_MAX 16384
#define TLS_BATCH_MAX  64000
#define TLS_BATCH_SIZE (4 * (TLS_RECORD_MAX + 256))

struct tls_remembered {
    char *name;
    WOLFSSL_SESSION *session; /* NULL: none (any more) */
    bool never;               /* to be resumed */
};

struct tls_context {
    unsigned users; /* connections, and one for the owner: what tls_context_free() leaves behind dies with the last */
    WOLFSSL_CTX *ctx;
    const struct conf_files *files; /* while they are being loaded */
    struct tls_device *engine;      /* NULL: wolfSSL does all of it */
    bool has_certificate;
    int64_t client_expires; /* 0: no client certificate, or unknown */
    bool only_tls13;
    struct tls_remembered remembered[TLS_REMEMBERED_MAX];
    size_t n_remembered, next_remembered;
    unsigned char *spare_batch; /* for the next user; NULL: none */
    size_t batches_out;
};

/* What a refused certificate says of itself, cleaned for people; made by the verify callback. */
struct tls_cert_note {
    int depth;
    bool self_signed;
    int64_t not_before, not_after; /* seconds since the epoch; 0: unknown */
    char names[128];               /* "gw.example", "192.0.2.7" and 3 more */
    char issuer[96];
};

struct tls {
    struct stream stream; /* first: a struct stream * is a struct tls * */
    struct tls_context *context;
    WOLFSSL *ssl;
    struct {
        unsigned char *buf; /* read ahead of wolfSSL, which asks for five bytes at a time; NULL: nothing */
        size_t size, at, end;
        bool many; /* the last read found all that it had room for */
    } ahead;
    struct {
        unsigned char *buf; /* records on their way to the stream below; NULL: none */
        size_t at, end;
        size_t taken;   /* bytes of a tls_write() that are all in there */
        bool gathering; /* what wolfSSL sends now goes there */
    } behind;
    struct {
        unsigned char header[5];
        unsigned have; /* of the header; 0: between two records */
        size_t left;   /* behind a whole header: bytes of the record that wolfSSL has not had yet */
    } record;
    enum stream_status below_status; /* the last from below that was not STREAM_OK */
    enum stream_status read_end;     /* STREAM_OK: not ended */
    bool resume, connected, heard, write_closed;
    bool reading;         /* inside wolfSSL_read() */
    bool asked_late;      /* the server has asked for our certificate after the handshake */
    bool ticketed;        /* the server has sent a ticket that is not remembered yet */
    bool server_verified; /* the verify callback has passed the server's own certificate, name included */
    bool send_broken;     /* the peer takes nothing any more; what it still has to say can be read */
    enum tls_failure failure;
    enum cause cause; /* of failure */
    char *text;       /* of failure; NULL: none, or no memory */
    struct tls_cert_note *note;
    struct addr peer, numeric; /* of the socket below; name as an address. Family 0: none */
    char name[];               /* without a trailing dot */
};

/* ---- context.c ---- */
struct tls_context *tls_context_use(struct tls_context *context);
/* Offers a session to ssl if one is remembered for name; remembers the one that ssl has now. */
void tls_context_recall(struct tls_context *context, const char *name, WOLFSSL *ssl);
void tls_context_remember(struct tls_context *context, const char *name, WOLFSSL *ssl);
/* The server did not like it: the next connection makes a full handshake. */
void tls_context_forget(struct tls_context *context, const char *name);
/* All further connections do. */
void tls_context_never_resume(struct tls_context *context, const char *name);

/* TLS_BATCH_SIZE bytes, or NULL: do without. */
unsigned char *tls_context_get_batch(struct tls_context *context);
void tls_context_put_batch(struct tls_context *context, unsigned char *batch);

/* ---- files.c ---- */
/* 0, or -errno with ret_error filled. */
int tls_load_trust(const struct tls_context *context, const struct conf *conf, struct error *ret_error);
int tls_load_identity(struct tls_context *context, const struct conf *conf, struct error *ret_error);

/* ---- bytes.c ---- */
/* wolfSSL's way to the stream below; the connection is the callbacks' context. */
int tls_recv_cb(WOLFSSL *ssl, char *buf, int size, void *data);
int tls_send_cb(WOLFSSL *ssl, char *buf, int size, void *data);
/* The last from below was an end between two records, after the peer had been heard, without close_notify. */
bool tls_is_truncated(const struct tls *tls);
/* An idle connection holds no buffer. */
void tls_drop_ahead(struct tls *tls);
void tls_drop_behind(struct tls *tls);
/* Until tls_flush(), records are kept instead of sent one by one, if there is memory for that. */
void tls_gather(struct tls *tls);
/* Sends what was kept. STREAM_OK: all of it, or the peer takes nothing any more (send_broken); else again. */
enum stream_status tls_flush(struct tls *tls);

/* ---- failure.c ---- */
/* For wolfSSL_set_verify(); the connection is the callback's context. Only ever adds refusals. */
int tls_verify_cb(int verified, WOLFSSL_X509_STORE_CTX *store);
/* Keeps the first failure. error: of wolfSSL_get_error(); what came from below and the alerts are looked at, too. */
void tls_fail(struct tls *tls, int error);

/* ---- cert.c ---- */
int64_t tls_cert_expires(WOLFSSL_X509 *x509);
bool tls_cert_has_address(WOLFSSL_X509 *x509, const struct addr *address);
bool tls_cert_has_key(WOLFSSL_X509 *x509, WOLFSSL_EVP_PKEY *key);
void tls_cert_describe(WOLFSSL_X509 *x509, struct tls_cert_note *ret_note);

#endif
