/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <assert.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/stream_fd.h"

static struct tls *tls_of(const struct stream *stream)
{
    return (struct tls *)stream;
}

/* ---- birth and death ---- */

static void note_peer(struct tls *tls);

static int ticket_cb(WOLFSSL *ssl, const unsigned char *ticket, int size, void *data)
{
    struct tls *tls = data;
    tls->ticketed = size > 0;
    return 0;
}

static WOLFSSL *new_ssl(struct tls *tls)
{
    WOLFSSL *ssl = wolfSSL_new(tls->context->ctx);
    bool named = tls->numeric.sa.sa_family == AF_UNSPEC;
    bool ok = ssl;
    if (named) {
        ok = ok && wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, tls->name, (unsigned short)strlen(tls->name)) ==
                       WOLFSSL_SUCCESS;
        ok = ok && wolfSSL_check_domain_name(ssl, tls->name) == WOLFSSL_SUCCESS;
    }
    ok = ok && wolfSSL_UseKeyShare(ssl, WOLFSSL_ECC_X25519) == WOLFSSL_SUCCESS;
    if (!ok) {
        wolfSSL_free(ssl);
        return NULL;
    }
    wolfSSL_SetCertCbCtx(ssl, tls);
    wolfSSL_SSLSetIORecv(ssl, tls_recv_cb);
    wolfSSL_SSLSetIOSend(ssl, tls_send_cb);
    wolfSSL_SetIOReadCtx(ssl, tls);
    wolfSSL_SetIOWriteCtx(ssl, tls);
    if (tls->resume) {
        (void)wolfSSL_UseSessionTicket(ssl);
        (void)wolfSSL_set_SessionTicket_cb(ssl, ticket_cb, tls);
        tls_context_recall(tls->context, tls->name, ssl);
    }
    return ssl;
}

static const struct stream_ops tls_ops;

struct tls *tls_new(struct tls_context *context, struct stream *below, const char *name, bool resume)
{
    size_t length = strlen(name);
    struct tls *tls = calloc(1, sizeof *tls + length + 1);
    if (!tls) {
        stream_free(below, true);
        return NULL;
    }
    memcpy(tls->name, name, length);
    /* RFC 6066 section 3: the root's dot is not part of the name. */
    if (length > 1 && tls->name[length - 1] == '.')
        tls->name[length - 1] = '\0';
    tls->stream.ops = &tls_ops;
    tls->stream.below = below;
    tls->resume = resume;
    (void)addr_parse(tls->name, 0, &tls->numeric);
    note_peer(tls);
    tls->context = tls_context_use(context);
    tls_device_enter(context->engine, tls);
    tls->ssl = new_ssl(tls);
    if (!tls->ssl) {
        stream_free(&tls->stream, true);
        return NULL;
    }
    return tls;
}

/* Now, as getpeername() knows nothing of a socket that was reset. Inside a tunnel the socket's peer is another. */
static void note_peer(struct tls *tls)
{
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer;
    if (stream_is_plain(tls->stream.below) &&
        getpeername(stream_fd(tls->stream.below), (struct sockaddr *)&peer, &length) == 0)
        (void)addr_from_sockaddr((struct sockaddr *)&peer, length, &tls->peer);
}

static void tls_free(struct stream *stream, bool reset)
{
    struct tls *tls = tls_of(stream);
    if (tls->ssl && tls->connected && !tls->write_closed && !reset) {
        tls_device_enter(tls->context->engine, tls);
        (void)wolfSSL_shutdown(tls->ssl);
    }
    wolfSSL_free(tls->ssl);
    tls_device_forget(tls->context->engine, tls);
    stream_free(tls->stream.below, reset);
    tls_drop_ahead(tls);
    tls_drop_behind(tls);
    tls_context_free(tls->context);
    free(tls->text);
    free(tls->note);
    free(tls);
}

/* ---- one step of wolfSSL ---- */

static void begin(struct tls *tls)
{
    tls_device_enter(tls->context->engine, tls);
    wolfSSL_ERR_clear_error();
    tls->below_status = STREAM_OK;
}

/* What the caller has to wait for is what the stream below waits for. */
static enum stream_status again(const struct tls *tls, int error)
{
    if (tls->below_status == STREAM_AGAIN_READ || tls->below_status == STREAM_AGAIN_WRITE)
        return tls->below_status;
    return error == WOLFSSL_ERROR_WANT_WRITE ? STREAM_AGAIN_WRITE : STREAM_AGAIN_READ;
}

