/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/sets.h"

#include <arpa/inet.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/encode/digest.h"

#define KEY_MAX     (sizeof(struct in6_addr) + PORT_ROOM)
#define PORT_ROOM   4    /* of a port behind an address, as the kernel aligns it */
#define CHUNK_MAX   512u /* elements in a message: far below the 64 KiB that an attribute can hold */
#define COUNT_OF(a) (sizeof a / sizeof((a)[0]))

/* nft's own numbers for types and byte orders: the kernel only keeps them, nft prints elements by them. */
enum nft_type {
    NFT_TYPE_IPV4_ADDR = 7,
    NFT_TYPE_IPV6_ADDR = 8,
    NFT_TYPE_INET_PROTOCOL = 12,
    NFT_TYPE_INET_SERVICE = 13,
    NFT_TYPE_UID = 24,
    NFT_TYPE_IPV4_ADDR_PORT = 7 << 6 | 13, /* one behind the other */
    NFT_TYPE_IPV6_ADDR_PORT = 8 << 6 | 13,
};
enum nft_byteorder { NFT_BYTEORDER_HOST = 1, NFT_BYTEORDER_NETWORK = 2 };

/* ---- elements ---- */

struct element {
    uint8_t key[KEY_MAX];
    bool interval_end; /* the first key behind an interval */
};

struct elements {
    struct element *items;
    size_t count;
};

static void append(struct elements *elements, const void *key, size_t length, bool interval_end)
{
    struct element *element = &elements->items[elements->count++];
    memset(element, 0, sizeof *element);
    memcpy(element->key, key, length);
    element->interval_end = interval_end;
}

struct range {
    uint8_t first[KEY_MAX], last[KEY_MAX];
};

static int compare_ranges(const void *a, const void *b)
{
    return memcmp(((const struct range *)a)->first, ((const struct range *)b)->first, KEY_MAX);
}

