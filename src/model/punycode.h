/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The A-labels of an internationalized domain (RFC 3492, RFC 5891), to suggest them to who has written something else.
 * Nothing is looked up by them: what a name maps to beside its case is left to those who know Unicode. */
#ifndef PENSTOCK_MODEL_PUNYCODE_H
#define PENSTOCK_MODEL_PUNYCODE_H

#include <stdbool.h>

#include "model/hostname.h"

/* text: UTF-8. False: it is none, or no name, or not in the one form that names have (upper case, combining marks). */
bool punycode_name(const char *text, char ret_name[static HOSTNAME_SIZE]);

#endif