static bool wants(int error)
{
    return error == WOLFSSL_ERROR_WANT_READ || error == WOLFSSL_ERROR_WANT_WRITE;
}

static enum stream_status failed(struct tls *tls, int error)
{
    tls_fail(tls, error);
    if (tls->resume && !tls->connected)
        tls_context_forget(tls->context, tls->name);
    tls_drop_ahead(tls);
    return tls->below_status == STREAM_RESET && tls->failure == TLS_FAILURE_CLOSED ? STREAM_RESET : STREAM_FAILED;
}

/* wolfSSL keeps 37 KB per connection for a chain of nine certificates. Most of it is never written but with zeros: such
 * pages go back to the kernel, which gives zeros again should anybody look. */
static void trim(struct tls *tls)
{
    static const unsigned char zeros[4096];
    unsigned char *session = (unsigned char *)wolfSSL_get_session(tls->ssl);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *end, *first;
    if (!session || page != sizeof zeros)
        return;
    end = session + malloc_usable_size(session);
    first = session + (page - (uintptr_t)session % page) % page;
    for (unsigned char *at = first; at + page <= end; at += page) {
        if (memcmp(at, zeros, page) == 0)
            (void)madvise(at, page, MADV_DONTNEED);
    }
}

/* In TLS 1.3 a session is a ticket and a secret, and the handshake has replaced the secret: without a new ticket, which
 * a server need not give to one that was resumed, the two do not belong together. */
static void remember(struct tls *tls)
{
    if (tls->resume && (tls->ticketed || wolfSSL_version(tls->ssl) < TLS1_3_VERSION))
        tls_context_remember(tls->context, tls->name, tls->ssl);
    tls->ticketed = false;
}

enum stream_status tls_handshake(struct tls *tls)
{
    int result, error;
    if (tls->failure != TLS_FAILURE_NONE)
        return STREAM_FAILED;
    begin(tls);
    result = wolfSSL_connect(tls->ssl);
    if (result != WOLFSSL_SUCCESS) {
        error = wolfSSL_get_error(tls->ssl, result);
        return wants(error) ? again(tls, error) : failed(tls, error);
    }
    /* Should wolfSSL have a way to succeed without asking us, it is not ours. */
    if (!tls->server_verified && !wolfSSL_session_reused(tls->ssl))
        return failed(tls, VERIFY_CERT_ERROR);
    tls->connected = true;
    if (wolfSSL_version(tls->ssl) < TLS1_3_VERSION)
        remember(tls);
    trim(tls);
    return STREAM_OK;
}

/* ---- the stream ---- */

static enum stream_status read_ended(struct tls *tls, enum stream_status status)
{
    tls_drop_ahead(tls);
    tls->read_end = status;
    return status;
}

static enum stream_status tls_read(struct stream *stream, void *buf, size_t size, size_t *ret_count)
{
    struct tls *tls = tls_of(stream);
    int result, error;
    assert(tls->connected || tls->failure != TLS_FAILURE_NONE);
    if (tls->read_end != STREAM_OK)
        return tls->read_end;
    begin(tls);
    tls->reading = true;
    result = wolfSSL_read(tls->ssl, buf, size < INT_MAX ? (int)size : INT_MAX);
    tls->reading = false;
    /* wolfSSL takes that request for a mistake in a connection that was resumed. */
    if (tls->asked_late && tls->resume) {
        tls_context_never_resume(tls->context, tls->name);
        tls->resume = tls->ticketed = false;
    }
    if (result > 0) {
        /* In TLS 1.3 the tickets come after the handshake, mostly before the first data. */
        if (tls->ticketed)
            remember(tls);
        tls->heard = true;
        *ret_count = (size_t)result;
    }
    if (tls->ahead.at == tls->ahead.end)
        tls_drop_ahead(tls);
    if (result > 0)
        return STREAM_OK;
    error = wolfSSL_get_error(tls->ssl, result);
    if (wants(error) && tls_is_truncated(tls))
        return read_ended(tls, STREAM_TRUNCATED);
    if (wants(error)) {
        assert(!tls->ahead.buf); /* or tls_pending() would be wrong */
        return again(tls, error);
    }
    return read_ended(tls, error == WOLFSSL_ERROR_ZERO_RETURN ? STREAM_EOF : failed(tls, error));
}

