/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls_private.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_SIZE 32768 /* two records at once: one system call instead of four */

/* ---- reading ---- */

static size_t take_ahead(struct tls *tls, char *buf, size_t size)
{
    size_t count = tls->ahead.end - tls->ahead.at;

    if (count > size)
        count = size;
    memcpy(buf, tls->ahead.buf + tls->ahead.at, count);
    tls->ahead.at += count;
    return count;
}

static void take_buffer(struct tls *tls)
{
    tls->ahead.size = TLS_BATCH_SIZE;
    tls->ahead.buf = tls->ahead.many ? tls_context_get_batch(tls->context) : NULL;
    if (tls->ahead.buf)
        return;
    tls->ahead.size = AHEAD_SIZE;
    tls->ahead.buf = malloc(AHEAD_SIZE);
}

void tls_drop_ahead(struct tls *tls)
{
    if (tls->ahead.buf && tls->ahead.size == TLS_BATCH_SIZE)
        tls_context_put_batch(tls->context, tls->ahead.buf);
    else
        free(tls->ahead.buf);
    tls->ahead.buf = NULL;
    tls->ahead.at = tls->ahead.end = 0;
}

static int cbio_error(enum stream_status status, int again)
{
    switch (status) {
    case STREAM_AGAIN_READ:
    case STREAM_AGAIN_WRITE:
        return again;
    case STREAM_EOF:
        return WOLFSSL_CBIO_ERR_CONN_CLOSE;
    case STREAM_RESET:
        return WOLFSSL_CBIO_ERR_CONN_RST;
    case STREAM_OK:
    case STREAM_FAILED:
        break;
    }
    return WOLFSSL_CBIO_ERR_GENERAL;
}

int tls_recv_cb(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls *tls = data;
    enum stream_status status;
    size_t count;

    (void)ssl;
    if (tls->ahead.at < tls->ahead.end)
        return (int)take_ahead(tls, buf, (size_t)size);
    if (!tls->ahead.buf)
        take_buffer(tls);
    if (!tls->ahead.buf) {
        status = stream_read(tls->below, buf, (size_t)size, &count);
        tls->below_status = status;
        return status == STREAM_OK ? (int)count : cbio_error(status, WOLFSSL_CBIO_ERR_WANT_READ);
    }
    tls->ahead.at = tls->ahead.end = 0;
    status = stream_read(tls->below, tls->ahead.buf, tls->ahead.size, &tls->ahead.end);
    tls->below_status = status;
    if (status != STREAM_OK)
        return cbio_error(status, WOLFSSL_CBIO_ERR_WANT_READ);
    tls->ahead.many = tls->ahead.end >= AHEAD_SIZE;
    return (int)take_ahead(tls, buf, (size_t)size);
}

/* ---- writing ---- */

void tls_drop_behind(struct tls *tls)
{
    if (tls->behind.buf)
        tls_context_put_batch(tls->context, tls->behind.buf);
    tls->behind.buf = NULL;
    tls->behind.at = tls->behind.end = 0;
}

void tls_gather(struct tls *tls)
{
    if (!tls->behind.buf)
        tls->behind.buf = tls_context_get_batch(tls->context);
    tls->behind.gathering = tls->behind.buf != NULL;
}

static enum stream_status send_some(struct tls *tls, const void *buf, size_t size, size_t *ret_count)
{
    enum stream_status status = stream_write(tls->below, buf, size, ret_count);

    if (status != STREAM_OK) {
        tls->below_status = status;
        tls->send_broken = status != STREAM_AGAIN_READ && status != STREAM_AGAIN_WRITE;
    }
    return status;
}

enum stream_status tls_flush(struct tls *tls)
{
    tls->behind.gathering = false;
    while (tls->behind.at < tls->behind.end && !tls->send_broken) {
        size_t count = 0;
        enum stream_status status =
            send_some(tls, tls->behind.buf + tls->behind.at, tls->behind.end - tls->behind.at, &count);
        if (status != STREAM_OK && !tls->send_broken)
            return status;
        tls->behind.at += count;
    }
    tls_drop_behind(tls);
    return STREAM_OK;
}

static bool keep(struct tls *tls, const char *buf, size_t size)
{
    if (!tls->behind.gathering || TLS_BATCH_SIZE - tls->behind.end < size)
        return false;
    memcpy(tls->behind.buf + tls->behind.end, buf, size);
    tls->behind.end += size;
    return true;
}

/* A peer that refuses us may have closed before we wrote, with its alert still to be read; for wolfSSL a failed write
 * is the end, so it must not see it. In the handshake it goes on as if written and finds the alert; later the write
 * waits for ever, and tls_write() looks what there is to read. */
int tls_send_cb(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls *tls = data;
    size_t count;

    (void)ssl;
    if (keep(tls, buf, (size_t)size))
        return size;
    /* Records are numbered: none may pass those that are kept. */
    if (!tls->send_broken && tls_flush(tls) == STREAM_OK && !tls->send_broken &&
        send_some(tls, buf, (size_t)size, &count) == STREAM_OK)
        return (int)count;
    if (tls->send_broken && !tls->connected)
        return size;
    return WOLFSSL_CBIO_ERR_WANT_WRITE;
}
