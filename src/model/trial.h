/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where penstock connects to in order to see whether a redirected connection arrives: addresses that are nobody's
 * (RFC 5737, RFC 6666). The rules redirect penstock's own connections to them, and to nothing else; the relay that
 * accepts one ends it without a word. */
#ifndef PENSTOCK_MODEL_TRIAL_H
#define PENSTOCK_MODEL_TRIAL_H

#include <stdbool.h>

#include "model/addr.h"

#define TRIAL_IPV4 "198.51.100.1"
#define TRIAL_IPV6 "100::1"

bool trial_is_destination(const struct addr *destination);

#endif
