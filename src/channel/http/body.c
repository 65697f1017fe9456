/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/body.h"

#include <assert.h>
#include <string.h>

#include "model/ascii.h"

#define DIGITS_MAX 15 /* of a chunk's size: no number of so many overflows */

void body_init(struct body *body, struct framing framing, bool decode, body_forbids *forbids, const void *data)
{
    *body = (struct body){.decode = decode, .forbids = forbids, .data = data};
    switch (framing.kind) {
    case FRAMING_NONE:
        body->state = BODY_ENDED;
        return;
    case FRAMING_LENGTH:
        body->state = framing.length > 0 ? BODY_BYTES : BODY_ENDED;
        body->left = framing.length;
        return;
    case FRAMING_CHUNKED:
        body->state = BODY_SIZE;
        return;
    case FRAMING_CLOSE:
        body->state = BODY_BYTES;
        body->until_close = true;
        return;
    }
}

bool body_is_done(const struct body *body)
{
    return body->state == BODY_ENDED;
}

bool body_ends_with_source(const struct body *body)
{
    return body->state == BODY_ENDED || body->until_close;
}

/* ---- a byte of a line ---- */

static int hex_value(char c)
{
    char lower = ascii_lower(c);
    if (ascii_is_digit(c))
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool take_padding(struct body *body, char c)
{
    body->state = c == '\r' ? BODY_SIZE_LF : c == ';' ? BODY_EXTENSION : BODY_PADDING;
    return (c == '\r' || c == ';' || ascii_is_blank(c)) && ++body->line <= BODY_LINE_MAX;
}

static bool take_size(struct body *body, char c)
{
    int value = hex_value(c);
    if (value >= 0) {
        body->left = body->left * 16 + (uint64_t)value;
        return ++body->digits <= DIGITS_MAX;
    }
    body->line = 0;
    return body->digits > 0 && take_padding(body, c);
}

static bool is_text(char c)
{
    return ((unsigned char)c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Nobody knows one that means anything; what it says ends here. */
static bool take_extension(struct body *body, char c)
{
    if (c == '\r') {
        body->state = BODY_SIZE_LF;
        return true;
    }
    return is_text(c) && ++body->line <= BODY_LINE_MAX;
}

static bool take_size_end(struct body *body, char c)
{
    body->state = body->left > 0 ? BODY_CHUNK : BODY_TRAILER;
    body->digits = 0;
    return c == '\n';
}

static bool take_trailer_begin(struct body *body, char c)
{
    body->name_length = 0;
    if (c == '\r') {
        body->state = BODY_END_LF;
        return true;
    }
    body->state = BODY_TRAILER_NAME;
    body->name[body->name_length++] = c;
    return ascii_is_token(c);
}

static bool take_trailer_name(struct body *body, char c)
{
    if (c == ':') {
        body->state = BODY_TRAILER_VALUE;
        return !body->forbids || !body->forbids(body->name, body->name_length, body->data);
    }
    if (!ascii_is_token(c) || body->name_length == BODY_NAME_MAX)
        return false;
    body->name[body->name_length++] = c;
    return true;
}

static bool take_trailer_value(struct body *body, char c)
{
    if (c == '\r')
        body->state = BODY_TRAILER_LF;
    return c == '\r' || is_text(c);
}

static bool go_to(struct body *body, char c, char expected, enum body_state next)
{
    if (c != expected)
        return false;
    body->state = next;
    return true;
}

static bool take_byte(struct body *body, char c)
{
    if (body->state >= BODY_TRAILER && ++body->trailers > BODY_TRAILERS_MAX)
        return false;
    switch (body->state) {
    case BODY_SIZE:
        return take_size(body, c);
    case BODY_PADDING:
        return take_padding(body, c);
    case BODY_EXTENSION:
        return take_extension(body, c);
    case BODY_SIZE_LF:
        return take_size_end(body, c);
    case BODY_CHUNK_CR:
        return go_to(body, c, '\r', BODY_CHUNK_LF);
    case BODY_CHUNK_LF:
        return go_to(body, c, '\n', BODY_SIZE);
    case BODY_TRAILER:
        return take_trailer_begin(body, c);
    case BODY_TRAILER_NAME:
        return take_trailer_name(body, c);
    case BODY_TRAILER_VALUE:
        return take_trailer_value(body, c);
    case BODY_TRAILER_LF:
        return go_to(body, c, '\n', BODY_TRAILER);
    case BODY_END_LF:
        return go_to(body, c, '\n', BODY_ENDED);
    case BODY_BYTES:
    case BODY_CHUNK:
    case BODY_ENDED:
        break;
    }
    assert(!"a line is read in this state");
}

/* ---- runs ---- */

static bool is_bytes(const struct body *body)
{
    return body->state == BODY_BYTES || body->state == BODY_CHUNK;
}

static size_t take_bytes(struct body *body, size_t length)
{
    if (body->until_close)
        return length;
    size_t used = length < body->left ? length : (size_t)body->left;
    body->left -= used;
    if (body->left == 0)
        body->state = body->state == BODY_CHUNK ? BODY_CHUNK_CR : BODY_ENDED;
    return used;
}

/* Does the byte go on? Of a line with extensions its size and its end do. */
static bool passes(const struct body *body, char c)
{
    if (is_bytes(body))
        return true;
    bool behind_size =
        body->state == BODY_PADDING || body->state == BODY_EXTENSION || (body->state == BODY_SIZE && hex_value(c) < 0);
    return !body->decode && !(behind_size && c != '\r');
}

enum body_result body_read(struct body *body, const char *buf, size_t length, size_t *ret_used, bool *ret_pass)
{
    size_t used = 0;
    bool pass = true;
    while (used < length && body->state != BODY_ENDED) {
        bool this_one = passes(body, buf[used]);
        if (used == 0)
            pass = this_one;
        else if (this_one != pass)
            break;
        if (is_bytes(body))
            used += take_bytes(body, length - used);
        else if (!take_byte(body, buf[used++]))
            return BODY_BAD;
    }
    *ret_used = used;
    *ret_pass = pass;
    return body->state == BODY_ENDED ? BODY_DONE : BODY_MORE;
}
