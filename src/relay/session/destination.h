/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a connection may go, and by what the proxy is asked for it. Pure functions. */
#ifndef PENSTOCK_RELAY_SESSION_DESTINATION_H
#define PENSTOCK_RELAY_SESSION_DESTINATION_H

#include "model/addr.h"
#include "model/conf/conf.h"
#include "model/policy.h"
#include "model/reason.h"
#include "model/target.h"

struct destination_question {
    const struct addr *destination; /* the original one, family 0 when the kernel knows none */
    const struct addr *own;         /* that accepted the connection */
    const struct addr *proxy;       /* of the current route, family 0 when there is none */
    const char *name;               /* that the client said; NULL: none */
};

/* May it go to the proxy? False: ret_reason says why not. ret_rule decided in either case. */
bool destination_judge(const struct conf *conf, const struct destination_question *question,
                       struct policy_rule *ret_rule, enum reason *ret_reason);

/* What has happened to a session so far. */
struct destination_facts {
    bool named;         /* the client has said a name */
    bool heard;         /* it has said all that can tell one */
    bool asked_address; /* the proxy was asked for the address before that */
    bool name_failed;   /* the proxy was asked for the name and could not reach it */
};

/* By what the proxy is asked now. TARGET_NONE: it must not be asked, for there is no name yet, or none at all. */
enum target destination_choose(enum conf_names names, const struct destination_facts *facts);

/* The proxy has refused the target: may it be asked for the address now? */
bool destination_may_try_address(enum conf_names names, const struct destination_facts *facts, enum target refused,
                                 int http_status);

/* The host for CONNECT: the name, or the destination's address (into buf). */
const char *destination_host(enum target target, const char *name, const struct addr *destination,
                             char buf[static ADDR_TEXT_MAX]);

#endif
