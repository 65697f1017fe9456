/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/modules.h"

#include <netinet/in.h>
/* The C library's before the kernel's. */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "gate/rules/encode/batch.h"
#include "gate/rules/encode/objects.h"
#include "gate/rules/encode/rule.h"
#include "gate/rules/nfsocket.h"
#include "gate/rules/table.h"

#define TABLE       "penstock_probe" /* nobody ever sees it */
#define CHAIN       "probe"
#define COUNTER     "probe"
#define TIMEOUT_MS  5000
#define COUNT_OF(a) (sizeof a / sizeof((a)[0]))

static const struct ruleset_chain filter_chain = {CHAIN, "filter", NF_INET_LOCAL_OUT, NF_IP_PRI_FILTER};
static const struct ruleset_chain input_chain = {CHAIN, "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER};
static const struct ruleset_chain nat_chain = {CHAIN, "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST};

static void fill_nothing(struct rule *rule)
{
    rule_accept(rule);
}
static void fill_fib(struct rule *rule)
{
    rule_daddr_local(rule);
}
static void fill_reject(struct rule *rule)
{
    rule_reject(rule);
}
static void fill_ct(struct rule *rule)
{
    rule_ct_original(rule);
}
static void fill_label(struct rule *rule)
{
    rule_ct_label(rule, 1);
}
static void fill_redirect(struct rule *rule)
{
    rule_dport(rule, IPPROTO_TCP, 1);
    rule_redirect(rule, 1);
}
static void fill_socket(struct rule *rule)
{
    rule_socket_foreign(rule);
}
static void fill_objref(struct rule *rule)
{
    rule_counter(rule, COUNTER);
}

/* Names as in Debian's kernels; where they are built in, nothing is missing. */
static const struct part {
    const char *modules;
    const struct ruleset_chain *chain;
    void (*fill)(struct rule *rule);
} parts[] = {
    {"nft_fib_inet", &filter_chain, fill_fib},
    {"nft_reject_inet", &filter_chain, fill_reject},
    {"nft_ct", &filter_chain, fill_ct},
    {"nft_chain_nat", &nat_chain, fill_nothing},
    {"nft_redir", &nat_chain, fill_redirect},
    {"nft_objref", &filter_chain, fill_objref},
    {"connection labels (CONFIG_NF_CONNTRACK_LABELS)", &filter_chain, fill_label},
    {"nft_socket", &input_chain, fill_socket},
};

/* The kernel's error for a table of its own with one rule. Without an end the transaction is rolled back, whatever the
 * kernel thinks of it. */
static int try_part(struct nfsocket *socket, const struct part *part)
{
    struct ruleset_batch *batch = ruleset_batch_new(TABLE, 0, nfsocket_take_seq(socket, RULESET_MESSAGES_MAX));
    struct rule *rule;
    int r = -ENOMEM;
    if (!batch)
        return r;
    ruleset_table_create(batch, 0, "never committed");
    ruleset_counter_create(batch, COUNTER);
    ruleset_chain_create(batch, part->chain);
    rule = rule_new(batch, CHAIN);
    part->fill(rule);
    rule_finish(rule, "tried");
    if (ruleset_batch_finish_open(batch)) {
        struct nfsocket_answer answer = {.first_seq = ruleset_batch_first_seq(batch),
                                         .last_seq = ruleset_batch_last_seq(batch)};
        size_t size;
        const void *data = ruleset_batch_data(batch, &size);
        r = nfsocket_exchange(socket, data, size, &answer);
    }
    ruleset_batch_free(batch);
    return r;
}

/* The modules of the running kernel go with the package when a newer one takes its place. */
static const char *advice(void)
{
    struct utsname kernel;
    char path[sizeof kernel.release + 16];
    if (uname(&kernel) < 0)
        return "";
    snprintf(path, sizeof path, "/lib/modules/%s", kernel.release);
    return access(path, F_OK) < 0 && errno == ENOENT
               ? "; its modules are not installed any more: reboot into the "
                 "installed kernel"
               : "; load them (modprobe), or, if the kernel was upgraded since the "
                 "boot, reboot into the installed one";
}

static int say(int error, char ret_text[static MODULES_TEXT_MAX])
{
    char text[TABLE_ERROR_MAX];
    table_explain(error, "trying the kernel's nf_tables", text);
    snprintf(ret_text, MODULES_TEXT_MAX, "%s", text);
    return error;
}

static int try_all(struct nfsocket *socket, char ret_text[static MODULES_TEXT_MAX])
{
    char names[MODULES_TEXT_MAX / 2] = "";
    int missing = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        size_t length = strlen(names);
        int r = try_part(socket, &parts[i]);
        /* An expression or a type of chain that nobody provides; an object, on older kernels. */
        if (r == -ENOENT || r == -EOPNOTSUPP) {
            snprintf(names + length, sizeof names - length, "%s%s", missing > 0 ? ", " : "", parts[i].modules);
            missing++;
        } else if (r < 0) {
            return say(r, ret_text);
        }
    }
    if (missing > 0)
        snprintf(ret_text, MODULES_TEXT_MAX, "the running kernel lacks %s%s", names, advice());
    return missing;
}

int modules_missing(char ret_text[static MODULES_TEXT_MAX])
{
    struct nfsocket *socket = nfsocket_new();
    int r;
    if (!socket)
        return say(-errno, ret_text);
    nfsocket_set_deadline(socket, TIMEOUT_MS);
    r = try_all(socket, ret_text);
    nfsocket_free(socket);
    return r;
}
