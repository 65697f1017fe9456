/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/encode/batch.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A netlink attribute counts its bytes in 16 bits, so no message of ours can be longer than this. */
#define MESSAGE_MAX (UINT16_MAX + 4096u)
#define WHAT_MAX    192

struct ruleset_batch {
    const char *table;
    unsigned char *buf;
    size_t used, size;
    struct nlmsghdr *current; /* started, not committed */
    char (*what)[WHAT_MAX];   /* of message first_seq + index */
    uint32_t n_what;
    uint32_t first_seq, table_seq;
    uint32_t staged; /* sets, a bit for each */
    bool failed;
    bool open; /* without an end */
};

static bool reserve(struct ruleset_batch *batch)
{
    unsigned char *buf;
    if (batch->size - batch->used >= MESSAGE_MAX)
        return true;
    buf = realloc(batch->buf, batch->used + 2 * MESSAGE_MAX);
    if (!buf)
        return false;
    memset(buf + batch->used, 0, 2 * MESSAGE_MAX); /* attributes are padded with what is there */
    batch->buf = buf;
    batch->size = batch->used + 2 * MESSAGE_MAX;
    return true;
}

static bool describe(struct ruleset_batch *batch, const char *format, va_list args)
{
    char(*what)[WHAT_MAX] = realloc(batch->what, (batch->n_what + 1) * sizeof *what);

    if (!what)
        return false;
    batch->what = what;
    vsnprintf(what[batch->n_what], sizeof what[0], format, args);
    batch->n_what++;
    assert(batch->n_what <= RULESET_MESSAGES_MAX);
    return true;
}

/* family AF_UNSPEC with the subsystem as res_id: how begin and end of a batch look. */
static struct nlmsghdr *start(struct ruleset_batch *batch, uint16_t type, uint16_t flags, uint8_t family,
                              uint16_t res_id, const char *format, va_list args)
{
    uint32_t seq = batch->first_seq + batch->n_what;
    struct nfgenmsg *nfg;
    assert(!batch->current);
    if (batch->failed || !reserve(batch) || !describe(batch, format, args)) {
        batch->failed = true;
        return NULL;
    }
    batch->current = mnl_nlmsg_put_header(batch->buf + batch->used);
    batch->current->nlmsg_type = type;
    batch->current->nlmsg_flags = NLM_F_REQUEST | flags;
    batch->current->nlmsg_seq = seq;
    nfg = mnl_nlmsg_put_extra_header(batch->current, sizeof *nfg);
    nfg->nfgen_family = family;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = htons(res_id);
    return batch->current;
}

static struct nlmsghdr *start_envelope(struct ruleset_batch *batch, uint16_t type, const char *format, ...)
{
    struct nlmsghdr *message;
    va_list args;
    va_start(args, format);
    message = start(batch, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES, format, args);
    va_end(args);
    return message;
}

struct nlmsghdr *ruleset_batch_message(struct ruleset_batch *batch, uint16_t type, uint16_t flags, const char *what,
                                       ...)
{
    struct nlmsghdr *message;
    va_list args;
    va_start(args, what);
    message = start(batch, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, NFPROTO_INET, 0, what, args);
    va_end(args);
    return message;
}

void ruleset_batch_commit(struct ruleset_batch *batch)
{
    if (!batch->current)
        return; /* out of memory */
    assert(batch->current->nlmsg_len <= MESSAGE_MAX);
    batch->used += MNL_ALIGN(batch->current->nlmsg_len);
    batch->current = NULL;
}

void ruleset_batch_mark_table(struct ruleset_batch *batch)
{
    if (batch->current)
        batch->table_seq = batch->current->nlmsg_seq;
}

void ruleset_batch_fail(struct ruleset_batch *batch)
{
    batch->failed = true;
}

void ruleset_batch_refer_to_staged(struct ruleset_batch *batch, uint32_t sets)
{
    batch->staged = sets;
}

uint32_t ruleset_batch_staged(const struct ruleset_batch *batch)
{
    return batch->staged;
}

struct ruleset_batch *ruleset_batch_new(const char *table, uint32_t generation, uint32_t first_seq)
{
    struct ruleset_batch *batch = calloc(1, sizeof *batch);
    struct nlmsghdr *message;
    if (!batch)
        return NULL;
    batch->table = table;
    batch->first_seq = first_seq;
    message = start_envelope(batch, NFNL_MSG_BATCH_BEGIN, "the transaction");
    if (message && generation != 0)
        mnl_attr_put_u32(message, NFNL_BATCH_GENID, htonl(generation));
    ruleset_batch_commit(batch);
    return batch;
}

/* Errors come for every message; an acknowledgement is asked for only once, so that the answer stays short. */
static void acknowledge_last(struct ruleset_batch *batch)
{
    struct nlmsghdr *message = (struct nlmsghdr *)batch->buf, *last = message;
    for (size_t at = 0; at < batch->used; at += MNL_ALIGN(message->nlmsg_len)) {
        message = (struct nlmsghdr *)(batch->buf + at);
        last = message;
    }
    last->nlmsg_flags |= NLM_F_ACK;
}

bool ruleset_batch_finish_open(struct ruleset_batch *batch)
{
    assert(!batch->current);
    if (batch->failed)
        return false;
    acknowledge_last(batch);
    batch->open = true;
    return true;
}

bool ruleset_batch_finish(struct ruleset_batch *batch)
{
    if (!ruleset_batch_finish_open(batch))
        return false;
    batch->open = false;
    start_envelope(batch, NFNL_MSG_BATCH_END, "the transaction's end");
    ruleset_batch_commit(batch);
    return !batch->failed;
}

void ruleset_batch_free(struct ruleset_batch *batch)
{
    if (!batch)
        return;
    free(batch->what);
    free(batch->buf);
    free(batch);
}

const char *ruleset_batch_table(const struct ruleset_batch *batch)
{
    return batch->table;
}

const void *ruleset_batch_data(const struct ruleset_batch *batch, size_t *ret_size)
{
    *ret_size = batch->used;
    return batch->buf;
}

uint32_t ruleset_batch_first_seq(const struct ruleset_batch *batch)
{
    return batch->first_seq;
}

uint32_t ruleset_batch_last_seq(const struct ruleset_batch *batch)
{
    assert(batch->n_what >= 3); /* begin, at least one message, end; or two of them */
    return batch->first_seq + batch->n_what - (batch->open ? 1 : 2);
}

uint32_t ruleset_batch_table_seq(const struct ruleset_batch *batch)
{
    return batch->table_seq;
}

const char *ruleset_batch_describe(const struct ruleset_batch *batch, uint32_t seq)
{
    uint32_t index = seq - batch->first_seq;
    return index < batch->n_what ? batch->what[index] : "the transaction";
}
