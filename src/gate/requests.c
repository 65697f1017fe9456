/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/requests.h"

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

struct requests {
    struct ev_loop *loop;
    struct requests_ops ops;
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

static struct request *add_waiting(struct requests *requests, struct control_client *client, enum wait wait)
{
    struct request *request = calloc(1, sizeof(*request));

    if (!request)
        return NULL;
    request->client = client;
    request->wait = wait;
    request->next = requests->waiting;
    requests->waiting = request;
    control_set_data(client, request);
    return request;
}

static void remove_waiting(struct requests *requests, struct request *request)
{
    struct request **link = &requests->waiting;

    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    control_set_data(request->client, NULL);
    free(request);
}

/* The last line of one that waited. */
static void answer_waiting(struct requests *requests, struct request *request, char *line)
{
    struct control_client *client = request->client;

    remove_waiting(requests, request);
    answer(client, line);
}

/* ---- test ---- */

void requests_on_report(struct requests *requests, const struct test_report *report)
{
    for (struct request *request = requests->waiting; request; request = request->next) {
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

void requests_on_test_end(struct requests *requests, const char *why)
{
    struct request *next;

    for (struct request *request = requests->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_TEST)
            answer_waiting(requests, request, why ? status_error_json(why) : requests->ops.status(requests->data));
    }
}

static void start_test(struct requests *requests, struct control_client *client)
{
    struct request *request = add_waiting(requests, client, WAIT_TEST);

    if (!request)
        answer(client, NULL);
    else if (!requests->ops.test(requests->data))
        answer_waiting(requests, request, status_error_json("the prober is being started; try again in a moment"));
}

/* ---- sessions ---- */

/* One list serves all who wait for one. */
static void start_list(struct requests *requests)
{
    bool any = false;

    if (requests->list_running)
        return;
    for (struct request *request = requests->waiting; request; request = request->next) {
        if (request->wait != WAIT_SESSIONS || request->list_id != 0)
            continue;
        request->list_id = requests->list_id + 1;
        any = true;
    }
    if (!any)
        return;
    requests->list_id++;
    requests->list_running = true;
    requests->ops.list_sessions(requests->list_id, requests->data);
}

void requests_on_session(struct requests *requests, const struct ipc_session *session)
{
    char *line = status_session_json(session);

    for (struct request *request = requests->waiting; line && request; request = request->next)
        if (request->wait == WAIT_SESSIONS && request->list_id == session->request_id)
            control_send(request->client, line);
    free(line);
}

void requests_on_sessions_end(struct requests *requests, uint64_t id)
{
    struct request *next;

    for (struct request *request = requests->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_SESSIONS && request->list_id == id)
            answer_waiting(requests, request, NULL);
    }
    requests->list_running = false;
    start_list(requests);
}

static void start_sessions(struct requests *requests, struct control_client *client)
{
    if (add_waiting(requests, client, WAIT_SESSIONS))
        start_list(requests);
    else
        answer(client, NULL);
}

/* ---- reload ---- */

static void answer_reloads(struct requests *requests, bool ok, const struct status_texts *texts)
{
    struct request *next;

    ev_timer_stop(requests->loop, &requests->reload_timer);
    for (struct request *request = requests->waiting; request; request = next) {
        next = request->next;
        if (request->wait == WAIT_RELOAD)
            answer_waiting(requests, request, status_reload_json(ok, texts));
    }
}

void requests_on_reloaded(struct requests *requests, const struct status_texts *warnings)
{
    answer_reloads(requests, true, warnings);
}

void requests_on_reload_refused(struct requests *requests, const char *error)
{
    struct status_texts *errors = calloc(1, sizeof(*errors));

    if (!errors)
        return;
    status_add_text(errors, "%s", error);
    answer_reloads(requests, false, errors);
    free(errors);
}

static void on_reload_timeout(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct status_texts *warnings = calloc(1, sizeof(*warnings));

    (void)revents;
    if (!warnings)
        return;
    status_add_text(warnings, "not all relays have taken the configuration yet");
    requests_on_reloaded(watcher->data, warnings);
    free(warnings);
}

static void start_reload(struct requests *requests, struct control_client *client)
{
    struct status_texts *errors = calloc(1, sizeof(*errors));

    if (!errors)
        answer(client, NULL);
    else if (!requests->ops.reload(errors, requests->data))
        answer(client, status_reload_json(false, errors));
    else if (!add_waiting(requests, client, WAIT_RELOAD))
        answer(client, status_reload_json(true, errors));
    else if (!ev_is_active(&requests->reload_timer)) {
        ev_timer_set(&requests->reload_timer, RELOAD_SECONDS, 0.);
        ev_timer_start(requests->loop, &requests->reload_timer);
    }
    free(errors);
}

/* ---- verbs ---- */

static void do_status(struct requests *requests, struct control_client *client)
{
    answer(client, requests->ops.status(requests->data));
}

static void do_config(struct requests *requests, struct control_client *client)
{
    char *text = requests->ops.config(requests->data);

    answer(client, text ? status_config_json(text) : NULL);
    free(text);
}

static const struct {
    const char *verb;
    bool privileged;
    void (*run)(struct requests *requests, struct control_client *client);
} verbs[] = {
    {"status", false, do_status}, {"test", true, start_test},     {"sessions", true, start_sessions},
    {"config", true, do_config},  {"reload", true, start_reload},
};

static void on_request(struct control_client *client, const char *verb, bool privileged, void *data)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        if (verbs[i].privileged && !privileged)
            answer(client, status_error_json("permission denied: only root may ask for that"));
        else
            verbs[i].run(data, client);
        return;
    }
    answer(client, status_error_json("unknown request"));
}

static void on_gone(struct control_client *client, void *data)
{
    struct request *request = control_data(client);

    if (request)
        remove_waiting(data, request);
}

const struct control_cbs requests_control_cbs = {.request = on_request, .gone = on_gone};

struct requests *requests_new(struct ev_loop *loop, const struct requests_ops *ops, void *data)
{
    struct requests *requests = calloc(1, sizeof(*requests));

    if (!requests)
        return NULL;
    requests->loop = loop;
    requests->ops = *ops;
    requests->data = data;
    ev_timer_init(&requests->reload_timer, on_reload_timeout, 0., 0.);
    requests->reload_timer.data = requests;
    return requests;
}

void requests_free(struct requests *requests)
{
    if (!requests)
        return;
    ev_timer_stop(requests->loop, &requests->reload_timer);
    while (requests->waiting) {
        struct request *request = requests->waiting;

        requests->waiting = request->next;
        free(request);
    }
    free(requests);
}
