/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#define TRIES_MAX 5 /* against others who change their own rules at the same moment */

static int take_generation_id(const struct nlattr *attribute, void *data)
{
    uint32_t *ret_generation = data;
    if (mnl_attr_get_type(attribute) == NFTA_GEN_ID && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
        *ret_generation = ntohl(mnl_attr_get_u32(attribute));
    return MNL_CB_OK;
}

static void take_generation(const struct nlmsghdr *message, void *data)
{
    mnl_attr_parse(message, sizeof(struct nfgenmsg), take_generation_id, data);
}

int snapshot_generation(struct nfsocket *socket, uint32_t *ret_generation)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(socket, buf, NFT_MSG_GETGEN, 0);
    uint32_t generation = 0;
    struct nfsocket_answer answer = {.first_seq = message->nlmsg_seq,
                                     .last_seq = message->nlmsg_seq,
                                     .single = true,
                                     .message = take_generation,
                                     .data = &generation};
    int r = nfsocket_exchange(socket, message, message->nlmsg_len, &answer);
    if (r < 0)
        return r;
    if (generation == 0)
        return -EBADMSG;
    *ret_generation = generation;
    return 0;
}

static void take_object(const struct nlmsghdr *message, void *data)
{
    ruleset_digest_add(data, message);
}

/* attribute 0: no filter. 0, also when what is asked for does not exist; -EINTR when it changed meanwhile. */
static int dump(struct nfsocket *socket, uint16_t type, uint16_t table_attribute, uint16_t set_attribute,
                const char *set, struct ruleset_digest *digest)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(socket, buf, type, NLM_F_DUMP);
    struct nfsocket_answer answer = {
        .first_seq = message->nlmsg_seq, .last_seq = message->nlmsg_seq, .message = take_object, .data = digest};
    int r;
    if (table_attribute != 0)
        mnl_attr_put_strz(message, table_attribute, RULESET_TABLE);
    if (set_attribute != 0)
        mnl_attr_put_strz(message, set_attribute, set);
    r = nfsocket_exchange(socket, message, message->nlmsg_len, &answer);
    if (r == -ENOENT && answer.error != 0)
        return 0;
    return r == 0 && answer.interrupted ? -EINTR : r;
}

static int dump_all(struct nfsocket *socket, struct ruleset_digest *digest)
{
    const char *set;
    int r;
    ruleset_digest_init(digest);
    r = dump(socket, NFT_MSG_GETTABLE, 0, 0, NULL, digest);
    if (r < 0 || !digest->present)
        return r;
    r = dump(socket, NFT_MSG_GETCHAIN, 0, 0, NULL, digest);
    if (r >= 0)
        r = dump(socket, NFT_MSG_GETRULE, NFTA_RULE_TABLE, 0, NULL, digest);
    if (r >= 0)
        r = dump(socket, NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, 0, NULL, digest);
    if (r >= 0)
        r = dump(socket, NFT_MSG_GETSET, NFTA_SET_TABLE, 0, NULL, digest);
    for (size_t i = 0; r >= 0 && (set = ruleset_set_name(i)); i++)
        r = dump(socket, NFT_MSG_GETSETELEM, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, set, digest);
    return r;
}

int snapshot_read(struct nfsocket *socket, const struct snapshot *known, struct snapshot *ret_snapshot)
{
    for (int try = 0; try < TRIES_MAX; try++) {
        struct snapshot snapshot;
        uint32_t after;
        int r = snapshot_generation(socket, &snapshot.generation);

        if (r < 0)
            return r;
        /* Nothing at all happened to any table since then. */
        if (known && snapshot.generation == known->generation) {
            *ret_snapshot = *known;
            return 0;
        }
        r = dump_all(socket, &snapshot.digest);
        ret_snapshot->digest.present = snapshot.digest.present;
        if (r >= 0)
            r = snapshot_generation(socket, &after);
        if (r < 0 && r != -EINTR)
            return r;
        if (r >= 0 && after == snapshot.generation) {
            *ret_snapshot = snapshot;
            return 0;
        }
    }
    return -EAGAIN;
}
