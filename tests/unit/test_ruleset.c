/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The encoded transaction is read back message by message; what the kernel makes of it is tested in tests/system. */
#include "config.h"

#include <arpa/inet.h>
#include <check.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/encode/digest.h"
#include "gate/rules/encode/ruleset.h"

#define FIRST_SEQ 1000u

/* ---- configurations ---- */

static struct conf *read_conf(const char *more)
{
    static const char head[] = "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\n";
    size_t size = sizeof head + strlen(more);
    char *text = malloc(size);
    struct conf *conf = NULL;
    FILE *stream;
    snprintf(text, size, "%s%s", head, more);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_ptr_nonnull(stream);
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    free(text);
    return conf;
}

static struct ruleset_batch *encode_sets(const struct conf *conf, enum ruleset_change change, uint32_t sets,
                                         enum verdict_mode mode)
{
    static struct addr proxies[2];
    struct ruleset_spec spec = {
        .mode = mode, .status = "a status", .conf = conf, .own_uid = 77, .proxies = proxies, .n_proxies = 2};
    ck_assert(addr_parse("192.0.2.1", 0, &proxies[0]) && addr_parse("2001:db8::1", 0, &proxies[1]));
    struct ruleset_batch *batch = ruleset_encode(&spec, change, sets, 6, 41, FIRST_SEQ);
    ck_assert_ptr_nonnull(batch);
    return batch;
}

static struct ruleset_batch *encode(const struct conf *conf, enum ruleset_change change, enum verdict_mode mode)
{
    return encode_sets(conf, change, 0, mode);
}

/* ---- reading a batch ---- */

#define MESSAGES_MAX 512

struct messages {
    const struct nlmsghdr *items[MESSAGES_MAX];
    size_t count;
};

static struct messages split(const struct ruleset_batch *batch)
{
    struct messages messages = {0};
    size_t size;
    const void *data = ruleset_batch_data(batch, &size);
    const struct nlmsghdr *message = data;
    for (int left = (int)size; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
        ck_assert_uint_lt(messages.count, MESSAGES_MAX);
        messages.items[messages.count++] = message;
    }
    return messages;
}

static bool is(const struct nlmsghdr *message, uint16_t type)
{
    return message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type);
}

struct wanted {
    uint16_t type;
    const struct nlattr *found;
};

static int find_one(const struct nlattr *attribute, void *data)
{
    struct wanted *wanted = data;
    if (mnl_attr_get_type(attribute) == wanted->type)
        wanted->found = attribute;
    return MNL_CB_OK;
}

static const struct nlattr *find(const struct nlmsghdr *message, uint16_t type)
{
    struct wanted wanted = {.type = type};
    mnl_attr_parse(message, sizeof(struct nfgenmsg), find_one, &wanted);
    return wanted.found;
}

/* How many messages of that type, with that text as that attribute. */
static size_t count(const struct ruleset_batch *batch, uint16_t type, uint16_t attribute, const char *text)
{
    struct messages messages = split(batch);
    size_t n = 0;
    for (size_t i = 0; i < messages.count; i++) {
        const struct nlattr *found = is(messages.items[i], type) ? find(messages.items[i], attribute) : NULL;

        if (found && (!text || strcmp(mnl_attr_get_payload(found), text) == 0))
            n++;
    }
    return n;
}

static bool has_rule(const struct ruleset_batch *batch, const char *comment)
{
    struct messages messages = split(batch);
    for (size_t i = 0; i < messages.count; i++) {
        const struct nlattr *userdata = find(messages.items[i], NFTA_RULE_USERDATA);

        if (is(messages.items[i], NFT_MSG_NEWRULE) && userdata &&
            strcmp((const char *)mnl_attr_get_payload(userdata) + 2, comment) == 0)
            return true;
    }
    return false;
}

/* ---- the transaction ---- */

