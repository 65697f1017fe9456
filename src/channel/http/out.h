/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A head being written. What does not fit is only counted: the length beyond the size says so at the end. */
#ifndef PENSTOCK_CHANNEL_HTTP_OUT_H
#define PENSTOCK_CHANNEL_HTTP_OUT_H

#include <stddef.h>
#include <string.h>

struct out {
    char *buf;
    size_t size, used;
};

static inline void put_bytes(struct out *out, const char *text, size_t length)
{
    if (length > 0 && out->used <= out->size && length <= out->size - out->used)
        memcpy(out->buf + out->used, text, length);
    out->used += length;
}

static inline void put(struct out *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

#endif
