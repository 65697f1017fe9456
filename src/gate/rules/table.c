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
#include "gate/rules/nfsocket.h"
#include "gate/rules/snapshot.h"

#define TIMEOUT_MS      5000
#define COUNT_MS        1000
#define TRIES_MAX       5    /* against others who change their own rules at the same moment */
#define TABLE_F_PERSIST 0x4u /* linux 6.9; not in older headers */

struct table {
    struct nfsocket *socket; /* NULL: not open yet */
    bool owned;              /* claim the table */
    bool known;              /* known_state is what the kernel had after our last transaction */
    bool closed;             /* by table_close() */
    struct snapshot known_state;
    struct ruleset_sets_digest known_sets; /* the elements that our sets have then */
};

static int read_snapshot(struct table *table, struct snapshot *ret_snapshot)
{
    return snapshot_read(table->socket, table->known ? &table->known_state : NULL, ret_snapshot);
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
    r = snapshot_generation(table->socket, &generation);
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

struct failure {
    int error;
    char *text; /* TABLE_ERROR_MAX */
};

static enum outcome commit(struct table *table, const struct ruleset_batch *batch, struct failure *failure)
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
    failure->error = answer.error == 0 ? fail(failure->text, r, "", "talking to nf_tables")
                                       : fail(failure->text, r, answer.hint, "kernel refused %s",
                                              ruleset_batch_describe(batch, answer.error_seq));
    return OUTCOME_REFUSED;
}

static uint32_t sets_to_renew(const struct table *table, const struct ruleset_spec *spec)
{
    struct ruleset_sets_digest wanted;
    ruleset_sets_digest(spec, &wanted);
    return ruleset_sets_differing(&wanted, &table->known_sets);
}

static enum outcome encode_and_commit(struct table *table, const struct ruleset_spec *spec, enum ruleset_change change,
                                      uint32_t sets, uint32_t generation, struct failure *failure)
{
    uint32_t flags = table->owned ? NFT_TABLE_F_OWNER | TABLE_F_PERSIST : 0;
    struct ruleset_batch *batch =
        ruleset_encode(spec, change, sets, flags, generation, nfsocket_take_seq(table->socket, RULESET_MESSAGES_MAX));
    enum outcome outcome;
    if (!batch) {
        failure->error = fail(failure->text, -ENOMEM, "", "encoding the rules");
        return OUTCOME_REFUSED;
    }
    outcome = commit(table, batch, failure);
    ruleset_batch_free(batch);
    return outcome;
}

/* The kernel skips 0, which stands for any, and after which none is known. */
static uint32_t next_generation(uint32_t generation)
{
    return generation == 0 ? 0 : generation + 1 != 0 ? generation + 1 : 1;
}

/* Fills the chains, and the sets that differ. generation is that of the last transaction. */
static enum outcome change_in_place(struct table *table, const struct ruleset_spec *spec, uint32_t *generation,
                                    struct failure *failure)
{
    static const enum ruleset_change staging[] = {RULESET_STAGE, RULESET_SWITCH};
    uint32_t sets = sets_to_renew(table, spec), intervals = ruleset_sets_intervals(sets);
    for (size_t i = 0; intervals != 0 && i < sizeof staging / sizeof staging[0]; i++) {
        enum outcome outcome = encode_and_commit(table, spec, staging[i], sets, *generation, failure);
        if (outcome != OUTCOME_DONE)
            return outcome;
        table->known = false; /* a set beside the others */
        *generation = next_generation(*generation);
    }
    return encode_and_commit(table, spec, RULESET_RULES, intervals != 0 ? intervals : sets, *generation, failure);
}

/* What has to be done so that the kernel's table becomes what spec says. */
static enum ruleset_change change_for(const struct table *table, const struct snapshot *snapshot)
{
    if (!snapshot->digest.present)
        return RULESET_CREATE;
    if (!table->known || table->closed || !ruleset_digest_equal(&snapshot->digest, &table->known_state.digest))
        return RULESET_REPLACE;
    return RULESET_RULES;
}

/* In two transactions where the first one's lists may come into sight after its rules. */
static enum outcome make_anew(struct table *table, const struct ruleset_spec *spec, enum ruleset_change change,
                              uint32_t *generation, struct failure *failure)
{
    struct ruleset_spec first = *spec;
    enum outcome outcome;
    first.settling = ruleset_must_settle(spec->conf);
    outcome = encode_and_commit(table, &first, change, 0, *generation, failure);
    if (outcome != OUTCOME_DONE || !first.settling)
        return outcome;
    table->known = false;
    *generation = next_generation(*generation);
    return encode_and_commit(table, spec, RULESET_RULES, 0, *generation, failure);
}

