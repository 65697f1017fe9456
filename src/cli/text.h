/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text for people: what a terminal can show, cleaning, wrapping, numbers. Pure functions but for text_style_of(). */
#ifndef PENSTOCK_CLI_TEXT_H
#define PENSTOCK_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_WIDTH_MIN 40
#define TEXT_WIDTH_MAX 100
#define TEXT_MAX       1024 /* bytes of a formatted line before wrapping */

enum text_tone { TEXT_PLAIN, TEXT_GOOD, TEXT_WARN, TEXT_BAD, TEXT_DIM };

struct text_style {
    bool terminal, colour, utf8;
    unsigned width;   /* for sentences */
    unsigned columns; /* for tables: of the terminal itself, but for the least */
};

/* Colour only on a terminal that has it and without NO_COLOR; width of the terminal within the limits above. */
void text_style_of(FILE *out, struct text_style *ret_style);
bool text_locale_is_utf8(void);

/* Copies, with '?' for control characters, for characters that reorder text and, without utf8, for all beyond ASCII;
 * cut at size. Returns buf. */
const char *text_clean(const char *text, bool utf8, char *buf, size_t size);
/* The same to a stream, line feeds kept. */
void text_write(FILE *out, const char *text, bool utf8);

/* Columns of cleaned text on a terminal of this locale: wide characters have two, combining ones none. */
size_t text_columns(const char *text);
/* Writes cleaned text into columns columns: padded, or cut with a mark at its end. */
void text_cell(FILE *out, const struct text_style *style, const char *text, size_t columns);
/* Writes cleaned text, broken at spaces; the cursor stands in column at, further lines are indented by indent. No line
 * feed at the end. */
void text_wrap(FILE *out, const struct text_style *style, const char *text, size_t at, size_t indent);

void text_tone(FILE *out, const struct text_style *style, enum text_tone tone, bool bold);
void text_tone_end(FILE *out, const struct text_style *style);

/* "999 B", "1.2 MiB"; returns buf. */
const char *text_bytes(uint64_t bytes, char buf[static 32]);
/* "12 s", "3 min 5 s", "2 h 13 min", "3 d 4 h"; returns buf. */
const char *text_duration(int64_t seconds, char buf[static 64]);

/* "2026-01-02T03:04:05Z" to seconds since the epoch. */
bool text_parse_time(const char *text, int64_t *ret_time);

#endif