START_TEST(transaction_has_envelope_numbers_and_one_acknowledgement)
{
    struct conf *conf = read_conf("");
    struct ruleset_batch *batch = encode(conf, RULESET_CREATE, VERDICT_MODE_SECURE);
    struct messages messages = split(batch);
    const struct nlattr *generation = find(messages.items[0], NFNL_BATCH_GENID);
    ck_assert_uint_eq(messages.items[0]->nlmsg_type, NFNL_MSG_BATCH_BEGIN);
    ck_assert_uint_eq(messages.items[messages.count - 1]->nlmsg_type, NFNL_MSG_BATCH_END);
    ck_assert_ptr_nonnull(generation);
    ck_assert_uint_eq(ntohl(mnl_attr_get_u32(generation)), 41);
    for (size_t i = 0; i < messages.count; i++) {
        ck_assert_uint_eq(messages.items[i]->nlmsg_seq, FIRST_SEQ + i);
        ck_assert_int_eq(!!(messages.items[i]->nlmsg_flags & NLM_F_ACK), i == messages.count - 2);
    }
    ck_assert_uint_eq(ruleset_batch_first_seq(batch), FIRST_SEQ);
    ck_assert_uint_eq(ruleset_batch_last_seq(batch), FIRST_SEQ + messages.count - 2);
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

START_TEST(any_generation_has_no_condition)
{
    struct conf *conf = read_conf("");
    struct ruleset_spec spec = {.mode = VERDICT_MODE_SECURE, .status = "", .conf = conf};
    struct ruleset_batch *batch = ruleset_encode(&spec, RULESET_CREATE, 0, 0, 0, 1);
    ck_assert_ptr_null(find(split(batch).items[0], NFNL_BATCH_GENID));
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

START_TEST(create_makes_the_table_with_its_flags)
{
    struct conf *conf = read_conf("");
    struct ruleset_batch *batch = encode(conf, RULESET_CREATE, VERDICT_MODE_SECURE);
    struct messages messages = split(batch);
    ck_assert(is(messages.items[1], NFT_MSG_NEWTABLE));
    ck_assert_uint_eq(ntohl(mnl_attr_get_u32(find(messages.items[1], NFTA_TABLE_FLAGS))), 6);
    ck_assert_uint_eq(ruleset_batch_table_seq(batch), FIRST_SEQ + 1);
    ck_assert_uint_eq(count(batch, NFT_MSG_DELTABLE, NFTA_TABLE_NAME, NULL), 0);
    ck_assert_uint_eq(count(batch, NFT_MSG_NEWCHAIN, NFTA_CHAIN_NAME, "guard_local"), 1);
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

START_TEST(replace_deletes_first)
{
    struct conf *conf = read_conf("");
    struct ruleset_batch *batch = encode(conf, RULESET_REPLACE, VERDICT_MODE_SECURE);
    struct messages messages = split(batch);
    ck_assert(is(messages.items[1], NFT_MSG_DELTABLE));
    ck_assert(is(messages.items[2], NFT_MSG_NEWTABLE));
    ck_assert_uint_eq(ruleset_batch_table_seq(batch), FIRST_SEQ + 2);
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

START_TEST(new_rules_leave_table_sets_and_counters)
{
    struct conf *conf = read_conf("");
    struct ruleset_batch *batch = encode(conf, RULESET_RULES, VERDICT_MODE_BLOCKED);
    struct messages messages = split(batch);
    for (size_t i = 1; i < messages.count - 1; i++)
        ck_assert(is(messages.items[i], NFT_MSG_DELRULE) || is(messages.items[i], NFT_MSG_NEWRULE));
    ck_assert_uint_eq(count(batch, NFT_MSG_DELRULE, NFTA_RULE_CHAIN, "redirect_local"), 1);
    ck_assert_uint_eq(count(batch, NFT_MSG_DELRULE, NFTA_RULE_CHAIN, "guard_local"), 1);
    ck_assert_uint_eq(count(batch, NFT_MSG_DELRULE, NFTA_RULE_HANDLE, NULL), 0);
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

/* Whether such a message has that string, with its end, somewhere. */
static bool holds(const struct ruleset_batch *batch, uint16_t type, const char *text)
{
    struct messages messages = split(batch);
    for (size_t i = 0; i < messages.count; i++)
        if (is(messages.items[i], type) &&
            memmem(messages.items[i], messages.items[i]->nlmsg_len, text, strlen(text) + 1))
            return true;
    return false;
}

static struct conf *read_full_conf(void)
{
    return read_conf("[Bypass]\nPorts=8443\nUsers=daemon\nNetworks=192.0.2.0/24 2001:db8::/32\n"
                     "[Block]\nPorts=25\nUsers=bin\nNetworks=192.0.3.0/24 2001:db9::/32\n");
}

static uint32_t all_sets(void)
{
    uint32_t sets = 0;
    for (size_t i = 0; ruleset_set_name(i); i++)
        sets |= 1u << i;
    return sets;
}

START_TEST(a_set_of_keys_is_filled_in_place_and_no_other_is_touched)
{
    struct conf *conf = read_full_conf();
    uint32_t sets = all_sets() & ~ruleset_sets_intervals(all_sets());
    const char *other;
    for (uint32_t bit = 1; bit != 0 && bit <= sets; bit <<= 1) {
        struct ruleset_batch *batch = encode_sets(conf, RULESET_RULES, bit & sets, VERDICT_MODE_SECURE);
        ck_assert_uint_eq(count(batch, NFT_MSG_NEWOBJ, NFTA_OBJ_NAME, NULL), 0);
        ck_assert_uint_eq(count(batch, NFT_MSG_NEWSET, NFTA_SET_NAME, NULL), 0);
        for (size_t k = 0; (other = ruleset_set_name(k)); k++) {
            bool it = (bit & sets) == 1u << k;
            ck_assert_uint_eq(count(batch, NFT_MSG_DELSETELEM, NFTA_SET_ELEM_LIST_SET, other), it);
            ck_assert_uint_eq(count(batch, NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_SET, other), it);
        }
        ruleset_batch_free(batch);
    }
    conf_free(conf);
}
END_TEST

/* A list of intervals that is emptied and filled in place is wrong for a moment, in which packets get out; a new one
 * that is used at once is empty for a moment. */
START_TEST(a_list_of_intervals_changes_beside_the_old_one)
{
    struct conf *conf = read_full_conf();
    uint32_t sets = ruleset_sets_intervals(all_sets());
    struct ruleset_batch *stage = encode_sets(conf, RULESET_STAGE, all_sets(), VERDICT_MODE_SECURE);
    struct ruleset_batch *change = encode_sets(conf, RULESET_SWITCH, all_sets(), VERDICT_MODE_SECURE);
    struct ruleset_batch *rules = encode_sets(conf, RULESET_RULES, sets, VERDICT_MODE_SECURE);
    const char *set;
    ck_assert_uint_ne(sets, 0);
    ck_assert_uint_eq(count(stage, NFT_MSG_NEWRULE, NFTA_RULE_CHAIN, NULL), 0);
    for (size_t i = 0; (set = ruleset_set_name(i)); i++) {
        bool interval = (sets & 1u << i) != 0;
        char next[64];
        snprintf(next, sizeof next, "%s_next", set);
        ck_assert_uint_eq(count(stage, NFT_MSG_NEWSET, NFTA_SET_NAME, next), interval);
        ck_assert_uint_eq(count(stage, NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_SET, next), interval);
        ck_assert_uint_eq(count(stage, NFT_MSG_NEWSET, NFTA_SET_NAME, set), 0);
        ck_assert_uint_eq(count(change, NFT_MSG_DELSET, NFTA_SET_NAME, set), interval);
        ck_assert_uint_eq(count(change, NFT_MSG_NEWSET, NFTA_SET_NAME, set), interval);
        ck_assert_uint_eq(count(change, NFT_MSG_DELSETELEM, NFTA_SET_ELEM_LIST_SET, set), !interval);
        ck_assert_uint_eq(count(rules, NFT_MSG_DELSET, NFTA_SET_NAME, next), interval);
        ck_assert_uint_eq(count(rules, NFT_MSG_NEWSETELEM, NFTA_SET_ELEM_LIST_SET, set), 0);
        if (interval) {
            ck_assert(holds(change, NFT_MSG_NEWRULE, next) && !holds(change, NFT_MSG_NEWRULE, set));
            ck_assert(holds(rules, NFT_MSG_NEWRULE, set) && !holds(rules, NFT_MSG_NEWRULE, next));
        }
    }
    ruleset_batch_free(stage);
    ruleset_batch_free(change);
    ruleset_batch_free(rules);
    conf_free(conf);
}
END_TEST

START_TEST(remove_needs_no_spec)
{
    struct ruleset_batch *batch = ruleset_encode(NULL, RULESET_REMOVE, 0, 0, 5, 1);
    ck_assert_uint_eq(split(batch).count, 3);
    ck_assert_uint_eq(count(batch, NFT_MSG_DELTABLE, NFTA_TABLE_NAME, "penstock"), 1);
    ruleset_batch_free(batch);
}
END_TEST

START_TEST(messages_are_described)
{
    struct conf *conf = read_conf("");
    struct ruleset_batch *batch = encode(conf, RULESET_CREATE, VERDICT_MODE_BLOCKED);
    uint32_t seq = ruleset_batch_last_seq(batch);
    ck_assert_str_eq(ruleset_batch_describe(batch, seq), "rule 'begins at a web port outside' in chain relay_port");
    ck_assert_str_eq(ruleset_batch_describe(batch, FIRST_SEQ + 1), "table inet penstock");
    ck_assert_str_eq(ruleset_batch_describe(batch, FIRST_SEQ), "the transaction");
    ck_assert_str_eq(ruleset_batch_describe(batch, FIRST_SEQ - 1), "the transaction");
    ck_assert_str_eq(ruleset_batch_describe(batch, seq + 1000), "the transaction");
    ruleset_batch_free(batch);
    conf_free(conf);
}
END_TEST

START_TEST(each_mode_has_its_rules)
{
    static const struct {
        enum verdict_mode mode;
        bool redirects, guards, says_status;
    } cases[] = {
        {VERDICT_MODE_SECURE, true, true, false},
        {VERDICT_MODE_PLAIN, true, true, false},
        {VERDICT_MODE_BLOCKED, false, false, true},
        {VERDICT_MODE_DIRECT, false, false, true},
    };
    struct conf *conf = read_conf("");

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ruleset_batch *batch = encode(conf, RULESET_RULES, cases[i].mode);

        ck_assert_int_eq(has_rule(batch, "web traffic to the relay"), cases[i].redirects);
        ck_assert_int_eq(has_rule(batch, "web traffic that was not redirected"), cases[i].guards);
        ck_assert_int_eq(has_rule(batch, "a status"), cases[i].says_status);
        ck_assert(has_rule(batch, "penstock to a proxy"));
        ruleset_batch_free(batch);
    }
    conf_free(conf);
}
END_TEST

/* Its list of networks may come into sight after the rules. */
START_TEST(a_new_table_with_blocked_networks_drops_what_begins_until_it_has_settled)
{
    struct conf *conf = read_conf("[Block]\nNetworks=192.0.2.0/24\n"), *without = read_conf("[Block]\nPorts=25\n");
    struct ruleset_spec spec = {.mode = VERDICT_MODE_SECURE, .status = "", .conf = conf, .settling = true};
    ck_assert(ruleset_must_settle(conf) && !ruleset_must_settle(without));
    for (int i = 0; i < 2; i++) {
        struct ruleset_batch *batch = ruleset_encode(&spec, RULESET_CREATE, 0, 0, 0, 1);
        ck_assert_int_eq(has_rule(batch, "[Block] Networks, in a moment"), spec.settling);
        ck_assert(has_rule(batch, "[Block] Networks"));
        ruleset_batch_free(batch);
        spec.settling = false;
    }
    conf_free(conf);
    conf_free(without);
}
END_TEST

/* ---- sets ---- */

/* The elements of a set as text: "0a000000 0b000000! " (! ends an interval). */
struct element_text {
    char text[2048];
    size_t used;
};

static int print_key(const struct nlattr *attribute, void *data)
{
    struct element_text *text = data;
    const struct nlattr *value;
    const unsigned char *bytes;
    if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_KEY) {
        value = mnl_attr_get_payload(attribute); /* NFTA_DATA_VALUE */
        bytes = mnl_attr_get_payload(value);
        for (uint16_t i = 0; i < mnl_attr_get_payload_len(value); i++)
            text->used += (size_t)sprintf(text->text + text->used, "%02x", bytes[i]);
    }
    return MNL_CB_OK;
}

static int print_flags(const struct nlattr *attribute, void *data)
{
    struct element_text *text = data;
    if (mnl_attr_get_type(attribute) == NFTA_SET_ELEM_FLAGS && ntohl(mnl_attr_get_u32(attribute)) == 1)
        text->used += (size_t)sprintf(text->text + text->used, "!");
    return MNL_CB_OK;
}

static int print_element(const struct nlattr *attribute, void *data)
{
    struct element_text *text = data;
    ck_assert_uint_lt(text->used, sizeof text->text - 64);
    mnl_attr_parse_nested(attribute, print_key, text);
    mnl_attr_parse_nested(attribute, print_flags, text);
    text->used += (size_t)sprintf(text->text + text->used, " ");
    return MNL_CB_OK;
}

static void check_set(const char *conf_text, const char *set, const char *expected)
{
    struct conf *conf = read_conf(conf_text);
    struct ruleset_batch *batch = encode(conf, RULESET_CREATE, VERDICT_MODE_SECURE);
    struct messages messages = split(batch);
    struct element_text text = {0};
    for (size_t i = 0; i < messages.count; i++) {
        if (!is(messages.items[i], NFT_MSG_NEWSETELEM) ||
            strcmp(mnl_attr_get_str(find(messages.items[i], NFTA_SET_ELEM_LIST_SET)), set) != 0)
            continue;
        mnl_attr_parse_nested(find(messages.items[i], NFTA_SET_ELEM_LIST_ELEMENTS), print_element, &text);
    }
    ck_assert_str_eq(text.text, expected);
    ruleset_batch_free(batch);
    conf_free(conf);
}

START_TEST(ports_and_users_become_elements)
{
    check_set("[Redirect]\nPorts=\nPorts=80 8443\n", "web", "0050 20fb ");
    check_set("[Bypass]\nPorts=22\n", "bypass_ports", "0016 ");
    check_set("[Block]\nPorts=25\n", "block_ports", "0019 ");
    check_set("[Block]\nPorts=25\n", "bypass_ports", "");
    check_set("[Block]\nUsers=root\n", "block_users", "00000000 ");
    check_set("[Bypass]\nUsers=root\n", "bypass_users", "00000000 ");
    check_set("[Bypass]\nUsers=not-known root\n", "bypass_users", "00000000 ");
    check_set("[Block]\nUsers=@root @no-such-group\n", "block_users", "00000000 ");
    check_set("", "bypass_users", "");
}
END_TEST

START_TEST(proxies_become_addresses_with_both_ports)
{
    check_set("", "own4", "c00002011f910000 c00002011f900000 ");
    check_set("[SecureChannel]\nEnabled=no\n", "own6", "20010db80000000000000000000000011f900000 ");
}
END_TEST

START_TEST(networks_become_intervals)
{
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=10.0.0.0/8\n", "bypass4", "00000000! 0a000000 0b000000! ");
    check_set("[Bypass]\nNetworks=10.0.0.0/8\n", "bypass4", "00000000! 0a000000 0b000000! ");
    check_set("[Block]\nNetworks=10.0.0.0/8\n", "block4", "00000000! 0a000000 0b000000! ");
    check_set("[Block]\nNetworks=ff00::/8\n", "block6",
              "00000000000000000000000000000000! ff000000000000000000000000000000 ");
    check_set("", "local6",
              "00000000000000000000000000000000! 00000000000000000000000000000001 00000000000000000000000000000002! "
              "fc000000000000000000000000000000 fe000000000000000000000000000000! "
              "fe800000000000000000000000000000 fec00000000000000000000000000000! ff000000000000000000000000000000 ");
    check_set("[Bypass]\nLocalNetworks=no\n", "local6", "");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=192.0.2.7\n", "bypass4", "00000000! c0000207 c0000208! ");
    check_set("[Bypass]\nLocalNetworks=no\n", "bypass4", "");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=10.0.0.0/8\n", "bypass6", "");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=2001:db8::/32\n", "bypass6",
              "00000000000000000000000000000000! 20010db8000000000000000000000000 20010db9000000000000000000000000! ");
}
END_TEST

START_TEST(overlapping_and_adjacent_networks_are_merged)
{
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=10.1.0.0/16 10.0.0.0/8 10.2.3.4\n", "bypass4",
              "00000000! 0a000000 0b000000! ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=10.0.0.128/25 10.0.0.0/25 10.0.2.0/24\n", "bypass4",
              "00000000! 0a000000 0a000100! 0a000200 0a000300! ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=192.0.2.1 192.0.2.1\n", "bypass4", "00000000! c0000201 c0000202! ");
}
END_TEST

START_TEST(networks_at_the_ends_of_the_address_space)
{
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=0.0.0.0/8\n", "bypass4", "00000000 01000000! ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=255.255.255.255 240.0.0.0/4\n", "bypass4", "00000000! f0000000 ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=0.0.0.0/0 10.0.0.0/8\n", "bypass4", "00000000 ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=0.0.0.0/1 128.0.0.0/1\n", "bypass4", "00000000 ");
    check_set("[Bypass]\nLocalNetworks=no\nNetworks=ff00::/8\n", "bypass6",
              "00000000000000000000000000000000! ff000000000000000000000000000000 ");
}
END_TEST

START_TEST(full_configuration_fits_into_short_messages)
{
    char *text = malloc(CONF_NETWORKS_MAX * 32 + 64);
    size_t used = (size_t)sprintf(text, "[Bypass]\n");
    struct conf *conf;
    struct ruleset_batch *batch;
    struct messages messages;
    for (unsigned i = 0; i < CONF_NETWORKS_MAX; i++)
        used += (size_t)sprintf(text + used, "Networks=2001:db8:%x::/56\n", i);
    conf = read_conf(text);
    ck_assert_uint_eq(conf->n_bypass_networks, CONF_NETWORKS_MAX);
    batch = encode(conf, RULESET_REPLACE, VERDICT_MODE_SECURE);
    messages = split(batch);
    ck_assert_uint_lt(messages.count, RULESET_MESSAGES_MAX);
    for (size_t i = 0; i < messages.count; i++)
        ck_assert_uint_lt(messages.items[i]->nlmsg_len, 60000);
    ruleset_batch_free(batch);
    conf_free(conf);
    free(text);
}
END_TEST

/* The numbers of the sets that another configuration changes, as bits. */
static uint32_t differing(const char *text, uid_t own_uid)
{
    struct ruleset_sets_digest usual_digest, digest;
    struct conf *usual = read_conf(""), *conf = read_conf(text);
    ruleset_sets_digest(&(struct ruleset_spec){.conf = usual}, &usual_digest);
    ruleset_sets_digest(&(struct ruleset_spec){.conf = conf, .own_uid = own_uid}, &digest);
    conf_free(usual);
    conf_free(conf);
    return ruleset_sets_differing(&usual_digest, &digest);
}

static uint32_t bit_of(const char *name)
{
    const char *set;
    for (size_t i = 0; (set = ruleset_set_name(i)); i++)
        if (strcmp(set, name) == 0)
            return 1u << i;
    ck_abort_msg("no set %s", name);
}

START_TEST(digest_of_sets_follows_the_elements_alone)
{
    ck_assert_uint_eq(differing("[Redirect]\nPorts=8443\n", 0), bit_of("web"));
    ck_assert_uint_eq(differing("[Bypass]\nPorts=8443\n", 0), bit_of("bypass_ports"));
    ck_assert_uint_eq(differing("[Bypass]\nUsers=root\n", 0), bit_of("bypass_users"));
    ck_assert_uint_eq(differing("[Bypass]\nNetworks=192.0.2.0/24\n", 0), bit_of("bypass4"));
    ck_assert_uint_eq(differing("[Bypass]\nNetworks=2001:db8::/32\n", 0), bit_of("bypass6"));
    ck_assert_uint_eq(differing("[Bypass]\nLocalNetworks=no\n", 0), bit_of("local4") | bit_of("local6"));
    ck_assert_uint_eq(differing("[Block]\nPorts=8443\n", 0), bit_of("block_ports"));
    ck_assert_uint_eq(differing("[Block]\nUsers=root\n", 0), bit_of("block_users"));
    ck_assert_uint_eq(differing("[Block]\nNetworks=192.0.2.0/24 2001:db8::/32\n", 0),
                      bit_of("block4") | bit_of("block6"));
    ck_assert_uint_eq(differing("[Redirect]\nListenPort=15000\n", 5), 0);
}
END_TEST

/* ---- digest of a dump ---- */

static struct nlmsghdr *begin(unsigned char buf[static 512], uint16_t type, uint8_t family)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
    struct nfgenmsg *nfg;
    message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    nfg = mnl_nlmsg_put_extra_header(message, sizeof *nfg);
    nfg->nfgen_family = family;
    return message;
}

