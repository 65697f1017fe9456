/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A configuration on its way into a worker: its text, behind it what specifiers of headers say of this host, and the
 * files that it names for the secure channel (model/conf/files.h), in one sealed memory file. Who writes it needs the
 * rights to read the files; who reads it opens nothing. */
#ifndef PENSTOCK_BASE_HANDOVER_H
#define PENSTOCK_BASE_HANDOVER_H

#include "model/conf/conf.h"
#include "model/text.h"

/* A file that cannot be read is handed over as that. 0, or -errno: no memory, no descriptor. */
int handover_write(const struct conf *conf, int *ret_fd);

/* With conf->files, unless the secure channel is off. Takes the descriptor over, whose offset does not matter. NULL:
 * ret_error says why. */
struct conf *handover_read(int fd, char ret_error[static DETAIL_MAX]);

#endif
