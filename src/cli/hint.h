/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a person can do about a state that is not the wanted one. */
#ifndef PENSTOCK_CLI_HINT_H
#define PENSTOCK_CLI_HINT_H

/* By slugs of cause.def and verdict.def, static; NULL: none. A cause tells more than its verdict. Both may be NULL, or
 * be unknown to this version. */
const char *hint_for(const char *verdict, const char *cause);

#endif
