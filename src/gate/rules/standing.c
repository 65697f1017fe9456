/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/standing.h"

#include <errno.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "gate/rules/nfsocket.h"

#define TIMEOUT_MS 5000
#define GUARD      "guard_local" /* of the daemon's table, the lockdown's and the one of last resort */

static int take_comment(const struct nftnl_udata *attribute, void *data)
{
    struct standing *standing = data;
    if (nftnl_udata_type(attribute) == NFTNL_UDATA_RULE_COMMENT)
        snprintf(standing->comment, sizeof standing->comment, "%.*s", (int)nftnl_udata_len(attribute),
                 (const char *)nftnl_udata_get(attribute));
    return 0;
}

static int take_expression(struct nftnl_expr *expr, void *data)
{
    struct standing *standing = data;
    const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
    if (strcmp(name, "reject") == 0)
        standing->refuses = true;
    else if (strcmp(name, "immediate") == 0 && nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT))
        standing->refuses = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT) == NF_DROP;
    return 0;
}

/* The last rule of the guard is the one for what nothing before it knows. */
static void take_rule(const struct nlmsghdr *message, void *data)
{
    struct standing *standing = data;
    struct nftnl_rule *rule = nftnl_rule_alloc();
    if (rule && nftnl_rule_nlmsg_parse(message, rule) == 0 &&
        nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY) == NFPROTO_INET &&
        strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_TABLE), RULESET_TABLE) == 0 &&
        strcmp(nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN), GUARD) == 0) {
        uint32_t length = 0;
        const void *comment = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &length);

        *standing = (struct standing){.exists = true};
        nftnl_expr_foreach(rule, take_expression, standing);
        if (comment)
            nftnl_udata_parse(comment, length, take_comment, standing);
    }
    if (rule)
        nftnl_rule_free(rule);
}

int standing_read(struct standing *ret_standing, char ret_error[static TABLE_ERROR_MAX])
{
    struct nfsocket *nfsocket = nfsocket_new();
    struct standing standing = {.exists = false};
    int r = nfsocket ? 0 : -errno;
    if (nfsocket) {
        nfsocket_set_deadline(nfsocket, TIMEOUT_MS);
        r = nfsocket_dump(nfsocket, NFT_MSG_GETRULE, take_rule, &standing);
        nfsocket_free(nfsocket);
    }
    if (r < 0) {
        table_explain(r, "reading nf_tables", ret_error);
        return r;
    }
    *ret_standing = standing;
    return 0;
}
