/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/punycode.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "model/ascii.h"

#define LABEL_MAX 63

/* ---- UTF-8 ---- */

/* The code point at *text, which moves behind it; 0: none, or the end. */
static uint32_t take(const char **text)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0, 1}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    const unsigned char *bytes = (const unsigned char *)*text;
    size_t more = 0;
    while (more < 4 && (bytes[0] & forms[more].mask) != forms[more].lead)
        more++;
    if (more == 4)
        return 0;
    uint32_t point = bytes[0] & (unsigned char)~forms[more].mask;
    for (size_t i = 1; i <= more; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes[i] & 0x3fu);
    }
    *text += more + 1;
    return point < forms[more].least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0 : point;
}

/* Latin, Greek and Cyrillic capitals have a small letter, and letters with marks are one character: what is written
 * otherwise has another A-label than the name that is meant. */
static bool is_other_form(uint32_t point)
{
    if (point < 0x80)
        return false;
    if (point < 0xdf || point == 0xf7) /* signs, and the capitals of Latin-1 */
        return true;
    if (point >= 0x100 && point < 0x138)
        return point % 2 == 0;
    if (point >= 0x139 && point < 0x149)
        return point % 2 == 1;
    if (point >= 0x14a && point < 0x178)
        return point % 2 == 0;
    return (point >= 0x300 && point < 0x370) || (point >= 0x386 && point < 0x3ac && point != 0x390) ||
           (point >= 0x400 && point < 0x430) || (point >= 0x2000 && point < 0x2070) || point >= 0xe000;
}

/* ---- RFC 3492 ---- */

enum { BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700, BIAS = 72, FIRST = 128 };

static uint32_t adapt(uint32_t delta, uint32_t count, bool first)
{
    uint32_t k = 0;
    delta = first ? delta / DAMP : delta / 2;
    delta += delta / count;
    for (; delta > (BASE - TMIN) * TMAX / 2; k += BASE)
        delta /= BASE - TMIN;
    return k + (BASE - TMIN + 1) * delta / (delta + SKEW);
}

static char digit_of(uint32_t value)
{
    return (char)(value < 26 ? 'a' + value : '0' + (value - 26));
}

struct label {
    char text[LABEL_MAX + 1];
    size_t length;
};

static bool put(struct label *label, char c)
{
    if (label->length == LABEL_MAX)
        return false;
    label->text[label->length++] = c;
    return true;
}

static bool put_number(struct label *label, uint32_t number, uint32_t bias)
{
    for (uint32_t k = BASE;; k += BASE) {
        const uint32_t t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
        if (number < t)
            return put(label, digit_of(number));
        if (!put(label, digit_of(t + (number - t) % (BASE - t))))
            return false;
        number = (number - t) / (BASE - t);
    }
}

static uint32_t least_from(const uint32_t *points, size_t n, uint32_t from)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < n; i++)
        if (points[i] >= from && points[i] < least)
            least = points[i];
    return least;
}

static bool encode(const uint32_t *points, size_t n, struct label *label)
{
    uint32_t at = FIRST, delta = 0, bias = BIAS, done = 0, basic;
    for (size_t i = 0; i < n; i++)
        if (points[i] < FIRST && !put(label, (char)points[i]))
            return false;
    done = basic = (uint32_t)label->length - 4; /* behind xn-- */
    if (basic > 0 && !put(label, '-'))
        return false;
    while (done < n) {
        const uint32_t next = least_from(points, n, at);
        delta += (next - at) * (done + 1); /* 63 points of 21 bits: there is room */
        at = next;
        for (size_t i = 0; i < n; i++) {
            delta += points[i] < at;
            if (points[i] != at)
                continue;
            if (!put_number(label, delta, bias))
                return false;
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
        delta++;
        at++;
    }
    return true;
}

/* ---- names ---- */

/* The label at *text, which moves to the dot or the end behind it. */
static bool take_label(const char **text, struct label *ret_label)
{
    uint32_t points[LABEL_MAX];
    size_t n = 0;
    bool ascii = true;
    *ret_label = (struct label){0};
    while (**text != '\0' && **text != '.') {
        const uint32_t point = take(text);
        if (point == 0 || n == LABEL_MAX || is_other_form(point))
            return false;
        points[n++] = point < 0x80 ? (uint32_t)(unsigned char)ascii_lower((char)point) : point;
        ascii = ascii && point < 0x80;
    }
    if (!ascii)
        memcpy(ret_label->text, "xn--", ret_label->length = 4);
    if (!ascii)
        return encode(points, n, ret_label);
    for (size_t i = 0; i < n; i++)
        put(ret_label, (char)points[i]);
    return true;
}

bool punycode_name(const char *text, char ret_name[static HOSTNAME_SIZE])
{
    char name[HOSTNAME_SIZE];
    struct label label;
    size_t length = 0;
    for (;;) {
        if (!take_label(&text, &label) || length + label.length + 1 >= sizeof name)
            return false;
        memcpy(name + length, label.text, label.length);
        length += label.length;
        if (*text == '\0')
            return hostname_parse(name, length, ret_name);
        name[length++] = *text++;
    }
}
