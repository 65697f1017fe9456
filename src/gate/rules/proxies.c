/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/proxies.h"

static void put(struct proxies *proxies, size_t i, const struct addr *addr, double now)
{
    proxies->addrs[i] = *addr;
    addr_set_port(&proxies->addrs[i], 0);
    proxies->named_at[i] = now;
}

static size_t oldest(const struct proxies *proxies)
{
    size_t found = 0;
    for (size_t i = 1; i < proxies->n; i++)
        if (proxies->named_at[i] < proxies->named_at[found])
            found = i;
    return found;
}

/* True: it was not there. */
static bool name(struct proxies *proxies, const struct addr *addr, double now)
{
    for (size_t i = 0; i < proxies->n; i++) {
        if (addr_equal_host(&proxies->addrs[i], addr)) {
            proxies->named_at[i] = now;
            return false;
        }
    }
    put(proxies, proxies->n < PROXIES_MAX ? proxies->n++ : oldest(proxies), addr, now);
    return true;
}

static bool forget(struct proxies *proxies, double before)
{
    size_t kept = 0, n = proxies->n;
    for (size_t i = 0; i < n; i++) {
        if (proxies->named_at[i] < before)
            continue;
        proxies->addrs[kept] = proxies->addrs[i];
        proxies->named_at[kept++] = proxies->named_at[i];
    }
    proxies->n = kept;
    return kept < n;
}

bool proxies_name(struct proxies *proxies, const struct addr *addrs, size_t n, double now)
{
    bool changed = false;
    for (size_t i = 0; i < n; i++)
        changed = name(proxies, &addrs[i], now) || changed;
    return (n > 0 && forget(proxies, now - PROXIES_KEPT_S)) || changed;
}
