/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel does with web traffic now, by the last rules of our table: for when no daemon can tell. Reads,
 * changes nothing. */
#ifndef PENSTOCK_GATE_RULES_STANDING_H
#define PENSTOCK_GATE_RULES_STANDING_H

#include <stdbool.h>

#include "gate/rules/table.h"

struct standing {
    bool exists;       /* there is a table inet penstock with a guard */
    bool refuses;      /* what is not exempt is refused: also what is redirected, for nobody listens behind it */
    char comment[128]; /* of the rule that decides: the text of the state when there is one; any bytes */
};

/* 0; or -errno and a sentence, as foreign_redirects(). */
int standing_read(struct standing *ret_standing, char ret_error[static TABLE_ERROR_MAX]);

#endif