static enum outcome change_to(struct table *table, const struct ruleset_spec *spec, enum ruleset_change change,
                              uint32_t *generation, struct failure *failure)
{
    if (change == RULESET_RULES)
        return change_in_place(table, spec, generation, failure);
    return make_anew(table, spec, change, generation, failure);
}

/* Remembers what the kernel has now, if it is certain that it is what we gave it: ours was the only transaction since
 * before. */
static int remember(struct table *table, uint32_t before)
{
    struct snapshot snapshot = {0};
    int r;
    table->known = false;
    r = read_snapshot(table, &snapshot);
    if (r < 0)
        return r;
    table->known = snapshot.digest.present && snapshot.generation == next_generation(before);
    table->known_state = snapshot;
    return 0;
}

int table_apply(struct table *table, const struct ruleset_spec *spec, char ret_error[static TABLE_ERROR_MAX])
{
    struct failure failure = {.text = ret_error, .error = table_open(table, ret_error)};
    int tries = 0;
    if (failure.error < 0)
        return failure.error;
    for (;;) {
        struct snapshot before = {0};
        uint32_t generation;
        bool last = tries == TRIES_MAX - 1;
        int r = read_snapshot(table, &before);
        /* Where others keep changing their rules, ours are in the end set without knowing that nobody came between. */
        if (r == -EAGAIN) {
            table->known = false;
            last = true;
        } else if (r < 0) {
            return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
        }
        generation = last ? 0 : before.generation;
        switch (change_to(table, spec, change_for(table, &before), &generation, &failure)) {
        case OUTCOME_REFUSED:
            return failure.error;
        case OUTCOME_NOT_OWNED:
            table->owned = false;
            break;
        case OUTCOME_STALE:
            if (last)
                return fail(ret_error, -EAGAIN, "", "setting up table inet " RULESET_TABLE);
            tries++;
            break;
        case OUTCOME_DONE:
            r = remember(table, last ? before.generation : generation);
            table->closed = false;
            ruleset_sets_digest(spec, &table->known_sets);
            if (r < 0 && r != -EAGAIN)
                return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
            if (table->known || last)
                return 0;
            tries++;
            break;
        }
    }
}

static enum outcome close_step(struct table *table, const struct closing_spec *spec, struct failure *failure)
{
    struct ruleset_batch *batch = closing_encode(spec, 0, nfsocket_take_seq(table->socket, RULESET_MESSAGES_MAX));
    enum outcome outcome;
    if (!batch) {
        failure->error = fail(failure->text, -ENOMEM, "", "encoding the rules");
        return OUTCOME_REFUSED;
    }
    outcome = commit(table, batch, failure);
    ruleset_batch_free(batch);
    return outcome;
}

/* As make_anew(). generation: of the last transaction before ours, then of the one before our last. */
static enum outcome close_once(struct table *table, struct closing_spec *spec, uint32_t *generation,
                               struct failure *failure)
{
    enum outcome outcome;
    spec->settling = ruleset_must_settle(spec->conf);
    spec->settled = false;
    outcome = close_step(table, spec, failure);
    if (outcome != OUTCOME_DONE || !spec->settling)
        return outcome;
    spec->present = spec->settled = true;
    spec->settling = false;
    *generation = next_generation(*generation);
    return close_step(table, spec, failure);
}

int table_close(struct table *table, const struct conf *conf, const char *why, char ret_error[static TABLE_ERROR_MAX])
{
    struct snapshot before = {0};
    struct closing_spec spec = {.conf = conf, .why = why};
    struct failure failure = {.error = -EAGAIN, .text = ret_error};
    enum outcome outcome;
    int r = table_open(table, ret_error);
    if (r < 0)
        return r;
    r = read_snapshot(table, &before);
    if (r < 0 && r != -EAGAIN)
        return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
    spec.present = before.digest.present;
    outcome = close_once(table, &spec, &before.generation, &failure);
    if (outcome != OUTCOME_DONE) {
        spec.drop = true;
        outcome = close_once(table, &spec, &before.generation, &failure);
    }
    if (outcome != OUTCOME_DONE)
        return failure.error;
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
    struct failure failure = {.text = ret_error, .error = table_open(table, ret_error)};
    if (failure.error == -EPROTONOSUPPORT)
        return 0;
    if (failure.error < 0)
        return failure.error;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct snapshot before = {0};
        int r = read_snapshot(table, &before);

        if (r < 0 && r != -EAGAIN)
            return fail(ret_error, r, "", "reading table inet " RULESET_TABLE);
        if (!before.digest.present)
            return 0;
        if (tries == TRIES_MAX - 1)
            before.generation = 0; /* whatever others do with theirs at the same time */
        switch (encode_and_commit(table, NULL, RULESET_REMOVE, 0, before.generation, &failure)) {
        case OUTCOME_DONE:
            table->known = false;
            return 0;
        case OUTCOME_REFUSED:
            return failure.error;
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
