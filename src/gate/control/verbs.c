/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/verbs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RELOAD_SECONDS 12. /* then it is answered without waiting for the relays any longer; a prober has 10 */

enum wait { WAIT_TEST, WAIT_SESSIONS, WAIT_RELOAD };

/* One client that gets (the rest of) its answer later. */
struct request {
    struct request *next;
    struct control_client *client;
    enum wait wait;
    uint64_t list_id;                           /* WAIT_SESSIONS; 0: waits for another list to end */
    bool sent[CONF_SERVERS_MAX][STATUS_STAGES]; /* WAIT_TEST */
};

struct verbs {
    struct ev_loop *loop;
    struct verbs_ops ops;
    void *data;
    struct request *waiting;
    uint64_t list_id; /* of the list that is being made or was made last */
    bool list_running;
    ev_timer reload_timer;
};

/* Sends and frees line; NULL ends the answer with what was sent. */
static void send_line(struct control_client *client, char *line)
{
    if (line)
        control_send(client, line);
    free(line);
}

static void answer(struct control_client *client, char *line)
{
    send_line(client, line);
    control_finish(client);
}

static struct request *add_waiting(struct verbs *verbs, struct control_client *client, enum wait wait)
{
    struct request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->client = client;
    request->wait = wait;
    request->next = verbs->waiting;
    verbs->waiting = request;
    control_set_data(client, request);
    return request;
}

static void remove_waiting(struct verbs *verbs, struct request *request)
{
    struct request **link = &verbs->waiting;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
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

void verbs_on_report(struct verbs *verbs, const struct test_report *report)
{
    for (struct request *request = verbs->waiting; request; request = request->next) {
        if (request->wait != WAIT_TEST)
            continue;
        for (uint32_t i = 0; i < report->n_servers; i++) {
            for (int stage = 0; stage < STATUS_STAGES; stage++) {
                char *line = NULL;

                if (!request->sent[i][stage])
                    line = status_stage_json(&report->servers[i], (enum status_stage)stage);
                request->sent[i][stage] = request->sent[i][stage] || line;
                send_line(request->client, line);
            }
        }
    }
}

void verbs_on_test_end(struct verbs *verbs, const char *why)
{
    struct request *next;
    for (struct request *request = verbs->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_TEST)
            answer_waiting(verbs, request, why ? status_error_json(why) : verbs->ops.status(verbs->data));
    }
}

static void start_test(struct verbs *verbs, struct control_client *client)
{
    struct request *request = add_waiting(verbs, client, WAIT_TEST);
    if (!request)
        answer(client, NULL);
    else if (!verbs->ops.test(verbs->data))
        answer_waiting(verbs, request, status_error_json("the prober is being started; try again in a moment"));
}

/* ---- sessions ---- */

/* One list serves all who wait for one. */
static void start_list(struct verbs *verbs)
{
    bool any = false;
    if (verbs->list_running)
        return;
    for (struct request *request = verbs->waiting; request; request = request->next) {
        if (request->wait != WAIT_SESSIONS || request->list_id != 0)
            continue;
        request->list_id = verbs->list_id + 1;
        any = true;
    }
    if (!any)
        return;
    verbs->list_id++;
    verbs->list_running = true;
    verbs->ops.list_sessions(verbs->list_id, verbs->data);
}

void verbs_on_session(struct verbs *verbs, const struct ipc_session *session)
{
    char *line = status_session_json(session);
    for (struct request *request = verbs->waiting; line && request; request = request->next)
        if (request->wait == WAIT_SESSIONS && request->list_id == session->request_id)
            control_send(request->client, line);
    free(line);
}

void verbs_on_sessions_end(struct verbs *verbs, uint64_t id)
{
    struct request *next;
    for (struct request *request = verbs->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_SESSIONS && request->list_id == id)
            answer_waiting(verbs, request, NULL);
    }
    verbs->list_running = false;
    start_list(verbs);
}

