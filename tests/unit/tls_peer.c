/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tls_peer.h"

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/ssl.h>

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls_peer_server {
    WOLFSSL_CTX *ctx;
};

struct tls_peer {
    WOLFSSL *ssl;
    int fd;
    struct tls_peer *below;
};

struct tls_peer_server *tls_peer_server_new(const struct tls_peer_conf *conf)
{
    struct tls_peer_server *server = calloc(1, sizeof *server);
    int verify = conf->client_ca ? WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT : WOLFSSL_VERIFY_NONE;
    ck_assert_ptr_nonnull(server);
    ck_assert_int_eq(wolfSSL_Init(), WOLFSSL_SUCCESS);
    server->ctx = wolfSSL_CTX_new(conf->tls12 ? wolfTLSv1_2_server_method() : wolfTLS_server_method());
    ck_assert_ptr_nonnull(server->ctx);
    ck_assert_int_eq(wolfSSL_CTX_use_certificate_chain_file(server->ctx, conf->certificate), WOLFSSL_SUCCESS);
    ck_assert_int_eq(wolfSSL_CTX_use_PrivateKey_file(server->ctx, conf->key, WOLFSSL_FILETYPE_PEM), WOLFSSL_SUCCESS);
    wolfSSL_CTX_set_verify(server->ctx, verify, NULL);
    if (conf->client_ca)
        ck_assert_int_eq(wolfSSL_CTX_load_verify_locations(server->ctx, conf->client_ca, NULL), WOLFSSL_SUCCESS);
    if (conf->suites)
        ck_assert_int_eq(wolfSSL_CTX_set_cipher_list(server->ctx, conf->suites), WOLFSSL_SUCCESS);
    return server;
}

void tls_peer_server_stop_tickets(struct tls_peer_server *server)
{
    ck_assert_int_eq(wolfSSL_CTX_no_ticket_TLSv13(server->ctx), 0);
}

void tls_peer_server_free(struct tls_peer_server *server)
{
    if (!server)
        return;
    wolfSSL_CTX_free(server->ctx);
    wolfSSL_Cleanup();
    free(server);
}

static int answer(ssize_t count)
{
    if (count > 0)
        return (int)count;
    if (count == 0)
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    return errno == EAGAIN ? WOLFSSL_CBIO_ERR_WANT_READ : WOLFSSL_CBIO_ERR_CONN_RST;
}

static int peer_recv(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls_peer *peer = data;
    size_t count;
    if (!peer->below)
        return answer(recv(peer->fd, buf, (size_t)size, 0));
    switch (tls_peer_read(peer->below, buf, (size_t)size, &count)) {
    case TLS_PEER_OK:
        return (int)count;
    case TLS_PEER_AGAIN:
        return WOLFSSL_CBIO_ERR_WANT_READ;
    case TLS_PEER_EOF:
    case TLS_PEER_FAILED:
        break;
    }
    return WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

static int peer_send(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls_peer *peer = data;
    size_t count;
    if (!peer->below)
        return answer(send(peer->fd, buf, (size_t)size, MSG_NOSIGNAL));
    switch (tls_peer_write(peer->below, buf, (size_t)size, &count)) {
    case TLS_PEER_OK:
        return (int)count;
    case TLS_PEER_AGAIN:
        return WOLFSSL_CBIO_ERR_WANT_WRITE;
    case TLS_PEER_EOF:
    case TLS_PEER_FAILED:
        break;
    }
    return WOLFSSL_CBIO_ERR_CONN_RST;
}

struct tls_peer *tls_peer_new(struct tls_peer_server *server, int fd, struct tls_peer *below)
{
    struct tls_peer *peer = calloc(1, sizeof *peer);
    ck_assert_ptr_nonnull(peer);
    peer->fd = fd;
    peer->below = below;
    peer->ssl = wolfSSL_new(server->ctx);
    ck_assert_ptr_nonnull(peer->ssl);
    wolfSSL_SSLSetIORecv(peer->ssl, peer_recv);
    wolfSSL_SSLSetIOSend(peer->ssl, peer_send);
    wolfSSL_SetIOReadCtx(peer->ssl, peer);
    wolfSSL_SetIOWriteCtx(peer->ssl, peer);
    return peer;
}

void tls_peer_free(struct tls_peer *peer)
{
    char rest[256];
    if (!peer)
        return;
    wolfSSL_free(peer->ssl);
    if (peer->fd >= 0) {
        /* What is unread at close() would become a reset, which overtakes the last bytes sent. */
        while (recv(peer->fd, rest, sizeof rest, 0) > 0)
            ;
        close(peer->fd);
    }
    free(peer);
}

static enum tls_peer_result result_of(struct tls_peer *peer, int result)
{
    switch (wolfSSL_get_error(peer->ssl, result)) {
    case WOLFSSL_ERROR_WANT_READ:
    case WOLFSSL_ERROR_WANT_WRITE:
        return TLS_PEER_AGAIN;
    case WOLFSSL_ERROR_ZERO_RETURN:
        return TLS_PEER_EOF;
    default:
        return TLS_PEER_FAILED;
    }
}

enum tls_peer_result tls_peer_accept(struct tls_peer *peer)
{
    int result = wolfSSL_accept(peer->ssl);
    return result == WOLFSSL_SUCCESS ? TLS_PEER_OK : result_of(peer, result);
}

enum tls_peer_result tls_peer_read(struct tls_peer *peer, void *buf, size_t size, size_t *ret_count)
{
    int result = wolfSSL_read(peer->ssl, buf, (int)size);
    if (result <= 0)
        return result_of(peer, result);
    *ret_count = (size_t)result;
    return TLS_PEER_OK;
}

enum tls_peer_result tls_peer_write(struct tls_peer *peer, const void *buf, size_t size, size_t *ret_count)
{
    int result = wolfSSL_write(peer->ssl, buf, (int)size);
    if (result <= 0)
        return result_of(peer, result);
    *ret_count = (size_t)result;
    return TLS_PEER_OK;
}

enum tls_peer_result tls_peer_close_notify(struct tls_peer *peer)
{
    int result = wolfSSL_shutdown(peer->ssl);
    return result >= 0 ? TLS_PEER_OK : result_of(peer, result);
}

void tls_peer_update_keys(struct tls_peer *peer)
{
    ck_assert_int_eq(wolfSSL_update_keys(peer->ssl), WOLFSSL_SUCCESS);
}

bool tls_peer_resumed(struct tls_peer *peer)
{
    return wolfSSL_session_reused(peer->ssl);
}

bool tls_peer_saw_certificate(struct tls_peer *peer)
{
    WOLFSSL_X509 *x509 = wolfSSL_get_peer_certificate(peer->ssl);
    bool seen = x509;
    wolfSSL_X509_free(x509);
    return seen;
}

const char *tls_peer_sni(struct tls_peer *peer)
{
    void *name = NULL;
    return wolfSSL_SNI_GetRequest(peer->ssl, WOLFSSL_SNI_HOST_NAME, &name) > 0 ? name : "";
}