static struct range range_of(const struct prefix *prefix, size_t length)
{
    const void *base = length == sizeof(struct in_addr) ? (const void *)&prefix->base.in4.sin_addr
                                                        : (const void *)&prefix->base.in6.sin6_addr;
    struct range range = {0};
    memcpy(range.first, base, length);
    memcpy(range.last, base, length);
    for (unsigned bit = prefix->length; bit < length * 8; bit++)
        range.last[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
    return range;
}

/* Adds one to a big-endian key; false when there is no next one. */
static bool increment(uint8_t *key, size_t length)
{
    while (length-- > 0)
        if (++key[length] != 0)
            return true;
    return false;
}

/* Overlapping and adjacent ranges become one: the kernel refuses overlaps. ranges must be sorted. */
static size_t merge_ranges(struct range *ranges, size_t count, size_t length)
{
    size_t merged = 0;
    for (size_t i = 1; i < count; i++) {
        uint8_t next[KEY_MAX];

        memcpy(next, ranges[merged].last, KEY_MAX);
        if (!increment(next, length) || memcmp(ranges[i].first, next, KEY_MAX) <= 0) {
            if (memcmp(ranges[i].last, ranges[merged].last, KEY_MAX) > 0)
                memcpy(ranges[merged].last, ranges[i].last, KEY_MAX);
        } else {
            ranges[++merged] = ranges[i];
        }
    }
    return count == 0 ? 0 : merged + 1;
}

static size_t collect_ranges(struct range *ranges, const struct prefix *prefixes, size_t n_prefixes, size_t length)
{
    int family = length == sizeof(struct in_addr) ? AF_INET : AF_INET6;
    size_t count = 0;
    for (size_t i = 0; i < n_prefixes; i++)
        if (prefixes[i].base.sa.sa_family == family)
            ranges[count++] = range_of(&prefixes[i], length);
    return count;
}

/* As nft writes them: the key that starts an interval, and the first one behind it, marked as an end. */
static bool network_elements(const struct prefix *prefixes, size_t n_prefixes, int family,
                             struct elements *ret_elements)
{
    const size_t length = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    struct range *ranges = calloc(n_prefixes + 1, sizeof *ranges);
    static const uint8_t zero[KEY_MAX];
    size_t count;
    ret_elements->items = calloc(2 * n_prefixes + 1, sizeof *ret_elements->items);
    if (!ranges || !ret_elements->items) {
        free(ranges);
        return false;
    }
    count = collect_ranges(ranges, prefixes, n_prefixes, length);
    qsort(ranges, count, sizeof *ranges, compare_ranges);
    count = merge_ranges(ranges, count, length);
    if (count > 0 && memcmp(ranges[0].first, zero, KEY_MAX) != 0)
        append(ret_elements, zero, length, true);
    for (size_t i = 0; i < count; i++) {
        append(ret_elements, ranges[i].first, length, false);
        if (increment(ranges[i].last, length))
            append(ret_elements, ranges[i].last, length, true);
    }
    free(ranges);
    return true;
}

static bool local_networks(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    size_t count = 0;
    const struct prefix *local = conf_local_networks(&count);
    return network_elements(local, spec->conf->local_networks ? count : 0, family, ret_elements);
}

static bool bypass_networks(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return network_elements(spec->conf->bypass_networks, spec->conf->n_bypass_networks, family, ret_elements);
}

static bool block_networks(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return network_elements(spec->conf->block_networks, spec->conf->n_block_networks, family, ret_elements);
}

static bool port_elements(const uint16_t *ports, size_t count, struct elements *ret_elements)
{
    ret_elements->items = calloc(count + 1, sizeof *ret_elements->items);
    for (size_t i = 0; i < count && ret_elements->items; i++) {
        in_port_t port = htons(ports[i]);

        append(ret_elements, &port, sizeof port, false);
    }
    return ret_elements->items;
}

static bool web_ports(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return port_elements(spec->conf->ports, spec->conf->n_ports, ret_elements);
}

static bool bypass_ports(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return port_elements(spec->conf->bypass_ports, spec->conf->n_bypass_ports, ret_elements);
}

static bool block_ports(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return port_elements(spec->conf->block_ports, spec->conf->n_block_ports, ret_elements);
}

/* A program needs no right for any of them. */
static bool protocols(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    static const uint8_t numbers[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP, IPPROTO_DCCP};
    ret_elements->items = calloc(sizeof numbers, sizeof *ret_elements->items);
    for (size_t i = 0; i < sizeof numbers && ret_elements->items; i++)
        append(ret_elements, &numbers[i], sizeof numbers[i], false);
    return ret_elements->items;
}

static bool user_elements(const struct conf_user *users, size_t count, struct elements *ret_elements)
{
    size_t room = count + 1;
    for (size_t i = 0; i < count; i++)
        room += users[i].group && conf_group_in_force(users[i].group) ? conf_group_in_force(users[i].group)->n : 0;
    ret_elements->items = calloc(room, sizeof *ret_elements->items);
    for (size_t i = 0; i < count && ret_elements->items; i++) {
        const struct conf_group *group = users[i].group ? conf_group_in_force(users[i].group) : NULL;
        if (!users[i].group && users[i].uid != CONF_UID_UNKNOWN)
            append(ret_elements, &users[i].uid, sizeof(uid_t), false);
        for (size_t k = 0; group && k < group->n; k++)
            append(ret_elements, &group->uids[k], sizeof(uid_t), false);
    }
    return ret_elements->items;
}

static bool bypass_users(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return user_elements(spec->conf->bypass_users, spec->conf->n_bypass_users, ret_elements);
}

static bool block_users(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    return user_elements(spec->conf->block_users, spec->conf->n_block_users, ret_elements);
}

static void append_proxy(struct elements *elements, const struct addr *addr, uint16_t host_port)
{
    uint8_t key[KEY_MAX] = {0};
    in_port_t port = htons(host_port);
    size_t length = addr->sa.sa_family == AF_INET ? sizeof addr->in4.sin_addr : sizeof addr->in6.sin6_addr;
    memcpy(key, addr->sa.sa_family == AF_INET ? (const void *)&addr->in4.sin_addr : (const void *)&addr->in6.sin6_addr,
           length);
    memcpy(key + length, &port, sizeof port);
    append(elements, key, length + PORT_ROOM, false);
}

/* Each with the ports that may be used. */
static bool proxies(const struct ruleset_spec *spec, int family, struct elements *ret_elements)
{
    const struct conf *conf = spec->conf;
    ret_elements->items = calloc(2 * spec->n_proxies + 1, sizeof *ret_elements->items);
    for (size_t i = 0; i < spec->n_proxies && ret_elements->items; i++) {
        if (spec->proxies[i].sa.sa_family != family)
            continue;
        if (conf->secure)
            append_proxy(ret_elements, &spec->proxies[i], conf->secure_port);
        append_proxy(ret_elements, &spec->proxies[i], conf->port);
    }
    return ret_elements->items;
}

/* ---- the sets ---- */

/* The caller frees items, also after false (out of memory). */
typedef bool fill_fn(const struct ruleset_spec *spec, int family, struct elements *ret_elements);

struct set_type {
    const char *name;
    const char *staged; /* of intervals: the name of a second one beside it */
    enum nft_type type;
    uint32_t key_length;
    enum nft_byteorder byteorder;
    int family; /* of addresses, else 0 */
    const char *comment;
    fill_fn *fill;
};

#define STAGED(name) name, name "_next"
#define PORTS        NFT_TYPE_INET_SERVICE, sizeof(in_port_t), NFT_BYTEORDER_NETWORK, 0
#define PROTOCOLS    NFT_TYPE_INET_PROTOCOL, 1, NFT_BYTEORDER_NETWORK, 0
#define USERS        NFT_TYPE_UID, sizeof(uid_t), NFT_BYTEORDER_HOST, 0
#define NET4         NFT_TYPE_IPV4_ADDR, 4, NFT_BYTEORDER_NETWORK, AF_INET
#define NET6         NFT_TYPE_IPV6_ADDR, 16, NFT_BYTEORDER_NETWORK, AF_INET6
#define OWN4         NFT_TYPE_IPV4_ADDR_PORT, 4 + PORT_ROOM, NFT_BYTEORDER_NETWORK, AF_INET
#define OWN6         NFT_TYPE_IPV6_ADDR_PORT, 16 + PORT_ROOM, NFT_BYTEORDER_NETWORK, AF_INET6

static const struct set_type types[] = {
    {SET_WEB, NULL, PORTS, "[Redirect] Ports", web_ports},
    {SET_PROTOCOLS, NULL, PROTOCOLS, "all that have ports", protocols},
    {SET_BYPASS_PORTS, NULL, PORTS, "[Bypass] Ports", bypass_ports},
    {SET_BYPASS_USERS, NULL, USERS, "[Bypass] Users", bypass_users},
    {STAGED(SET_BYPASS4), NET4, "[Bypass] Networks", bypass_networks},
    {STAGED(SET_BYPASS6), NET6, "[Bypass] Networks", bypass_networks},
    {SET_BLOCK_PORTS, NULL, PORTS, "[Block] Ports", block_ports},
    {SET_BLOCK_USERS, NULL, USERS, "[Block] Users", block_users},
    {STAGED(SET_BLOCK4), NET4, "[Block] Networks", block_networks},
    {STAGED(SET_BLOCK6), NET6, "[Block] Networks", block_networks},
    {SET_OWN4, NULL, OWN4, "proxies", proxies},
    {SET_OWN6, NULL, OWN6, "proxies", proxies},
    {STAGED(SET_LOCAL4), NET4, "[Bypass] LocalNetworks", local_networks},
    {STAGED(SET_LOCAL6), NET6, "[Bypass] LocalNetworks", local_networks},
};

const char *ruleset_set_name(size_t index)
{
    return index < COUNT_OF(types) ? types[index].name : NULL;
}

static bool elements_of(const struct set_type *type, const struct ruleset_spec *spec, struct elements *ret_elements)
{
    *ret_elements = (struct elements){0};
    return type->fill(spec, type->family, ret_elements);
}

void ruleset_sets_digest(const struct ruleset_spec *spec, struct ruleset_sets_digest *ret_digest)
{
    _Static_assert(COUNT_OF(types) <= RULESET_SETS_MAX, "a bit for each set");
    *ret_digest = (struct ruleset_sets_digest){0};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct elements elements;
        if (!elements_of(&types[i], spec, &elements))
            elements.count = 0; /* out of memory: encoding them will fail as well */
        ret_digest->sets[i] = digest_bytes(DIGEST_BASIS, elements.items, elements.count * sizeof(struct element));
        free(elements.items);
    }
}

