/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/verbs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "model/verb.h"

#define OUT_OF_MEMORY "{\"error\": \"out of memory\"}"

enum wait { WAIT_TEST, WAIT_SESSIONS, WAIT_TOP, WAIT_RELOAD };

/* One client that gets (the rest of) its answer later. */
struct request {
    LIST_ENTRY(request) entry;
    struct control_client *client;
    enum wait wait;
    uint64_t id;                              /* of the test, list or reload; 0: waits for another list to end */
    bool sent[CONF_SERVERS_MAX][STAGE_COUNT]; /* WAIT_TEST */
};

LIST_HEAD(requests, request);

struct verbs {
    struct verbs_parts parts;
    struct requests waiting;
    uint64_t list_id; /* of the list that is being made or was made last */
    bool listing;
};

/* Takes line over, the last one; NULL: there was no memory for it. */
static void answer(struct control_client *client, char *line)
{
    control_send(client, line ? line : OUT_OF_MEMORY);
    control_finish(client);
    free(line);
}

/* NULL: answered already, there is no memory. */
static struct request *add_waiting(struct verbs *verbs, struct control_client *client, enum wait wait)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request) {
        answer(client, NULL);
        return NULL;
    }
    request->client = client;
    request->wait = wait;
    LIST_INSERT_HEAD(&verbs->waiting, request, entry);
    control_set_data(client, request);
    return request;
}

static void remove_waiting(struct verbs *verbs, struct request *request)
{
    LIST_REMOVE(request, entry);
    assert(control_data(request->client) == request);
    control_set_data(request->client, NULL);
    free(request);
}

/* The last line of one that waited. */
static void answer_waiting(struct verbs *verbs, struct request *request, char *line)
{
    struct control_client *client = request->client;
    remove_waiting(verbs, request);
    answer(client, line);
}

/* ---- test ---- */

/* False: that stage has not ended. */
static bool send_stage(struct request *request, const struct server_report *server, enum stage stage)
{
    char *line = status_stage_json(server, stage);
    if (!line)
        return false;
    control_send(request->client, line);
    free(line);
    return true;
}

void verbs_on_report(struct verbs *verbs, const struct test_report *report)
{
    struct request *request;
    LIST_FOREACH(request, &verbs->waiting, entry) {
        if (request->wait != WAIT_TEST || request->id != report->test_id)
            continue;
        for (uint32_t i = 0; i < report->n_servers; i++)
            for (int stage = 0; stage < STAGE_COUNT; stage++)
                request->sent[i][stage] =
                    request->sent[i][stage] || send_stage(request, &report->servers[i], (enum stage)stage);
    }
}

static void start_test(struct verbs *verbs, struct control_client *client)
{
    uint64_t id = test_run_test_now(verbs->parts.test_run);
    struct request *request;
    if (id == 0) {
        answer(client, status_error_json("the prober is being started; try again in a moment"));
        return;
    }
    request = add_waiting(verbs, client, WAIT_TEST);
    if (request)
        request->id = id;
}

static void settle_test(struct verbs *verbs, struct request *request)
{
    const char *why;
    if (test_run_is_over(verbs->parts.test_run, request->id, &why))
        answer_waiting(verbs, request, why ? status_error_json(why) : status_of(verbs->parts.status));
}

/* ---- sessions ---- */

static bool waits_for_list(const struct request *request)
{
    return request->wait == WAIT_SESSIONS || request->wait == WAIT_TOP;
}

/* One list serves all who wait for one. */
static void start_list(struct verbs *verbs)
{
    struct request *request;
    bool any = false;
    if (verbs->listing)
        return;
    LIST_FOREACH(request, &verbs->waiting, entry) {
        if (!waits_for_list(request) || request->id != 0)
            continue;
        request->id = verbs->list_id + 1;
        any = true;
    }
    if (!any)
        return;
    verbs->list_id++;
    verbs->listing = true;
    children_list_sessions(verbs->parts.children, verbs->list_id);
}

void verbs_on_session(struct verbs *verbs, const struct ipc_session *session)
{
    char *line = status_session_json(session);
    struct request *request;
    LIST_FOREACH(request, &verbs->waiting, entry)
        if (waits_for_list(request) && request->id == session->request_id)
            control_send(request->client, line ? line : OUT_OF_MEMORY);
    free(line);
}

void verbs_on_sum(struct verbs *verbs, const struct ipc_sum *sum)
{
    char *line = NULL;
    struct request *request;
    LIST_FOREACH(request, &verbs->waiting, entry) {
        if (request->wait != WAIT_TOP || request->id != sum->request_id)
            continue;
        line = line ? line : status_sum_json(&sum->sum);
        control_send(request->client, line ? line : OUT_OF_MEMORY);
    }
    free(line);
}

