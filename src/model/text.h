/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes of texts that cross rooms and processes, each with its end. */
#ifndef PENSTOCK_MODEL_TEXT_H
#define PENSTOCK_MODEL_TEXT_H

#define NAME_SIZE  256 /* a host's name, longer than HOSTNAME_SIZE, or its address */
#define DETAIL_MAX 320 /* one sentence about what failed */

#endif