uint32_t ruleset_sets_intervals(uint32_t sets)
{
    uint32_t intervals = 0;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (types[i].staged)
            intervals |= 1u << i;
    return sets & intervals;
}

uint32_t ruleset_sets_differing(const struct ruleset_sets_digest *a, const struct ruleset_sets_digest *b)
{
    uint32_t differing = 0;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (a->sets[i] != b->sets[i])
            differing |= 1u << i;
    return differing;
}

/* ---- messages ---- */

static bool describe_set(struct nftnl_set *set, const struct set_type *type, const char *name)
{
    struct nftnl_udata_buf *udata = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
    bool ok;
    nftnl_set_set_u32(set, NFTNL_SET_FAMILY, NFPROTO_INET);
    nftnl_set_set_u32(set, NFTNL_SET_ID, (uint32_t)(type - types) + 1);
    nftnl_set_set_u32(set, NFTNL_SET_FLAGS, type->staged ? NFT_SET_INTERVAL : 0);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type->type);
    nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, type->key_length);
    ok = udata && nftnl_udata_put_u32(udata, NFTNL_UDATA_SET_KEYBYTEORDER, type->byteorder) &&
         nftnl_udata_put_strz(udata, NFTNL_UDATA_SET_COMMENT, type->comment) &&
         nftnl_set_set_data(set, NFTNL_SET_USERDATA, nftnl_udata_buf_data(udata), nftnl_udata_buf_len(udata)) == 0 &&
         nftnl_set_set_str(set, NFTNL_SET_TABLE, RULESET_TABLE) == 0 &&
         nftnl_set_set_str(set, NFTNL_SET_NAME, name) == 0;
    if (udata)
        nftnl_udata_buf_free(udata);
    return ok;
}

