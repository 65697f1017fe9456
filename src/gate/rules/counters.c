/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/counters.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#define REJECTED "rejected_"

struct object {
    const char *table, *name;
    uint64_t packets;
};

static int take_packets(const struct nlattr *attribute, void *data)
{
    struct object *object = data;
    if (mnl_attr_get_type(attribute) == NFTA_COUNTER_PACKETS && mnl_attr_validate(attribute, MNL_TYPE_U64) >= 0)
        object->packets = be64toh(mnl_attr_get_u64(attribute));
    return MNL_CB_OK;
}

static int take_attribute(const struct nlattr *attribute, void *data)
{
    struct object *object = data;
    uint16_t type = mnl_attr_get_type(attribute);
    if (type == NFTA_OBJ_TABLE && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        object->table = mnl_attr_get_str(attribute);
    else if (type == NFTA_OBJ_NAME && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        object->name = mnl_attr_get_str(attribute);
    else if (type == NFTA_OBJ_DATA)
        mnl_attr_parse_nested(attribute, take_packets, object);
    return MNL_CB_OK;
}

void counters_add(struct counters *counters, const struct nlmsghdr *message)
{
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(message);
    struct object object = {0};
    if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWOBJ) ||
        mnl_nlmsg_get_payload_len(message) < sizeof *nfg || nfg->nfgen_family != NFPROTO_INET)
        return;
    mnl_attr_parse(message, sizeof *nfg, take_attribute, &object);
    if (!object.table || !object.name || strcmp(object.table, RULESET_TABLE) != 0)
        return;
    counters->known = true;
    if (strcmp(object.name, "bypassed") == 0)
        counters->bypassed = object.packets;
    else if (strncmp(object.name, REJECTED, strlen(REJECTED)) == 0)
        counters->rejected += object.packets;
}