void verbs_on_sessions_end(struct verbs *verbs, uint64_t list_id)
{
    struct request *next;
    assert(verbs->listing && list_id == verbs->list_id);
    for (struct request *request = LIST_FIRST(&verbs->waiting); request; request = next) {
        struct control_client *client = request->client;
        next = LIST_NEXT(request, entry);
        if (!waits_for_list(request) || request->id != list_id)
            continue;
        remove_waiting(verbs, request);
        control_finish(client);
    }
    verbs->listing = false;
}

static void start_sessions(struct verbs *verbs, struct control_client *client, enum wait wait)
{
    add_waiting(verbs, client, wait); /* the list begins in verbs_settle() */
}

/* ---- reload ---- */

static void start_reload(struct verbs *verbs, struct control_client *client)
{
    struct request *request = add_waiting(verbs, client, WAIT_RELOAD);
    if (request)
        request->id = reload_request(verbs->parts.reload);
}

static void settle_reload(struct verbs *verbs, struct request *request)
{
    const struct reload *reload = verbs->parts.reload;
    if (reload_is_over(reload, request->id))
        answer_waiting(verbs, request, status_reload_json(!reload->refused, reload_texts(reload)));
}

/* ---- verbs ---- */

static void do_status(struct verbs *verbs, struct control_client *client)
{
    answer(client, status_of(verbs->parts.status));
}

static void do_config(struct verbs *verbs, struct control_client *client)
{
    answer(client, status_config_of(verbs->parts.reload->conf, false));
}

static void do_config_with_secrets(struct verbs *verbs, struct control_client *client)
{
    answer(client, status_config_of(verbs->parts.reload->conf, true));
}

static void run(struct verbs *verbs, enum verb verb, struct control_client *client)
{
    switch (verb) {
    case VERB_STATUS:
        do_status(verbs, client);
        return;
    case VERB_TEST:
        start_test(verbs, client);
        return;
    case VERB_SESSIONS:
        start_sessions(verbs, client, WAIT_SESSIONS);
        return;
    case VERB_TOP:
        start_sessions(verbs, client, WAIT_TOP);
        return;
    case VERB_CONFIG:
        do_config(verbs, client);
        return;
    case VERB_CONFIG_SECRETS:
        do_config_with_secrets(verbs, client);
        return;
    case VERB_RELOAD:
        start_reload(verbs, client);
        return;
    case VERB_CHECK: /* need no daemon */
    case VERB_EXPLAIN:
    case VERB_HISTORY:
    case VERB_MONITOR:
    case VERB_HELP:
    case VERB_VERSION:
    case VERB_COUNT:
        break;
    }
    answer(client, status_error_json("unknown request"));
}

static void request_cb(struct control_client *client, const char *word, bool privileged, void *data)
{
    enum verb verb = verb_of(word);
    if (verb != VERB_COUNT && verb_right(verb) == VERB_FOR_ROOT && !privileged)
        answer(client, status_error_json("permission denied: only root may ask for that"));
    else
        run(data, verb, client);
}

static void gone_cb(struct control_client *client, void *data)
{
    struct request *request = control_data(client);
    if (request)
        remove_waiting(data, request);
}

const struct control_cbs verbs_control_cbs = {.request = request_cb, .gone = gone_cb};

void verbs_settle(struct verbs *verbs)
{
    struct request *next;
    for (struct request *request = LIST_FIRST(&verbs->waiting); request; request = next) {
        next = LIST_NEXT(request, entry);
        switch (request->wait) {
        case WAIT_TEST:
            settle_test(verbs, request);
            break;
        case WAIT_RELOAD:
            settle_reload(verbs, request);
            break;
        case WAIT_SESSIONS: /* these end by a message */
        case WAIT_TOP:
            break;
        }
    }
    start_list(verbs);
}

void verbs_stop(struct verbs *verbs)
{
    while (!LIST_EMPTY(&verbs->waiting))
        answer_waiting(verbs, LIST_FIRST(&verbs->waiting), status_error_json("penstockd is stopping"));
}

struct verbs *verbs_new(const struct verbs_parts *parts)
{
    struct verbs *verbs = calloc(1, sizeof *verbs);
    if (verbs)
        verbs->parts = *parts;
    return verbs;
}

void verbs_free(struct verbs *verbs)
{
    if (!verbs)
        return;
    while (!LIST_EMPTY(&verbs->waiting)) {
        struct request *request = LIST_FIRST(&verbs->waiting);
        LIST_REMOVE(request, entry);
        free(request);
    }
    free(verbs);
}
