/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classes of characters in ASCII alone, whatever the locale says: what the network and files bring is judged by these.
 */
#ifndef PENSTOCK_MODEL_ASCII_H
#define PENSTOCK_MODEL_ASCII_H

#include <stdbool.h>
#include <string.h>

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* Of a line: space and tab. */
static inline bool ascii_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What names of fields and methods are made of (RFC 9110 section 5.6.2). */
static inline bool ascii_is_token(char c)
{
    return ascii_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

#endif
