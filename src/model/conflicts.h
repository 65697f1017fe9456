/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of a configuration take from each other: a bypass of everything, a block of the proxies, entries that
 * never decide because an earlier one does, headers that are never sent. None is a mistake by itself; an administrator
 * should know. Pure. */
#ifndef PENSTOCK_MODEL_CONFLICTS_H
#define PENSTOCK_MODEL_CONFLICTS_H

#include "model/conf/conf.h"
#include "model/texts.h"

/* Adds a line for each, "FILE:LINE: [Section] Key=entry: …". */
void conflicts_find(const struct conf *conf, struct texts *texts);

#endif
