/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/reader.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/conf/keys.h"
#include "model/conf/lines.h"
#include "model/conf/value.h"

#define ERRORS_MAX  100
#define KEYS_MAX    128
#define MESSAGE_MAX 1024

/* What is known of one key while files are read. */
struct seen {
    bool set, bad;
    const char *file; /* where it was set last, NULL: nowhere */
    unsigned line;
};

struct conf_reader {
    struct conf *conf;
    conf_error_cb *error_cb;
    void *data;
    unsigned n_errors;
    struct seen seen[KEYS_MAX]; /* by index of the key */

    /* of the file being read */
    const char *file;
    const char *section; /* NULL: none yet, or one that is unknown */
    bool skipping;       /* a section that was complained about */
    struct conf_lines lines;
};

/* ---- mistakes ---- */

static void tell(struct conf_reader *reader, char *message)
{
    reader->n_errors++;
    if (reader->n_errors > ERRORS_MAX)
        return;
    for (char *c = message; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    reader->error_cb(message, reader->data);
}

/* "FILE:LINE: …", without the line when it is 0. */
__attribute__((format(printf, 4, 0))) static void vmistake(struct conf_reader *reader, const char *file, unsigned line,
                                                           const char *format, va_list args)
{
    char message[MESSAGE_MAX];
    int length;
    if (line > 0)
        length = snprintf(message, sizeof message, "%.500s:%u: ", file, line);
    else
        length = snprintf(message, sizeof message, "%.500s: ", file);
    vsnprintf(message + length, sizeof message - (size_t)length, format, args);
    tell(reader, message);
}

/* At the current line. */
__attribute__((format(printf, 2, 3))) static void mistake(struct conf_reader *reader, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vmistake(reader, reader->file, reader->lines.number, format, args);
    va_end(args);
}

void conf_reader_mistake(struct conf_reader *reader, const char *file, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vmistake(reader, file, 0, format, args);
    va_end(args);
}

/* ---- what names could have been meant ---- */

static void unknown_section(struct conf_reader *reader, const char *section)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (conf_value_similar(section, keys[i].section)) {
            mistake(reader, "unknown section [%.60s], is \"%s\" meant?", section, keys[i].section);
            return;
        }
    }
    mistake(reader, "unknown section [%.60s]", section);
}

static void unknown_key(struct conf_reader *reader, const char *section, const char *name)
{
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].section, section) == 0 && conf_value_similar(name, keys[i].name)) {
            mistake(reader, "unknown key %.60s= in [%s], is \"%s\" meant?", name, section, keys[i].name);
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, keys[i].name) == 0) {
            mistake(reader, "unknown key %.60s= in [%s], it belongs to [%s]", name, section, keys[i].section);
            return;
        }
    }
    mistake(reader, "unknown key %.60s= in [%s]", name, section);
}

/* ---- from lines to values ---- */

/* Of what has just been set: of a list, the entries from first on. */
static void note_origin(struct conf_reader *reader, const struct conf_key *key, size_t first)
{
    size_t end = conf_key_is_list(key) ? conf_key_entries(key, reader->conf) : 1;
    if (!conf_origins_note(&reader->conf->origins, key, first, end, reader->file, reader->lines.number))
        mistake(reader, "out of memory");
}

static void take_key(struct conf_reader *reader, const char *name, const char *value)
{
    const struct conf_key *key = conf_keys_find(reader->section, name);
    char why[CONF_WHY_MAX];
    struct seen *seen;
    size_t count, first;
    if (!key) {
        unknown_key(reader, reader->section, name);
        return;
    }
    seen = &reader->seen[key - conf_keys(&count)];
    first = seen->set && *value != '\0' ? conf_key_entries(key, reader->conf) : 0;
    seen->file = reader->file;
    seen->line = reader->lines.number;
    if (!conf_key_set(key, reader->conf, value, !seen->set, why)) {
        mistake(reader, "%s=%s", name, why);
        seen->bad = true;
    }
    seen->set = true;
    note_origin(reader, key, first);
}

static void take_section(struct conf_reader *reader, char *text)
{
    size_t length = strlen(text);
    reader->section = NULL;
    reader->skipping = true;
    if (text[length - 1] != ']') {
        mistake(reader, "expected [Section]");
        return;
    }
    text[length - 1] = '\0';
    reader->section = conf_keys_section(text + 1);
    if (!reader->section) {
        unknown_section(reader, text + 1);
        return;
    }
    reader->skipping = false;
}

