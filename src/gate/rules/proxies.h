/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The addresses that the proxies have, or had a while ago. Plain data. */
#ifndef PENSTOCK_GATE_RULES_PROXIES_H
#define PENSTOCK_GATE_RULES_PROXIES_H

#include <stdbool.h>
#include <stddef.h>

#include "model/addr.h"

#define PROXIES_MAX    512
#define PROXIES_KEPT_S 3600. /* after an address was named last */

/* Zero is empty. */
struct proxies {
    struct addr addrs[PROXIES_MAX]; /* port 0 */
    double named_at[PROXIES_MAX];   /* seconds of any clock */
    size_t n;
};

/* They are the proxies' now. Others that have not been named for long go, but never while nothing is named: names that
 * cannot be resolved take no proxy away. Without room the one that was named first makes some. True: the list is
 * another one. */
bool proxies_name(struct proxies *proxies, const struct addr *addrs, size_t n, double now);

#endif
