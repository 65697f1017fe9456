/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/trial.h"

bool trial_is_destination(const struct addr *destination)
{
    struct addr ipv4, ipv6;
    return addr_parse(TRIAL_IPV4, 0, &ipv4) && addr_parse(TRIAL_IPV6, 0, &ipv6) &&
           (addr_equal_host(destination, &ipv4) || addr_equal_host(destination, &ipv6));
}
