/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the proxy has answered the relays in the last minutes: the tests may pass while it refuses every session. The
 * gate only says so. Embedded; all zero is a valid start. */
#ifndef PENSTOCK_GATE_DECIDE_REFUSALS_H
#define PENSTOCK_GATE_DECIDE_REFUSALS_H

#include <stdint.h>

#include "model/answers.h"
#include "model/texts.h"

#define REFUSALS_SLOTS  10
#define REFUSALS_SLOT_S 30
#define REFUSALS_WHEN   "in the last 5 minutes"

struct refusals {
    struct {
        int64_t period; /* of REFUSALS_SLOT_S since the host's start */
        struct answers answers;
    } slots[REFUSALS_SLOTS];
    struct answers told; /* of which trouble the log knows */
    uint64_t reload;     /* number of the last reload before them: what another configuration was answered is no news */
};

/* From a relay. New trouble is logged. */
void refusals_take(struct refusals *refusals, uint64_t reload, const struct answers *answers);
/* One sentence for each trouble. */
void refusals_warnings(const struct refusals *refusals, uint64_t reload, struct texts *warnings);

#endif
