/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls_private.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_SIZE 32768 /* two records at once: one system call instead of four */

static size_t take_ahead(struct tls *tls, char *buf, size_t size)
{
    size_t count = tls->ahead.end - tls->ahead.at;

    if (count > size)
        count = size;
    memcpy(buf, tls->ahead.buf + tls->ahead.at, count);
    tls->ahead.at += count;
    return count;
}

void tls_drop_ahead(struct tls *tls)
{
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
        tls->ahead.buf = malloc(AHEAD_SIZE);
    if (!tls->ahead.buf) {
        status = stream_read(tls->below, buf, (size_t)size, &count);
        tls->below_status = status;
        return status == STREAM_OK ? (int)count : cbio_error(status, WOLFSSL_CBIO_ERR_WANT_READ);
    }
    tls->ahead.at = tls->ahead.end = 0;
    status = stream_read(tls->below, tls->ahead.buf, AHEAD_SIZE, &tls->ahead.end);
    tls->below_status = status;
    if (status != STREAM_OK)
        return cbio_error(status, WOLFSSL_CBIO_ERR_WANT_READ);
    return (int)take_ahead(tls, buf, (size_t)size);
}

/* A peer that refuses us may have closed before we wrote, with its alert still to be read; for wolfSSL a failed write
 * is the end, so it must not see it. In the handshake it goes on as if written and finds the alert; later the write
 * waits for ever, and tls_write() looks what there is to read. */
int tls_send_cb(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls *tls = data;
    enum stream_status status = STREAM_RESET;
    size_t count;

    (void)ssl;
    if (!tls->send_broken) {
        status = stream_write(tls->below, buf, (size_t)size, &count);
        if (status == STREAM_OK)
            return (int)count;
        tls->below_status = status;
        tls->send_broken = status != STREAM_AGAIN_READ && status != STREAM_AGAIN_WRITE;
    }
    if (tls->send_broken && !tls->connected)
        return size;
    return WOLFSSL_CBIO_ERR_WANT_WRITE;
}
