/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/session/destination.h"

#include <assert.h>

#include "model/answers.h"

bool destination_judge(const struct conf *conf, const struct destination_question *question,
                       struct policy_rule *ret_rule, enum reason *ret_reason)
{
    struct subject subject = {.destination = *question->destination,
                              .name = question->name,
                              .acceptor = *question->own,
                              .proxy = *question->proxy,
                              .protocol = IPPROTO_TCP};
    switch (policy_decide(conf, &subject, ret_rule)) {
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
        *ret_reason = ret_rule->row == POLICY_ROW_NOT_REDIRECTED ? REASON_NOT_REDIRECTED
                      : ret_rule->row == POLICY_ROW_LOOP         ? REASON_LOOP
                                                                 : REASON_RULE;
        return false;
    }
    assert(!"a decision of the policy");
}

enum target destination_choose(enum conf_names names, const struct destination_facts *facts)
{
    if (names == CONF_NAMES_IGNORE)
        return TARGET_NAMES_IGNORED;
    if (facts->named && facts->name_failed)
        return TARGET_NAME_FAILED;
    if (facts->named)
        return facts->asked_address ? TARGET_LATE_NAME : TARGET_NAME;
    if (names == CONF_NAMES_REQUIRE)
        return TARGET_NONE;
    return facts->heard ? TARGET_NO_NAME : TARGET_SILENCE;
}

bool destination_may_try_address(enum conf_names names, const struct destination_facts *facts, enum target refused,
                                 int http_status)
{
    return names == CONF_NAMES_PREFER && target_is_name(refused) && !facts->name_failed &&
           answers_is_unreached(http_status);
}

const char *destination_host(enum target target, const char *name, const struct addr *destination,
                             char buf[static ADDR_TEXT_MAX])
{
    assert(target != TARGET_NONE && (name || !target_is_name(target)));
    return target_is_name(target) ? name : addr_host_text(destination, buf);
}