static bool add_element(struct nftnl_set *set, const struct element *item, uint32_t key_length)
{
    struct nftnl_set_elem *element = nftnl_set_elem_alloc();
    if (!element)
        return false;
    nftnl_set_elem_add(set, element);
    if (item->interval_end)
        nftnl_set_elem_set_u32(element, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
    return nftnl_set_elem_set(element, NFTNL_SET_ELEM_KEY, item->key, key_length) == 0;
}

static void fill_chunk(struct ruleset_batch *batch, const struct set_type *type, const char *name,
                       const struct element *items, size_t count)
{
    struct nlmsghdr *message =
        ruleset_batch_message(batch, NFT_MSG_NEWSETELEM, NLM_F_CREATE, "elements of set %s", name);
    struct nftnl_set *set = nftnl_set_alloc();
    bool ok = message && set && nftnl_set_set_str(set, NFTNL_SET_TABLE, RULESET_TABLE) == 0 &&
              nftnl_set_set_str(set, NFTNL_SET_NAME, name) == 0;
    for (size_t i = 0; i < count && ok; i++)
        ok = add_element(set, &items[i], type->key_length);
    if (ok)
        nftnl_set_elems_nlmsg_build_payload(message, set);
    else
        ruleset_batch_fail(batch);
    ruleset_batch_commit(batch);
    if (set)
        nftnl_set_free(set);
}

static void fill(struct ruleset_batch *batch, const struct set_type *type, const char *name,
                 const struct ruleset_spec *spec)
{
    struct elements elements;
    if (!elements_of(type, spec, &elements))
        ruleset_batch_fail(batch);
    for (size_t at = 0; at < elements.count; at += CHUNK_MAX) {
        size_t rest = elements.count - at;
        fill_chunk(batch, type, name, elements.items + at, rest < CHUNK_MAX ? rest : CHUNK_MAX);
    }
    free(elements.items);
}

static void create(struct ruleset_batch *batch, const struct set_type *type, const char *name)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL, "set %s", name);
    struct nftnl_set *set = nftnl_set_alloc();
    if (message && set && describe_set(set, type, name))
        nftnl_set_nlmsg_build_payload(message, set);
    else
        ruleset_batch_fail(batch);
    ruleset_batch_commit(batch);
    if (set)
        nftnl_set_free(set);
}