static void start_sessions(struct verbs *verbs, struct control_client *client)
{
    if (add_waiting(verbs, client, WAIT_SESSIONS))
        start_list(verbs);
    else
        answer(client, NULL);
}

/* ---- reload ---- */

static void answer_reloads(struct verbs *verbs, bool ok, const struct status_texts *texts)
{
    struct request *next;
    ev_timer_stop(verbs->loop, &verbs->reload_timer);
    for (struct request *request = verbs->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_RELOAD)
            answer_waiting(verbs, request, status_reload_json(ok, texts));
    }
}

void verbs_on_reloaded(struct verbs *verbs, const struct status_texts *warnings)
{
    answer_reloads(verbs, true, warnings);
}

void verbs_on_reload_refused(struct verbs *verbs, const char *error)
{
    struct status_texts *errors = calloc(1, sizeof *errors);
    if (!errors)
        return;
    status_add_text(errors, "%s", error);
    answer_reloads(verbs, false, errors);
    free(errors);
}

static void reload_timeout_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct status_texts *warnings = calloc(1, sizeof *warnings);
    if (!warnings)
        return;
    status_add_text(warnings, "not all relays have taken the configuration yet");
    verbs_on_reloaded(watcher->data, warnings);
    free(warnings);
}

static void start_reload(struct verbs *verbs, struct control_client *client)
{
    struct status_texts *errors = calloc(1, sizeof *errors);
    if (!errors)
        answer(client, NULL);
    else if (!verbs->ops.reload(errors, verbs->data))
        answer(client, status_reload_json(false, errors));
    else if (!add_waiting(verbs, client, WAIT_RELOAD))
        answer(client, status_reload_json(true, errors));
    else if (!ev_is_active(&verbs->reload_timer)) {
        ev_timer_set(&verbs->reload_timer, RELOAD_SECONDS, 0.);
        ev_timer_start(verbs->loop, &verbs->reload_timer);
    }
    free(errors);
}

/* ---- verbs ---- */

static void do_status(struct verbs *verbs, struct control_client *client)
{
    answer(client, verbs->ops.status(verbs->data));
}

static void do_config(struct verbs *verbs, struct control_client *client)
{
    char *text = verbs->ops.config(verbs->data);
    answer(client, text ? status_config_json(text) : NULL);
    free(text);
}

static const struct {
    const char *verb;
    bool privileged;
    void (*run)(struct verbs *verbs, struct control_client *client);
} known[] = {
    {"status", false, do_status}, {"test", true, start_test},     {"sessions", true, start_sessions},
    {"config", true, do_config},  {"reload", true, start_reload},
};

static void request_cb(struct control_client *client, const char *verb, bool privileged, void *data)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].verb, verb) != 0)
            continue;
        if (known[i].privileged && !privileged)
            answer(client, status_error_json("permission denied: only root may ask for that"));
        else
            known[i].run(data, client);
        return;
    }
    answer(client, status_error_json("unknown request"));
}

static void gone_cb(struct control_client *client, void *data)
{
    struct request *request = control_data(client);
    if (request)
        remove_waiting(data, request);
}

const struct control_cbs verbs_control_cbs = {.request = request_cb, .gone = gone_cb};

struct verbs *verbs_new(struct ev_loop *loop, const struct verbs_ops *ops, void *data)
{
    struct verbs *verbs = calloc(1, sizeof *verbs);
    if (!verbs)
        return NULL;
    verbs->loop = loop;
    verbs->ops = *ops;
    verbs->data = data;
    ev_timer_init(&verbs->reload_timer, reload_timeout_cb, 0., 0.);
    verbs->reload_timer.data = verbs;
    return verbs;
}

void verbs_free(struct verbs *verbs)
{
    if (!verbs)
        return;
    ev_timer_stop(verbs->loop, &verbs->reload_timer);
    while (verbs->waiting) {
        struct request *request = verbs->waiting;
        verbs->waiting = request->next;
        free(request);
    }
    free(verbs);
}
