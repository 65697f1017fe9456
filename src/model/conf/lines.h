/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical lines of a configuration file, bounded. Embedded; belongs to one reading of one file. */
#ifndef PENSTOCK_MODEL_CONF_LINES_H
#define PENSTOCK_MODEL_CONF_LINES_H

#include <stdio.h>

#define CONF_LINE_MAX 65536      /* bytes of a line, its end included */
#define CONF_FILE_MAX (1u << 20) /* bytes of a file */

struct conf_lines {
    FILE *stream;
    unsigned number; /* of the line that was read last, from 1 */
    size_t total;    /* bytes read */
    char text[CONF_LINE_MAX];
};

enum conf_lines_status {
    CONF_LINES_OK,
    CONF_LINES_END,
    CONF_LINES_LONG,      /* the line was skipped */
    CONF_LINES_NUL,       /* it has a NUL byte and was skipped */
    CONF_LINES_FILE_LONG, /* there is more than CONF_FILE_MAX */
    CONF_LINES_FAILED,    /* reading failed, errno tells */
};

/* Reads the next line; on OK *ret_text is it without comment, byte order mark and surrounding white space, perhaps
 * empty; it is valid and may be changed until the next call. */
enum conf_lines_status conf_lines_next(struct conf_lines *lines, char **ret_text);

#endif
