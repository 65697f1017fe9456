/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION 1
#include <systemd/sd-journal.h>

#define LINE_MAX_BYTES 2048
#define FIELDS_MAX     24
#define IDENTIFIER     "penstockd"

static struct {
    const char *prefix;
    enum log_level level;
    bool to_journal;  /* standard error leads to the journal: fields can go there */
    bool with_levels; /* a service manager reads standard error: "<N>" tells it the level */
} settings = {.prefix = "main", .level = LOG_LEVEL_INFO};

/* JOURNAL_STREAM is "device:inode" of the journal's end (systemd.exec(5)); standard error may have been redirected
 * since. */
static bool stderr_is_journal(void)
{
    const char *text = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    if (!text || sscanf(text, "%llu:%llu", &device, &inode) != 2 || fstat(STDERR_FILENO, &st) != 0)
        return false;
    return st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *prefix, enum log_level level)
{
    bool journal = stderr_is_journal();
    settings.prefix = prefix;
    settings.level = level;
    /* sd_journal_sendv() reports success when there is no socket, as in a container that inherited the stream. */
    settings.to_journal = journal && access("/run/systemd/journal/socket", W_OK) == 0;
    settings.with_levels = journal || (getenv("SYSTEMD_EXEC_PID") && !isatty(STDERR_FILENO));
}

void log_set_level(enum log_level level)
{
    settings.level = level;
}

/* Bytes from peers get here inside of names and details; bytes above 0x7f stay, for UTF-8. */
static void replace_control_characters(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

static const char *level_word(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ALERT:
        return "alert: ";
    case LOG_LEVEL_ERROR:
        return "error: ";
    case LOG_LEVEL_WARNING:
        return "warning: ";
    case LOG_LEVEL_DEBUG:
        return "debug: ";
    case LOG_LEVEL_NOTICE:
    case LOG_LEVEL_INFO:
        return "";
    }
    return "";
}

/* One write for the whole line: several processes share the descriptor. */
static void write_stderr(enum log_level level, const char *text)
{
    char head[96];
    struct iovec parts[] = {{.iov_base = head},
                            {.iov_base = (void *)text, .iov_len = strlen(text)},
                            {.iov_base = (void *)"\n", .iov_len = 1}};
    if (settings.with_levels)
        snprintf(head, sizeof head, "<%d>%s: ", level, settings.prefix);
    else
        snprintf(head, sizeof head, IDENTIFIER "[%s]: %s", settings.prefix, level_word(level));
    parts[0].iov_len = strlen(head);
    /* Nobody is left to tell when this fails. */
    while (writev(STDERR_FILENO, parts, 3) < 0 && errno == EINTR)
        ;
}

static bool add_field(struct iovec *field, const char *name, const char *value)
{
    size_t size = strlen(name) + 1 + strlen(value) + 1;
    char *text = malloc(size);
    if (!text)
        return false;
    snprintf(text, size, "%s=%s", name, value);
    *field = (struct iovec){.iov_base = text, .iov_len = size - 1};
    return true;
}

static bool send_to_journal(enum log_level level, const struct log_field *fields, const char *text)
{
    struct iovec iov[FIELDS_MAX + 3];
    char priority[2] = {(char)('0' + level), '\0'};
    char message[LINE_MAX_BYTES + 96];
    int n = 0;
    bool good;
    snprintf(message, sizeof message, "%s: %s", settings.prefix, text);
    good = add_field(&iov[n], "MESSAGE", message) && ++n && add_field(&iov[n], "PRIORITY", priority) && ++n &&
           add_field(&iov[n], "SYSLOG_IDENTIFIER", IDENTIFIER) && ++n;
    for (; good && fields->name; fields++) {
        assert(n < FIELDS_MAX + 3);
        good = !fields->value || (add_field(&iov[n], fields->name, fields->value) && ++n);
    }
    good = good && sd_journal_sendv(iov, n) == 0;
    while (n > 0)
        free(iov[--n].iov_base);
    return good;
}

__attribute__((format(printf, 3, 0))) static void log_vevent(enum log_level level, const struct log_field *fields,
                                                             const char *format, va_list args)
{
    char text[LINE_MAX_BYTES];
    int saved_errno = errno;
    if (level > settings.level)
        return;
    vsnprintf(text, sizeof text, format, args);
    replace_control_characters(text);
    /* Without fields the plain stream will do; it also keeps the order with what libraries print. */
    if (!fields || !settings.to_journal || !send_to_journal(level, fields, text))
        write_stderr(level, text);
    errno = saved_errno;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_vevent(level, NULL, format, args);
    va_end(args);
}

void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_vevent(level, fields, format, args);
    va_end(args);
}
