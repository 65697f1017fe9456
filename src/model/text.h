/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes of texts that cross rooms and processes, each with its end. */
#ifndef PENSTOCK_MODEL_TEXT_H
#define PENSTOCK_MODEL_TEXT_H

#include "model/conf/conf.h"

#define NAME_SIZE  (CONF_NAME_MAX + 1) /* a host's name */
#define DETAIL_MAX 320                 /* one sentence about what failed */

#endif
