/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file for everybody to read, replaced as a whole. */
#ifndef PENSTOCK_GATE_CONTROL_REPLACE_H
#define PENSTOCK_GATE_CONTROL_REPLACE_H

#include <stddef.h>

/* Nobody ever sees a part of it. 0 or -errno; then the old one is still there. */
int replace_file(const char *path, const char *text, size_t size);

#endif
