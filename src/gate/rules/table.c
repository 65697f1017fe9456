/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/encode/closing.h"
#include "gate/rules/encode/digest.h"
#include "gate/rules/nfsocket.h"

#define TIMEOUT_MS      5000
#define COUNT_MS        1000
#define TRIES_MAX       5    /* against others who change their own rules at the same moment */
#define TABLE_F_PERSIST 0x4u /* linux 6.9; not in older headers */

/* What a dump found. generation counts the kernel's rule transactions, of all tables; 0 is none. */
struct snapshot {
    uint32_t generation;
    struct ruleset_digest digest;
};

struct table {
    struct nfsocket *socket; /* NULL: not open yet */
    bool owned;              /* claim the table */
    bool known;              /* known_state is what the kernel had after our last transaction */
    bool closed;             /* by table_close() */
    struct snapshot known_state;
    uint64_t known_sets; /* digest of the elements that our sets have then */
};

/* ---- reading ---- */

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

static int read_generation(struct table *table, uint32_t *ret_generation)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(table->socket, buf, NFT_MSG_GETGEN, 0);
    uint32_t generation = 0;
    struct nfsocket_answer answer = {.first_seq = message->nlmsg_seq,
                                     .last_seq = message->nlmsg_seq,
                                     .single = true,
                                     .message = take_generation,
                                     .data = &generation};
    int r = nfsocket_exchange(table->socket, message, message->nlmsg_len, &answer);
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
static int dump(struct table *table, uint16_t type, uint16_t table_attribute, uint16_t set_attribute, const char *set,
                struct ruleset_digest *digest)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(table->socket, buf, type, NLM_F_DUMP);
    struct nfsocket_answer answer = {
        .first_seq = message->nlmsg_seq, .last_seq = message->nlmsg_seq, .message = take_object, .data = digest};
    int r;
    if (table_attribute != 0)
        mnl_attr_put_strz(message, table_attribute, RULESET_TABLE);
    if (set_attribute != 0)
        mnl_attr_put_strz(message, set_attribute, set);
    r = nfsocket_exchange(table->socket, message, message->nlmsg_len, &answer);
    if (r == -ENOENT && answer.error != 0)
        return 0;
    return r == 0 && answer.interrupted ? -EINTR : r;
}

static int dump_all(struct table *table, struct ruleset_digest *digest)
{
    const char *set;
    int r;
    ruleset_digest_init(digest);
    r = dump(table, NFT_MSG_GETTABLE, 0, 0, NULL, digest);
    if (r < 0 || !digest->present)
        return r;
    r = dump(table, NFT_MSG_GETCHAIN, 0, 0, NULL, digest);
    if (r >= 0)
        r = dump(table, NFT_MSG_GETRULE, NFTA_RULE_TABLE, 0, NULL, digest);
    if (r >= 0)
        r = dump(table, NFT_MSG_GETOBJ, NFTA_OBJ_TABLE, 0, NULL, digest);
    if (r >= 0)
        r = dump(table, NFT_MSG_GETSET, NFTA_SET_TABLE, 0, NULL, digest);
    for (size_t i = 0; r >= 0 && (set = ruleset_set_name(i)); i++)
        r = dump(table, NFT_MSG_GETSETELEM, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, set, digest);
    return r;
}

/* The table as it is, all of one moment: the generation is the same before and after. -EAGAIN: others change rules all
 * the time; of ret_snapshot only digest.present is filled then. */
static int read_snapshot(struct table *table, struct snapshot *ret_snapshot)
{
    for (int try = 0; try < TRIES_MAX; try++) {
        struct snapshot snapshot;
        uint32_t after;
        int r = read_generation(table, &snapshot.generation);

        if (r < 0)
            return r;
        /* Nothing at all happened to any table since then. */
        if (table->known && snapshot.generation == table->known_state.generation) {
            *ret_snapshot = table->known_state;
            return 0;
        }
        r = dump_all(table, &snapshot.digest);
        ret_snapshot->digest.present = snapshot.digest.present;
        if (r >= 0)
            r = read_generation(table, &after);
        if (r < 0 && r != -EINTR)
            return r;
        if (r >= 0 && after == snapshot.generation) {
            *ret_snapshot = snapshot;
            return 0;
        }
    }
    return -EAGAIN;
}

