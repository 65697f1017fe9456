/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person can do about a blocked state. */
#ifndef PENSTOCK_CLI_HINT_H
#define PENSTOCK_CLI_HINT_H

/* The first hint that fits the reason and the words of the detail, static; NULL: none. Both may be NULL. */
const char *hint_for(const char *reason, const char *detail);

#endif