/* Takes "Key = value"; what is not that is complained about. */
static void take_assignment(struct conf_reader *reader, char *text)
{
    static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t name = strspn(text, name_chars);
    char *value = text + name;
    value += strspn(value, " \t");
    if (name == 0 || *value != '=') {
        /* No more than a word: behind it may stand a password. */
        mistake(reader, "expected Key=value, found \"%.*s\"", (int)strcspn(text, " \t=:"), text);
        return;
    }
    text[name] = '\0';
    if (!reader->section) {
        mistake(reader, "%.60s= stands before any [Section]", text);
        return;
    }
    value++;
    take_key(reader, text, value + strspn(value, " \t"));
}

static void take_line(struct conf_reader *reader, char *text)
{
    if (*text == '[')
        take_section(reader, text);
    else if (*text != '\0' && !reader->skipping)
        take_assignment(reader, text);
}

bool conf_reader_stream(struct conf_reader *reader, FILE *stream, const char *file)
{
    char *text;
    reader->file = conf_origins_file(&reader->conf->origins, file);
    if (!reader->file) {
        conf_reader_mistake(reader, file, "out of memory");
        return false;
    }
    reader->section = NULL;
    reader->skipping = false;
    reader->lines.stream = stream;
    reader->lines.number = 0;
    reader->lines.total = 0;
    for (;;) {
        switch (conf_lines_next(&reader->lines, &text)) {
        case CONF_LINES_OK:
            take_line(reader, text);
            break;
        case CONF_LINES_LONG:
            mistake(reader, "the line is longer than %d bytes", CONF_LINE_MAX - 1);
            reader->conf->unread = true;
            break;
        case CONF_LINES_NUL:
            mistake(reader, "the line has a NUL byte");
            reader->conf->unread = true;
            break;
        case CONF_LINES_FILE_LONG:
            conf_reader_mistake(reader, file, "larger than %u bytes", CONF_FILE_MAX);
            return false;
        case CONF_LINES_FAILED:
            conf_reader_mistake(reader, file, "%s", strerror(errno));
            return false;
        case CONF_LINES_END:
            return true;
        }
    }
}

/* ---- the reader ---- */

struct conf_reader *conf_reader_new(struct conf *conf, conf_error_cb *error_cb, void *data)
{
    struct conf_reader *reader = calloc(1, sizeof *reader);
    size_t count;
    (void)conf_keys(&count);
    assert(count <= KEYS_MAX);
    if (!reader)
        return NULL;
    reader->conf = conf;
    reader->error_cb = error_cb;
    reader->data = data;
    return reader;
}

void conf_reader_free(struct conf_reader *reader)
{
    if (!reader)
        return;
    /* The last line may have been a header with a password. */
    explicit_bzero(reader->lines.text, sizeof reader->lines.text);
    free(reader);
}

static const struct seen *seen_of(const struct conf_reader *reader, const char *section, const char *name)
{
    size_t count;
    const struct conf_key *key = conf_keys_find(section, name);
    assert(key);
    return &reader->seen[key - conf_keys(&count)];
}

void conf_reader_mistake_at(struct conf_reader *reader, const char *section, const char *name, const char *file,
                            const char *format, ...)
{
    const struct seen *seen = seen_of(reader, section, name);
    va_list args;
    va_start(args, format);
    vmistake(reader, seen->file ? seen->file : file, seen->file ? seen->line : 0, format, args);
    va_end(args);
}

bool conf_reader_is_bad(const struct conf_reader *reader, const char *section, const char *name)
{
    return seen_of(reader, section, name)->bad;
}

bool conf_reader_end(struct conf_reader *reader, const char *file)
{
    unsigned hidden = reader->n_errors > ERRORS_MAX ? reader->n_errors - ERRORS_MAX : 0;
    char message[MESSAGE_MAX];
    if (hidden > 0) {
        snprintf(message, sizeof message, "%.500s: %u more mistakes are not shown", file, hidden);
        reader->error_cb(message, reader->data);
    }
    return reader->n_errors == 0;
}