/* ---- writing ---- */

static const char *hint_of(int error)
{
    switch (error) {
    case -EPERM:
        return "CAP_NET_ADMIN is missing, or another program owns the table";
    case -EAGAIN:
        return "other programs keep changing the rules";
    default:
        return "";
    }
}

static int fail(char ret_error[static TABLE_ERROR_MAX], int error, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "kernel refused …: Operation not supported (hint)"; returns error. */
static int fail(char ret_error[static TABLE_ERROR_MAX], int error, const char *hint, const char *format, ...)
{
    char what[TABLE_ERROR_MAX / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (hint[0] == '\0')
        hint = hint_of(error);
    snprintf(ret_error, TABLE_ERROR_MAX, hint[0] != '\0' ? "%s: %s (%s)" : "%s: %s", what, strerror(-error), hint);
    return error;
}

void table_explain(int error, const char *what, char ret_error[static TABLE_ERROR_MAX])
{
    /* Without nfnetlink there is no such socket, without nf_tables no such subsystem. */
    bool absent = error == -EPROTONOSUPPORT || error == -EINVAL;
    fail(ret_error, error,
         error == -EPERM ? "CAP_NET_ADMIN is missing"
         : absent        ? "this kernel has no nf_tables; is its module there and may it be loaded?"
                         : "",
         "%s", what);
}

/* -EINVAL: nfnetlink is there, and has no such subsystem. */
static int open_table(struct table *table)
{
    uint32_t generation;
    int r;
    table->socket = nfsocket_new();
    if (!table->socket)
        return -errno;
    nfsocket_set_deadline(table->socket, TIMEOUT_MS);
    r = read_generation(table, &generation);
    if (r < 0) {
        nfsocket_free(table->socket);
        table->socket = NULL;
    }
    return r == -EINVAL ? -EPROTONOSUPPORT : r;
}

int table_open(struct table *table, char ret_error[static TABLE_ERROR_MAX])
{
    int r = table->socket ? 0 : open_table(table);
    if (r < 0)
        table_explain(r, "opening nf_tables", ret_error);
    else
        nfsocket_set_deadline(table->socket, TIMEOUT_MS);
    return r;
}

enum outcome {
    OUTCOME_DONE,
    OUTCOME_STALE,     /* the rules are of another generation than expected: look again */
    OUTCOME_NOT_OWNED, /* the kernel cannot give us the table to keep: go on without */
    OUTCOME_REFUSED,
};

static enum outcome commit(struct table *table, const struct ruleset_batch *batch, int *ret_error,
                           char ret_text[static TABLE_ERROR_MAX])
{
    struct nfsocket_answer answer = {.first_seq = ruleset_batch_first_seq(batch),
                                     .last_seq = ruleset_batch_last_seq(batch)};
    size_t size;
    const void *data = ruleset_batch_data(batch, &size);
    int r = nfsocket_exchange(table->socket, data, size, &answer);
    if (r >= 0)
        return OUTCOME_DONE;
    /* What the kernel refuses changes nothing; but what is refused as a change is next tried as a whole, which the
     * table of last resort has coming anyway. */
    table->known = table->known && table->closed && answer.error != 0;
    if (answer.error == -ERESTART)
        return OUTCOME_STALE;
    if (table->owned && answer.error_seq == ruleset_batch_table_seq(batch) &&
        (answer.error == -EOPNOTSUPP || answer.error == -EINVAL))
        return OUTCOME_NOT_OWNED;
    *ret_error = answer.error == 0 ? fail(ret_text, r, "", "talking to nf_tables")
                                   : fail(ret_text, r, answer.hint, "kernel refused %s",
                                          ruleset_batch_describe(batch, answer.error_seq));
    return OUTCOME_REFUSED;
}

static enum outcome encode_and_commit(struct table *table, const struct ruleset_spec *spec, enum ruleset_change change,
                                      uint32_t generation, int *ret_error, char ret_text[static TABLE_ERROR_MAX])
{
    uint32_t flags = table->owned ? NFT_TABLE_F_OWNER | TABLE_F_PERSIST : 0;
    struct ruleset_batch *batch =
        ruleset_encode(spec, change, flags, generation, nfsocket_take_seq(table->socket, RULESET_MESSAGES_MAX));
    enum outcome outcome;
    if (!batch) {
        *ret_error = fail(ret_text, -ENOMEM, "", "encoding the rules");
        return OUTCOME_REFUSED;
    }
    outcome = commit(table, batch, ret_error, ret_text);
    ruleset_batch_free(batch);
    return outcome;
}

/* What has to be done so that the kernel's table becomes what spec says. */
static enum ruleset_change change_for(const struct table *table, const struct ruleset_spec *spec,
                                      const struct snapshot *snapshot)
{
    if (!snapshot->digest.present)
        return RULESET_CREATE;
    if (!table->known || table->closed || !ruleset_digest_equal(&snapshot->digest, &table->known_state.digest))
        return RULESET_REPLACE;
    return ruleset_sets_digest(spec) == table->known_sets ? RULESET_RULES : RULESET_REFILL;
}

/* Remembers what the kernel has now, if it is certain that it is what we gave it: ours was the only transaction since
 * before. */
static int remember(struct table *table, uint32_t before)
{
    struct snapshot snapshot = {0};
    uint32_t expected = before + 1 != 0 ? before + 1 : 1; /* the kernel skips 0 */
    int r;
    table->known = false;
    r = read_snapshot(table, &snapshot);
    if (r < 0)
        return r;
    table->known = snapshot.digest.present && snapshot.generation == expected;
    table->known_state = snapshot;
    return 0;
}

int table_apply(struct table *table, const struct ruleset_spec *spec, char ret_error[static TABLE_ERROR_MAX])
{
    int tries = 0, error = table_open(table, ret_error);
    if (error < 0)
        return error;
    for (;;) {
        struct snapshot before = {0};
        bool last = tries == TRIES_MAX - 1;
        int r = read_snapshot(table, &before);
        /* Where others keep changing their rules, ours are in the end set without knowing that nobody came between. */
        if (r == -EAGAIN) {
            table->known = false;
            last = true;
        } else if (r < 0) {
            return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
        }
        switch (encode_and_commit(table, spec, change_for(table, spec, &before), last ? 0 : before.generation, &error,
                                  ret_error)) {
        case OUTCOME_REFUSED:
            return error;
        case OUTCOME_NOT_OWNED:
            table->owned = false;
            break;
        case OUTCOME_STALE:
            if (last)
                return fail(ret_error, -EAGAIN, "", "setting up table inet " RULESET_TABLE);
            tries++;
            break;
        case OUTCOME_DONE:
            r = remember(table, before.generation);
            table->closed = false;
            table->known_sets = ruleset_sets_digest(spec);
            if (r < 0 && r != -EAGAIN)
                return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
            if (table->known || last)
                return 0;
            tries++;
            break;
        }
    }
}

static enum outcome close_once(struct table *table, const struct closing_spec *spec, int *ret_error,
                               char ret_text[static TABLE_ERROR_MAX])
{
    struct ruleset_batch *batch = closing_encode(spec, 0, nfsocket_take_seq(table->socket, RULESET_MESSAGES_MAX));
    enum outcome outcome;
    if (!batch) {
        *ret_error = fail(ret_text, -ENOMEM, "", "encoding the rules");
        return OUTCOME_REFUSED;
    }
    outcome = commit(table, batch, ret_error, ret_text);
    ruleset_batch_free(batch);
    return outcome;
}

int table_close(struct table *table, const struct conf *conf, const char *why, char ret_error[static TABLE_ERROR_MAX])
{
    struct snapshot before = {0};
    struct closing_spec spec = {.conf = conf, .why = why};
    enum outcome outcome;
    int error = -EAGAIN, r = table_open(table, ret_error);
    if (r < 0)
        return r;
    r = read_snapshot(table, &before);
    if (r < 0 && r != -EAGAIN)
        return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
    spec.present = before.digest.present;
    outcome = close_once(table, &spec, &error, ret_error);
    if (outcome != OUTCOME_DONE) {
        spec.drop = true;
        outcome = close_once(table, &spec, &error, ret_error);
    }
    if (outcome != OUTCOME_DONE)
        return error;
    table->closed = true;
    if (remember(table, before.generation) < 0)
        table->known = false; /* it is there all the same */
    return 0;
}

int table_verify(struct table *table, char ret_error[static TABLE_ERROR_MAX])
{
    struct snapshot snapshot = {0};
    int r;
    if (!table->known)
        return -EAGAIN;
    nfsocket_set_deadline(table->socket, TIMEOUT_MS);
    r = read_snapshot(table, &snapshot);
    if (r == -EAGAIN)
        return r;
    if (r < 0)
        return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
    if (!ruleset_digest_equal(&snapshot.digest, &table->known_state.digest))
        return 0;
    table->known_state.generation = snapshot.generation;
    return 1;
}

int table_remove(struct table *table, char ret_error[static TABLE_ERROR_MAX])
{
    int error = table_open(table, ret_error);
    if (error == -EPROTONOSUPPORT)
        return 0;
    if (error < 0)
        return error;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct snapshot before = {0};
        int r = read_snapshot(table, &before);

        if (r < 0 && r != -EAGAIN)
            return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
        if (!before.digest.present)
            return 0;
        if (tries == TRIES_MAX - 1)
            before.generation = 0; /* whatever others do with theirs at the same time */
        switch (encode_and_commit(table, NULL, RULESET_REMOVE, before.generation, &error, ret_error)) {
        case OUTCOME_DONE:
            table->known = false;
            return 0;
        case OUTCOME_REFUSED:
            return error;
        case OUTCOME_STALE:
        case OUTCOME_NOT_OWNED:
            break;
        }
    }
    return fail(ret_error, -EAGAIN, "", "removing table inet " RULESET_TABLE);
}

/* ---- the object ---- */

struct table *table_new(bool owned)
{
    struct table *table = calloc(1, sizeof *table);
    if (table)
        table->owned = owned;
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    nfsocket_free(table->socket);
    free(table);
}

static void take_counter(const struct nlmsghdr *message, void *data)
{
    counters_add(data, message);
}

static void count(struct table *table, struct counters *counters)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(table->socket, buf, NFT_MSG_GETOBJ, NLM_F_DUMP);
    struct nfsocket_answer answer = {
        .first_seq = message->nlmsg_seq, .last_seq = message->nlmsg_seq, .message = take_counter, .data = counters};
    mnl_attr_put_strz(message, NFTA_OBJ_TABLE, RULESET_TABLE);
    nfsocket_set_deadline(table->socket, COUNT_MS);
    if (nfsocket_exchange(table->socket, message, message->nlmsg_len, &answer) < 0)
        counters->known = false;
}

struct counters table_count(struct table *table)
{
    struct counters counters = {0};
    if (table->socket)
        count(table, &counters);
    return counters;
}

bool table_known(const struct table *table)
{
    return table->known;
}

bool table_owned(const struct table *table)
{
    return table->owned;
}

uint32_t table_portid(const struct table *table)
{
    return table->socket ? nfsocket_portid(table->socket) : 0;
}
