/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/hint.h"

#include <stddef.h>

#include "model/cause.h"
#include "model/verdict.h"

const char *hint_for(const char *verdict, const char *cause)
{
    enum cause known = cause_of(cause);
    enum verdict_kind kind = verdict_of(verdict);
    if (known != CAUSE_NONE)
        return cause_cure(known);
    return kind != VERDICT_COUNT ? verdict_cure(kind) : NULL;
}