static void make(struct ruleset_batch *batch, const struct set_type *type, const char *name,
                 const struct ruleset_spec *spec)
{
    create(batch, type, name);
    fill(batch, type, name, spec);
}

static void drop(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_DELSET, 0, "set %s", name);
    if (message) {
        mnl_attr_put_strz(message, NFTA_SET_TABLE, RULESET_TABLE);
        mnl_attr_put_strz(message, NFTA_SET_NAME, name);
    }
    ruleset_batch_commit(batch);
}

static void empty(struct ruleset_batch *batch, const char *name)
{
    struct nlmsghdr *message = ruleset_batch_message(batch, NFT_MSG_DELSETELEM, 0, "elements of set %s", name);
    if (message) {
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, RULESET_TABLE);
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, name);
    }
    ruleset_batch_commit(batch);
}

/* The sets of which, one after the other: next_set(which, types), then next_set(which, SET + 1); NULL after the last.
 */
static const struct set_type *next_set(uint32_t which, const struct set_type *at)
{
    for (; at < types + COUNT_OF(types); at++)
        if (which & 1u << (at - types))
            return at;
    return NULL;
}

void ruleset_sets_create(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec)
{
    for (const struct set_type *type = next_set(which, types); type; type = next_set(which, type + 1)) {
        make(batch, type, type->name, spec);
    }
}

void ruleset_sets_delete(struct ruleset_batch *batch, uint32_t which)
{
    for (const struct set_type *type = next_set(which, types); type; type = next_set(which, type + 1))
        drop(batch, type->name);
}

void ruleset_sets_refill(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec)
{
    for (const struct set_type *type = next_set(which, types); type; type = next_set(which, type + 1)) {
        empty(batch, type->name);
        fill(batch, type, type->name, spec);
    }
}

void ruleset_sets_stage(struct ruleset_batch *batch, uint32_t which, const struct ruleset_spec *spec)
{
    for (const struct set_type *type = next_set(which, types); type; type = next_set(which, type + 1)) {
        make(batch, type, type->staged, spec);
    }
}

void ruleset_sets_unstage(struct ruleset_batch *batch, uint32_t which)
{
    for (const struct set_type *type = next_set(which, types); type; type = next_set(which, type + 1))
        drop(batch, type->staged);
}

const char *ruleset_sets_referred(const struct ruleset_batch *batch, const char *set)
{
    uint32_t staged = ruleset_batch_staged(batch);
    for (const struct set_type *type = next_set(staged, types); type; type = next_set(staged, type + 1))
        if (strcmp(type->name, set) == 0)
            return type->staged;
    return set;
}