/* Nothing can be sent any more: finds the alert that says why, if it is there and no data before it. */
static enum stream_status write_broken(struct tls *tls)
{
    char byte;
    int result, error;
    begin(tls);
    result = tls->read_end == STREAM_OK ? wolfSSL_peek(tls->ssl, &byte, 1) : 1;
    if (result <= 0) {
        error = wolfSSL_get_error(tls->ssl, result);
        if (!wants(error) && error != WOLFSSL_ERROR_ZERO_RETURN)
            read_ended(tls, failed(tls, error));
    }
    return tls->failure == TLS_FAILURE_NONE || tls->failure == TLS_FAILURE_CLOSED ? STREAM_RESET : STREAM_FAILED;
}

/* What wolfSSL has encrypted must go out before the bytes count as written: the caller comes again with the same ones.
 */
static enum stream_status write_out(struct tls *tls, size_t *ret_count)
{
    enum stream_status status = tls_flush(tls);
    if (tls->send_broken)
        return write_broken(tls);
    if (status != STREAM_OK)
        return status;
    *ret_count = tls->behind.taken;
    tls->behind.taken = 0;
    return STREAM_OK;
}

static enum stream_status tls_write(struct stream *stream, const void *buf, size_t size, size_t *ret_count)
{
    struct tls *tls = tls_of(stream);
    int result, error;
    assert(tls->connected && !tls->write_closed);
    if (tls->failure != TLS_FAILURE_NONE)
        return STREAM_FAILED;
    begin(tls);
    if (tls->behind.taken == 0) {
        if (size > TLS_RECORD_MAX)
            tls_gather(tls);
        result = wolfSSL_write(tls->ssl, buf, size < TLS_BATCH_MAX ? (int)size : TLS_BATCH_MAX);
        if (result <= 0) {
            error = wolfSSL_get_error(tls->ssl, result);
            (void)tls_flush(tls);
            if (tls->send_broken)
                return write_broken(tls);
            return wants(error) ? again(tls, error) : failed(tls, error);
        }
        tls->behind.taken = (size_t)result;
    }
    return write_out(tls, ret_count);
}

static enum stream_status tls_shutdown_write(struct stream *stream)
{
    struct tls *tls = tls_of(stream);
    int result, error;
    assert(tls->connected);
    if (tls->write_closed)
        return STREAM_OK;
    if (tls->failure != TLS_FAILURE_NONE)
        return STREAM_FAILED;
    begin(tls);
    /* Sends close_notify; a second call would wait for the peer's and throw its data away. */
    result = wolfSSL_shutdown(tls->ssl);
    if (result < 0) {
        if (tls->send_broken && tls->read_end != STREAM_TRUNCATED) /* who left without a word waits for none */
            return write_broken(tls);
        error = wolfSSL_get_error(tls->ssl, result);
        if (!tls->send_broken)
            return wants(error) ? again(tls, error) : failed(tls, error);
    }
    tls->write_closed = true;
    return STREAM_OK;
}

static bool tls_pending(const struct stream *stream)
{
    const struct tls *tls = tls_of(stream);
    return tls->read_end == STREAM_OK && (tls->ahead.at < tls->ahead.end || wolfSSL_pending(tls->ssl) > 0);
}

static const char *tls_error(const struct stream *stream)
{
    const struct tls *tls = tls_of(stream);
    return tls->read_end == STREAM_TRUNCATED ? "closed without TLS close_notify" : tls_failure_text(tls);
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .shutdown_write = tls_shutdown_write,
    .pending = tls_pending,
    .error = tls_error,
    .free = tls_free,
};

struct stream *tls_stream(struct tls *tls)
{
    return &tls->stream;
}

/* ---- afterwards ---- */

enum tls_failure tls_failure(const struct tls *tls)
{
    return tls->failure;
}

void tls_summary(const struct tls *tls, struct tls_summary *ret_summary)
{
    struct tls_summary summary = {.client_expires = tls->context->client_expires};
    const char *version = wolfSSL_get_version(tls->ssl);
    int suite = wolfSSL_get_current_cipher_suite(tls->ssl);
    const char *cipher =
        wolfSSL_get_cipher_name_iana_from_suite((unsigned char)(suite >> 8), (unsigned char)(suite & 0xff));
    WOLFSSL_X509 *x509 = wolfSSL_get_peer_certificate(tls->ssl);
    strncpy(summary.version, version ? version : "", sizeof summary.version - 1);
    strncpy(summary.cipher, cipher ? cipher : "", sizeof summary.cipher - 1);
    if (x509)
        summary.server_expires = tls_cert_expires(x509);
    wolfSSL_X509_free(x509);
    *ret_summary = summary;
}

bool tls_resumed(const struct tls *tls)
{
    return tls->connected && wolfSSL_session_reused(tls->ssl);
}
