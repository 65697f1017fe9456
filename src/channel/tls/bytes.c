/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_SIZE 32768 /* two records at once: one system call instead of four */

/* ---- reading ---- */

/* Follows the records (RFC 8446 section 5.1) that wolfSSL is given: only an end between two of them may be one at which
 * nothing is missing. */
static void follow_records(struct tls *tls, const char *bytes, size_t count)
{
    while (count > 0) {
        size_t part = 1;
        if (tls->record.have < sizeof tls->record.header) {
            tls->record.header[tls->record.have++] = (unsigned char)*bytes;
            tls->record.left = (size_t)tls->record.header[3] << 8 | tls->record.header[4];
        } else {
            part = count < tls->record.left ? count : tls->record.left;
            tls->record.left -= part;
        }
        if (tls->record.have == sizeof tls->record.header && tls->record.left == 0)
            tls->record.have = 0;
        bytes += part;
        count -= part;
    }
}

static size_t take_ahead(struct tls *tls, char *buf, size_t size)
{
    size_t count = tls->ahead.end - tls->ahead.at;
    if (count > size)
        count = size;
    memcpy(buf, tls->ahead.buf + tls->ahead.at, count);
    follow_records(tls, buf, count);
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

bool tls_is_truncated(const struct tls *tls)
{
    return (tls->below_status == STREAM_EOF || tls->below_status == STREAM_TRUNCATED) && tls->connected && tls->heard &&
           tls->record.have == 0;
}

/* wolfSSL writes nothing any more once it has seen the end of TCP, but a peer that closed one direction may still take
 * what we have to say. */
static int recv_error(struct tls *tls)
{
    if (tls_is_truncated(tls))
        return WOLFSSL_CBIO_ERR_WANT_READ;
    switch (tls->below_status) {
    case STREAM_AGAIN_READ:
    case STREAM_AGAIN_WRITE:
        return WOLFSSL_CBIO_ERR_WANT_READ;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
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
    if (tls->ahead.at < tls->ahead.end)
        return (int)take_ahead(tls, buf, (size_t)size);
    if (!tls->ahead.buf)
        take_buffer(tls);
    if (!tls->ahead.buf) {
        status = stream_read(tls->stream.below, buf, (size_t)size, &count);
        tls->below_status = status;
        if (status != STREAM_OK)
            return recv_error(tls);
        follow_records(tls, buf, count);
        return (int)count;
    }
    tls->ahead.at = tls->ahead.end = 0;
    status = stream_read(tls->stream.below, tls->ahead.buf, tls->ahead.size, &tls->ahead.end);
    tls->below_status = status;
    if (status != STREAM_OK)
        return recv_error(tls);
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
    tls->behind.gathering = tls->behind.buf;
}

static enum stream_status send_some(struct tls *tls, const void *buf, size_t size, size_t *ret_count)
{
    enum stream_status status = stream_write(tls->stream.below, buf, size, ret_count);
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

/* What is sent while we read is an alert, an answer to a KeyUpdate, or our certificate with what belongs to it, which
 * is larger even when there is none. */
#define KEY_UPDATE_MAX 64

/* A peer that refuses us may have closed before we wrote, with its alert still to be read; for wolfSSL a failed write
 * is the end, so it must not see it. In the handshake it goes on as if written and finds the alert; later the write
 * waits for ever, and tls_write() looks what there is to read. */
int tls_send_cb(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct tls *tls = data;
    size_t count;
    tls->asked_late |= tls->reading && size > KEY_UPDATE_MAX;
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
