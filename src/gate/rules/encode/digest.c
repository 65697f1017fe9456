/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/digest.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stddef.h>
#include <string.h>

uint64_t digest_bytes(uint64_t value, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        value = (value ^ bytes[i]) * 0x100000001b3u;
    return value;
}

static uint64_t hash_attribute(uint64_t value, const struct nlattr *attribute)
{
    uint16_t header[2] = {mnl_attr_get_type(attribute), mnl_attr_get_payload_len(attribute)};
    return digest_bytes(digest_bytes(value, header, sizeof header), mnl_attr_get_payload(attribute), header[1]);
}

/* Attributes by which two dumps of the same object are compared: those that say what it is. Lists end with 0, which
 * no attribute has. A kernel that invents another one (a count, a handle) does not disturb. */
struct object_type {
    uint16_t message;
    uint16_t table_attribute;
    uint16_t attributes[10];
};

static const struct object_type object_types[] = {
    {NFT_MSG_NEWTABLE, NFTA_TABLE_NAME, {NFTA_TABLE_FLAGS, NFTA_TABLE_USERDATA}},
    {NFT_MSG_NEWCHAIN,
     NFTA_CHAIN_TABLE,
     {NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE, NFTA_CHAIN_FLAGS, NFTA_CHAIN_USERDATA}},
    {NFT_MSG_NEWRULE, NFTA_RULE_TABLE, {NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA}},
    {NFT_MSG_NEWOBJ, NFTA_OBJ_TABLE, {NFTA_OBJ_NAME, NFTA_OBJ_TYPE, NFTA_OBJ_USERDATA}},
    {NFT_MSG_NEWSET,
     NFTA_SET_TABLE,
     {NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN, NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN,
      NFTA_SET_TIMEOUT, NFTA_SET_USERDATA}},
    {NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_TABLE, {NFTA_SET_ELEM_LIST_SET}},
};

static const struct object_type *type_of(const struct nlmsghdr *message)
{
    for (size_t i = 0; i < sizeof object_types / sizeof object_types[0]; i++)
        if (message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | object_types[i].message))
            return &object_types[i];
    return NULL;
}

static bool counts(const struct object_type *type, uint16_t attribute)
{
    for (size_t i = 0; type->attributes[i] != 0; i++)
        if (type->attributes[i] == attribute)
            return true;
    return false;
}

/* One message on the way into the digest. */
struct reading {
    const struct object_type *type;
    bool ours;
    uint64_t value;
    const struct nlattr *elements;
};

static int read_attribute(const struct nlattr *attribute, void *data)
{
    struct reading *reading = data;
    uint16_t type = mnl_attr_get_type(attribute);
    if (type == reading->type->table_attribute)
        reading->ours = mnl_attr_get_payload_len(attribute) == sizeof RULESET_TABLE &&
                        memcmp(mnl_attr_get_payload(attribute), RULESET_TABLE, sizeof RULESET_TABLE) == 0;
    if (counts(reading->type, type))
        reading->value = hash_attribute(reading->value, attribute);
    if (reading->type->message == NFT_MSG_NEWSETELEM && type == NFTA_SET_ELEM_LIST_ELEMENTS)
        reading->elements = attribute;
    return MNL_CB_OK;
}

struct element_sum {
    uint64_t set; /* each element starts from the name of its set, so that it cannot move to another one unnoticed */
    uint64_t sum;
};

static int add_element(const struct nlattr *element, void *data)
{
    struct element_sum *sum = data;
    sum->sum += hash_attribute(sum->set, element);
    return MNL_CB_OK;
}

void ruleset_digest_init(struct ruleset_digest *digest)
{
    *digest = (struct ruleset_digest){.ordered = DIGEST_BASIS};
}

void ruleset_digest_add(struct ruleset_digest *digest, const struct nlmsghdr *message)
{
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(message);
    struct reading reading = {.type = type_of(message), .value = DIGEST_BASIS};
    struct element_sum sum = {0};
    if (!reading.type || mnl_nlmsg_get_payload_len(message) < sizeof *nfg || nfg->nfgen_family != NFPROTO_INET)
        return;
    reading.value = digest_bytes(reading.value, &reading.type->message, sizeof reading.type->message);
    mnl_attr_parse(message, sizeof *nfg, read_attribute, &reading);
    if (!reading.ours)
        return;
    if (reading.type->message == NFT_MSG_NEWTABLE)
        digest->present = true;
    if (reading.type->message != NFT_MSG_NEWSETELEM)
        digest->ordered = digest_bytes(digest->ordered, &reading.value, sizeof reading.value);
    if (!reading.elements)
        return;
    sum.set = reading.value;
    mnl_attr_parse_nested(reading.elements, add_element, &sum);
    digest->unordered += sum.sum;
}

bool ruleset_digest_equal(const struct ruleset_digest *a, const struct ruleset_digest *b)
{
    return a->present == b->present && a->ordered == b->ordered && a->unordered == b->unordered;
}
