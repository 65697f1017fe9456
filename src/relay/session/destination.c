/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/destination.h"

#include <assert.h>

#include "model/policy.h"

bool destination_judge(const struct conf *conf, const struct addr *destination, const struct addr *own,
                       const struct addr *proxy, enum reason *ret_reason)
{
    struct subject subject = {.destination = *destination, .acceptor = *own, .proxy = *proxy, .protocol = IPPROTO_TCP};
    struct policy_rule rule;
    switch (policy_decide(conf, &subject, &rule)) {
    case POLICY_PROXY:
        return true;
    case POLICY_DIRECT: /* the kernel redirected it all the same, by older rules: the proxy is the way that is there */
        if (policy_is_web(conf, &subject))
            return true;
        *ret_reason = REASON_PORT;
        return false;
    case POLICY_UNTOUCHED:
        *ret_reason = REASON_PORT;
        return false;
    case POLICY_REFUSED:
        *ret_reason = rule.row == POLICY_ROW_NOT_REDIRECTED ? REASON_NOT_REDIRECTED : REASON_LOOP;
        return false;
    }
    assert(!"a decision of the policy");
}

const char *destination_target(const char *name, const struct addr *destination, char buf[static ADDR_TEXT_MAX])
{
    return name && *name ? name : addr_host_text(destination, buf);
}
