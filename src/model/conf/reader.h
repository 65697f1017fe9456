/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads files of penstock.conf(5)'s syntax into one struct conf and reports every mistake with its place.
 * One reader serves one configuration: all its files in turn, then the checks across keys. */
#ifndef PENSTOCK_MODEL_CONF_READER_H
#define PENSTOCK_MODEL_CONF_READER_H

#include "model/conf/conf.h"

struct conf_reader;

/* conf holds the defaults and stays the caller's. NULL when out of memory. */
struct conf_reader *conf_reader_new(struct conf *conf, conf_error_cb *error_cb, void *data);
void conf_reader_free(struct conf_reader *reader); /* takes NULL */

/* Does not close the stream; file names it in messages. False: it could not be read to its end. */
bool conf_reader_stream(struct conf_reader *reader, FILE *stream, const char *file);

/* Reports "FILE: …", or "FILE:LINE: …" with the place where a key was set last (with file if nowhere). */
void conf_reader_mistake(struct conf_reader *reader, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void conf_reader_mistake_at(struct conf_reader *reader, const char *section, const char *name, const char *file,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A value of that key has been reported already: its field says nothing. */
bool conf_reader_is_bad(const struct conf_reader *reader, const char *section, const char *name);

/* True when nothing was reported. Ends the reports, with a line about those that were not shown. */
bool conf_reader_end(struct conf_reader *reader, const char *file);

#endif