static void add_table(struct ruleset_digest *digest, const char *name, uint32_t flags, uint64_t handle, uint8_t family)
{
    unsigned char buf[512];
    struct nlmsghdr *message = begin(buf, NFT_MSG_NEWTABLE, family);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, name);
    mnl_attr_put_u32(message, NFTA_TABLE_FLAGS, htonl(flags));
    mnl_attr_put_u64(message, NFTA_TABLE_HANDLE, handle);
    ruleset_digest_add(digest, message);
}

static void add_rule(struct ruleset_digest *digest, const char *table, const char *expressions, uint64_t handle)
{
    unsigned char buf[512];
    struct nlmsghdr *message = begin(buf, NFT_MSG_NEWRULE, NFPROTO_INET);
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, table);
    mnl_attr_put_strz(message, NFTA_RULE_CHAIN, "chain");
    mnl_attr_put_u64(message, NFTA_RULE_HANDLE, handle);
    mnl_attr_put_u64(message, NFTA_RULE_POSITION, handle - 1);
    mnl_attr_put_strz(message, NFTA_RULE_EXPRESSIONS, expressions);
    ruleset_digest_add(digest, message);
}

static void add_elements(struct ruleset_digest *digest, const char *set, const char *one, const char *two)
{
    unsigned char buf[512];
    struct nlmsghdr *message = begin(buf, NFT_MSG_NEWSETELEM, NFPROTO_INET);
    struct nlattr *list;
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, "penstock");
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set);
    list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    mnl_attr_put_strz(message, NFTA_LIST_ELEM, one);
    if (two)
        mnl_attr_put_strz(message, NFTA_LIST_ELEM, two);
    mnl_attr_nest_end(message, list);
    ruleset_digest_add(digest, message);
}

