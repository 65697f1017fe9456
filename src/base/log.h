/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Logging to the journal (with structured fields) or to standard error. The only mutable global of the project.
 * Lower layers do not log: the place that decides does. */
#ifndef PENSTOCK_BASE_LOG_H
#define PENSTOCK_BASE_LOG_H

#include "model/log_level.h"

/* One structured journal field; name in capitals ("PENSTOCK_REASON"), value without a limit on its bytes. */
struct log_field {
    const char *name;
    const char *value;
};

/* prefix names the process ("gate", "relay 0"); static or outliving the process. May be called again. */
void log_init(const char *prefix, enum log_level level);
void log_set_level(enum log_level level);

/* One line; control characters in the result are replaced, so that peers cannot forge lines. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with fields, which only the journal sees; the list ends with a NULL name, NULL for none. */
void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
