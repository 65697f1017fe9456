/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the body of an HTTP/1 message ends (RFC 9112 sections 6 and 7): one small state machine, for requests and
 * answers alike. It looks at bytes and keeps none. Chunked bodies go on as they are, strictly read, without what chunk
 * extensions say; or decoded, for who knows no chunks. Pure. */
#ifndef PENSTOCK_CHANNEL_HTTP_BODY_H
#define PENSTOCK_CHANNEL_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BODY_LINE_MAX     256   /* of a chunk's extensions */
#define BODY_TRAILERS_MAX 16384 /* all of them */
#define BODY_NAME_MAX     128   /* of a trailer field */

enum framing_kind {
    FRAMING_NONE,
    FRAMING_LENGTH,
    FRAMING_CHUNKED,
    FRAMING_CLOSE, /* until the connection's end; never a request's */
};

struct framing {
    enum framing_kind kind;
    uint64_t length; /* of FRAMING_LENGTH */
};

enum body_state {
    BODY_BYTES, /* left of them, or until the end */
    BODY_SIZE,
    BODY_PADDING, /* blanks behind the size: many write them */
    BODY_EXTENSION,
    BODY_SIZE_LF,
    BODY_CHUNK,
    BODY_CHUNK_CR,
    BODY_CHUNK_LF,
    BODY_TRAILER,
    BODY_TRAILER_NAME,
    BODY_TRAILER_VALUE,
    BODY_TRAILER_LF,
    BODY_END_LF,
    BODY_ENDED,
};

/* Trailers that may not come from the source. The name is as it came. */
typedef bool body_forbids(const char *name, size_t length, const void *data);

struct body {
    enum body_state state;
    bool until_close, decode;
    body_forbids *forbids; /* NULL: none is */
    const void *data;
    uint64_t left; /* of BODY_BYTES, or of the chunk */
    size_t digits, line, trailers;
    char name[BODY_NAME_MAX];
    size_t name_length;
};

enum body_result {
    BODY_MORE,
    BODY_DONE, /* with the last of the bytes that were used */
    BODY_BAD,
};

/* decode: the bytes inside chunks alone go on. */
void body_init(struct body *body, struct framing framing, bool decode, body_forbids *forbids, const void *data);

/* *ret_used bytes from the beginning of buf have been dealt with, at least one if there is one: either all of them are
 * to go on (*ret_pass) or none. BODY_BAD leaves both alone. */
enum body_result body_read(struct body *body, const char *buf, size_t length, size_t *ret_used, bool *ret_pass);

bool body_is_done(const struct body *body);
/* The source has ended in order: was that the body's end? */
bool body_ends_with_source(const struct body *body);

#endif