static struct ruleset_digest usual(void)
{
    struct ruleset_digest digest;
    ruleset_digest_init(&digest);
    add_table(&digest, "penstock", 6, 1, NFPROTO_INET);
    add_rule(&digest, "penstock", "one", 2);
    add_rule(&digest, "penstock", "two", 3);
    add_elements(&digest, "web", "80", "443");
    return digest;
}

START_TEST(digest_ignores_handles_order_of_elements_and_other_tables)
{
    struct ruleset_digest expected = usual(), digest;
    ruleset_digest_init(&digest);
    ck_assert(!digest.present);
    add_table(&digest, "penstock2", 0, 9, NFPROTO_INET);
    add_table(&digest, "penstock", 0, 9, NFPROTO_IPV4);
    ck_assert(!digest.present);
    add_table(&digest, "penstock", 6, 10, NFPROTO_INET);
    ck_assert(digest.present);
    add_rule(&digest, "other", "one", 11);
    add_rule(&digest, "penstock", "one", 12);
    add_rule(&digest, "penstock", "two", 13);
    add_elements(&digest, "web", "443", NULL);
    add_elements(&digest, "web", "80", NULL);
    ck_assert(ruleset_digest_equal(&digest, &expected));
}
END_TEST

START_TEST(digest_sees_what_was_edited)
{
    struct ruleset_digest expected = usual(), digest = usual();
    add_rule(&digest, "penstock", "three", 4);
    ck_assert(!ruleset_digest_equal(&digest, &expected));
    digest = usual();
    add_elements(&digest, "web", "22", NULL);
    ck_assert(!ruleset_digest_equal(&digest, &expected));

    ruleset_digest_init(&digest); /* rules in another order, an element in another set, other flags */
    add_table(&digest, "penstock", 6, 1, NFPROTO_INET);
    add_rule(&digest, "penstock", "two", 2);
    add_rule(&digest, "penstock", "one", 3);
    add_elements(&digest, "web", "80", "443");
    ck_assert(!ruleset_digest_equal(&digest, &expected));
    ruleset_digest_init(&digest);
    add_table(&digest, "penstock", 6, 1, NFPROTO_INET);
    add_rule(&digest, "penstock", "one", 2);
    add_rule(&digest, "penstock", "two", 3);
    add_elements(&digest, "web", "80", NULL);
    add_elements(&digest, "bypass_ports", "443", NULL);
    ck_assert(!ruleset_digest_equal(&digest, &expected));
    ruleset_digest_init(&digest);
    add_table(&digest, "penstock", 7, 1, NFPROTO_INET);
    add_rule(&digest, "penstock", "one", 2);
    add_rule(&digest, "penstock", "two", 3);
    add_elements(&digest, "web", "80", "443");
    ck_assert(!ruleset_digest_equal(&digest, &expected));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ruleset");
    TCase *tcase = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;
    tcase_add_test(tcase, transaction_has_envelope_numbers_and_one_acknowledgement);
    tcase_add_test(tcase, any_generation_has_no_condition);
    tcase_add_test(tcase, create_makes_the_table_with_its_flags);
    tcase_add_test(tcase, replace_deletes_first);
    tcase_add_test(tcase, new_rules_leave_table_sets_and_counters);
    tcase_add_test(tcase, a_set_of_keys_is_filled_in_place_and_no_other_is_touched);
    tcase_add_test(tcase, a_list_of_intervals_changes_beside_the_old_one);
    tcase_add_test(tcase, remove_needs_no_spec);
    tcase_add_test(tcase, messages_are_described);
    tcase_add_test(tcase, each_mode_has_its_rules);
    tcase_add_test(tcase, a_new_table_with_blocked_networks_drops_what_begins_until_it_has_settled);
    tcase_add_test(tcase, ports_and_users_become_elements);
    tcase_add_test(tcase, proxies_become_addresses_with_both_ports);
    tcase_add_test(tcase, networks_become_intervals);
    tcase_add_test(tcase, overlapping_and_adjacent_networks_are_merged);
    tcase_add_test(tcase, networks_at_the_ends_of_the_address_space);
    tcase_add_test(tcase, full_configuration_fits_into_short_messages);
    tcase_add_test(tcase, digest_of_sets_follows_the_elements_alone);
    tcase_add_test(tcase, digest_ignores_handles_order_of_elements_and_other_tables);
    tcase_add_test(tcase, digest_sees_what_was_edited);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
