/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/http/requests.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timer.h"
#include "relay/http/private.h"

/* Bytes that one direction may move before others have their turn. */
#define SHARE (1024 * 1024)

#define REQUESTS_KEPT_S 300. /* a client that sends no further request */
#define REQUESTS_HEAD_S 60.  /* and one that does not end it */

#define UNREAD_MAX SNIFF_MAX /* that first_bytes may have given back */

/* ---- waiting ---- */

static void client_ready_cb(int events, void *data);
static void proxy_ready_cb(int events, void *data);

static void requests_watch(struct requests *requests)
{
    struct ev_loop *loop = requests->means->loop;
    ev_timer_stop(loop, &requests->turn);
    if (requests->wants_turn)
        timer_arm(loop, &requests->turn, 0.);
    stream_watch(requests->client, loop, requests->wants_client, client_ready_cb, requests);
    if (requests->link)
        stream_watch(link_stream(requests->link), loop, requests->wants_proxy, proxy_ready_cb, requests);
}

static void requests_want_nothing(struct requests *requests)
{
    requests->wants_client = requests->wants_proxy = 0;
    requests->wants_turn = false;
}

bool requests_note_wait(struct requests *requests, const struct lane *lane, enum lane_status status)
{
    bool up = lane == &requests->up;
    int *source = up ? &requests->wants_client : &requests->wants_proxy;
    int *sink = up ? &requests->wants_proxy : &requests->wants_client;
    switch (status) {
    case LANE_TURN:
        requests->wants_turn = true;
        return true;
    case LANE_SOURCE_READ:
        *source |= STREAM_READABLE;
        return true;
    case LANE_SOURCE_WRITE:
        *source |= STREAM_WRITABLE;
        return true;
    case LANE_SINK_READ:
        *sink |= STREAM_READABLE;
        return true;
    case LANE_SINK_WRITE:
        *sink |= STREAM_WRITABLE;
        return true;
    case LANE_DONE:
    case LANE_ENDED:
    case LANE_BAD:
    case LANE_TOO_LARGE:
    case LANE_SOURCE_FAILED:
    case LANE_SINK_FAILED:
    case LANE_NO_MEMORY:
        break;
    }
    return false;
}

/* ---- a request ---- */

static enum step take_request(struct requests *requests, struct span text)
{
    struct head_fault fault;
    assert(!requests->text);
    requests->text = malloc(text.length);
    if (!requests->text)
        return requests_end_no_memory(requests);
    requests->text_length = text.length;
    requests->http_status = 0;
    memcpy(requests->text, text.text, text.length);
    lane_drop(&requests->up, text.length);
    if (!request_head_read((struct span){requests->text, text.length}, &requests->head, &fault))
        return requests_end_bad(requests, fault.status, fault.why);
    requests->state = REQUESTS_WAIT;
    requests->sent = requests->unsent = requests->heard = requests->told = requests->passing = requests->final = false;
    requests->want_fresh = false;
    requests->bound |= requests->head.binds;
    return requests->head.upgrade ? STEP_WANT_TUNNEL : STEP_WANT_LINK;
}

static enum step listen_ended(struct requests *requests)
{
    bool begun = lane_left(&requests->up) > 0;
    requests->client_ended = true;
    return requests_end(requests, begun ? REASON_CLIENT_GONE : REASON_DONE,
                        begun ? "inside the head of a request" : "");
}

static enum step listen_once(struct requests *requests)
{
    struct span text;
    bool had_begun = lane_left(&requests->up) > 0;
    enum lane_status status = lane_read_head(&requests->up, requests->means->buffers, requests->client, &text);
    if (status == LANE_DONE) {
        size_t empty = head_empty_lines(text.text, text.length);
        if (empty == 0)
            return take_request(requests, text);
        lane_drop(&requests->up, empty);
        return STEP_ON;
    }
    if (!had_begun && lane_left(&requests->up) > 0)
        requests->active_at = ev_now(requests->means->loop);
    if (requests_note_wait(requests, &requests->up, status))
        return STEP_WAIT;
    if (status == LANE_ENDED)
        return listen_ended(requests);
    if (status == LANE_TOO_LARGE)
        return requests_end_bad(requests, 431, "its head is larger than 64 KiB");
    if (status == LANE_NO_MEMORY)
        return requests_end_no_memory(requests);
    return requests->count > 0 && lane_left(&requests->up) == 0 ? requests_end(requests, REASON_DONE, "")
                                                                : requests_end_client(requests, &requests->up);
}

/* A link that rests: what comes over it unasked ends it, and what was bound to it ends with it. */
static enum step listen_to_link(struct requests *requests)
{
    enum stream_status status = stream_look(link_stream(requests->link));
    if (status == STREAM_AGAIN_READ && !stream_pending(link_stream(requests->link))) {
        requests->wants_proxy = STREAM_READABLE;
        return STEP_WAIT;
    }
    requests_drop_link(requests);
    return requests->bound && lane_left(&requests->up) == 0 ? requests_end(requests, REASON_DONE, "") : STEP_WAIT;
}

static enum step requests_listen(struct requests *requests)
{
    enum step step;
    do
        step = listen_once(requests);
    while (step == STEP_ON);
    if (step == STEP_WAIT && requests->link)
        step = listen_to_link(requests);
    return step;
}

/* ---- asking ---- */

/* While the answer is awaited: has the client gone, or does it ask already for more? That is read only in its turn. */
static enum step ask_listen(struct requests *requests)
{
    if (requests->client_ended || lane_left(&requests->up) > 0)
        return STEP_WAIT;
    enum lane_status status = lane_listen(&requests->up, requests->means->buffers, requests->client);
    if (requests_note_wait(requests, &requests->up, status) || status == LANE_DONE)
        return STEP_WAIT;
    if (status == LANE_NO_MEMORY)
        return requests_end_no_memory(requests);
    if (status != LANE_ENDED)
        return requests_end_client(requests, &requests->up);
    requests->client_ended = true;
    stream_keep_tracked(requests->client);
    return STEP_WAIT;
}

static enum step ask_up(struct requests *requests)
{
    struct lane *up = &requests->up;
    if (requests->sent || requests->unsent)
        return requests->sent ? ask_listen(requests) : STEP_WAIT;
    enum lane_status status =
        lane_move(up, requests->means->buffers, requests->client, link_stream(requests->link), SHARE);
    if (requests_note_wait(requests, up, status))
        return STEP_WAIT;
    if (status == LANE_SINK_FAILED) { /* it may have answered before; only reading tells */
        requests->unsent = true;
        return STEP_WAIT;
    }
    if (status == LANE_ENDED)
        return requests_end(requests, REASON_CLIENT_GONE, "inside the body of a request");
    if (status == LANE_BAD)
        return requests_end_bad(requests, 400, "its chunks are none");
    if (status == LANE_NO_MEMORY)
        return requests_end_no_memory(requests);
    if (status != LANE_DONE)
        return requests_end_client(requests, up);
    requests->sent = true;
    return ask_listen(requests);
}

static enum step ask_down(struct requests *requests)
{
    enum step step;
    do
        step = requests->passing ? answer_pass(requests) : answer_read_head(requests);
    while (step == STEP_ON && requests->state == REQUESTS_ASK);
    return step;
}

/* TLS may have to read before it can write, and the other direction may have read just that: no event will tell. */
static enum step requests_ask(struct requests *requests)
{
    enum step step = ask_up(requests);
    if (step == STEP_WAIT)
        step = ask_down(requests);
    if (step == STEP_WAIT && !requests->sent && !requests->unsent && (requests->wants_proxy & STREAM_READABLE) &&
        !stream_is_plain(link_stream(requests->link)))
        step = ask_up(requests);
    return step;
}

/* ---- running ---- */

static void requests_account(struct requests *requests, uint64_t up, uint64_t down)
{
    struct stats *stats = requests->means->stats;
    if (requests->up.delivered == up && requests->down.delivered == down)
        return;
    requests->active_at = ev_now(requests->means->loop);
    stats_add(&stats->bytes_up, requests->up.delivered - up);
    stats_add(&stats->bytes_down, requests->down.delivered - down);
}

/* Whatever it tells, the requests may be gone then: callers return at once. */
static void requests_tell(struct requests *requests, enum step step)
{
    switch (step) {
    case STEP_ON:
    case STEP_WAIT:
        return;
    case STEP_WANT_LINK:
        requests->cb(requests, REQUESTS_WANT_LINK, requests->data);
        return;
    case STEP_WANT_TUNNEL:
        requests->cb(requests, REQUESTS_WANT_TUNNEL, requests->data);
        return;
    case STEP_NO_ANSWER:
        requests->cb(requests, REQUESTS_NO_ANSWER, requests->data);
        return;
    case STEP_OVER:
        requests->state = REQUESTS_ENDED;
        requests->cb(requests, REQUESTS_OVER, requests->data);
        return;
    }
}

static void requests_run(struct requests *requests)
{
    uint64_t up = requests->up.delivered, down = requests->down.delivered;
    enum step step = STEP_ON;
    requests_want_nothing(requests);
    while (step == STEP_ON) {
        assert(requests->state == REQUESTS_LISTEN || requests->state == REQUESTS_ASK);
        step = requests->state == REQUESTS_LISTEN ? requests_listen(requests) : requests_ask(requests);
    }
    if (step != STEP_WAIT)
        requests_want_nothing(requests);
    requests_account(requests, up, down);
    requests_watch(requests);
    requests_tell(requests, step);
}

static void client_ready_cb(int events, void *data)
{
    requests_run(data);
}

static void proxy_ready_cb(int events, void *data)
{
    requests_run(data);
}

static void requests_turn_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct requests *requests = timer->data;
    stream_forget_ready(requests->client);
    if (requests->link)
        stream_forget_ready(link_stream(requests->link));
    requests_run(requests);
}

/* ---- life ---- */

struct requests *requests_new(const struct pump_means *means, struct stream *client, requests_cb *cb, void *data)
{
    struct requests *requests = calloc(1, sizeof *requests);
    if (!requests)
        return NULL;
    requests->means = means;
    requests->client = client;
    requests->cb = cb;
    requests->data = data;
    requests->active_at = ev_now(means->loop);
    lane_init(&requests->up);
    lane_init(&requests->down);
    ev_init(&requests->turn, requests_turn_cb);
    requests->turn.data = requests;
    return requests;
}

void requests_start(struct requests *requests)
{
    ev_feed_event(requests->means->loop, &requests->turn, EV_TIMER);
}

void requests_free(struct requests *requests)
{
    if (!requests)
        return;
    ev_timer_stop(requests->means->loop, &requests->turn);
    stream_watch(requests->client, requests->means->loop, 0, NULL, NULL);
    lane_fini(&requests->up, requests->means->buffers);
    lane_fini(&requests->down, requests->means->buffers);
    link_free(requests->link);
    free(requests->text);
    free(requests);
}

/* ---- what the owner does ---- */

void requests_drop_link(struct requests *requests)
{
    link_free(requests->link);
    requests->link = NULL;
    requests->link_rests = false;
}

static bool requests_write_head(struct requests *requests, const struct request_target *asked)
{
    const struct request_head *head = &requests->head;
    struct request_target target = *asked;
    target.identity = headers_identity(target.conf, target.identity, link_is_secure(requests->link));
    size_t size = request_head_room(head, &target);
    char *text = malloc(size);
    int length = text ? request_head_write(head, &target, text, size) : -ENOMEM;
    if (length < 0) {
        free(text);
        return false;
    }
    lane_set_head(&requests->up, text, (size_t)length);
    return true;
}

bool requests_go(struct requests *requests, struct link *link, bool idled, const struct request_target *target)
{
    assert(requests->state == REQUESTS_WAIT && !link != !requests->link);
    if (link)
        requests->link = link;
    requests->link_idled = idled;
    requests->link_rests = false;
    requests->conf = target->conf;
    if (!requests_write_head(requests, target))
        return false;
    body_init(&requests->up.body, requests->head.framing, false, request_field_is_ours, target->conf);
    requests->state = REQUESTS_ASK;
    requests->active_at = ev_now(requests->means->loop);
    requests_start(requests);
    return true;
}

bool requests_pass_answer(struct requests *requests, struct link *link)
{
    assert(requests->state == REQUESTS_LISTEN && !requests->link);
    requests->link = link;
    requests->text = malloc(1);
    if (!requests->text)
        return false;
    requests->head = (struct request_head){.minor = 1};
    requests->sent = true;
    requests->state = REQUESTS_ASK;
    requests_start(requests);
    return true;
}

struct link *requests_take_link(struct requests *requests)
{
    struct link *link = requests->link;
    if (!requests->link_rests || requests->bound)
        return NULL;
    stream_watch(link_stream(link), requests->means->loop, 0, NULL, NULL);
    requests->link = NULL;
    requests->link_rests = false;
    return link;
}

/* All bytes that have been read since: of this request, behind it, and what an earlier one who gave bytes back has left
 * in the stream, which come before those of the socket. */
int requests_give_back(struct requests *requests)
{
    size_t left = lane_left(&requests->up), length = requests->text_length + left, n = 0;
    char *text = malloc(length + UNREAD_MAX);
    if (!text)
        return -ENOMEM;
    memcpy(text, requests->text, requests->text_length);
    if (left > 0)
        memcpy(text + requests->text_length, lane_bytes(&requests->up), left);
    if (stream_pending(requests->client) && stream_read(requests->client, text + length, UNREAD_MAX, &n) == STREAM_OK)
        length += n;
    assert(!stream_pending(requests->client));
    int result = stream_unread(requests->client, text, length);
    free(text);
    return result;
}

double requests_patience(const struct requests *requests)
{
    const struct lane *up = &requests->up, *down = &requests->down;
    if (requests->state == REQUESTS_LISTEN)
        return lane_left(up) > 0 ? REQUESTS_HEAD_S : REQUESTS_KEPT_S;
    if (!requests->client_ended)
        return SESSION_IDLE_S;
    return down->head || down->run > 0 ? LINGER_STALLED_S : SESSION_HALF_CLOSED_S;
}

bool requests_owe_answer(const struct requests *requests)
{
    return requests->text && !requests->told;
}

bool requests_are_idle(const struct requests *requests)
{
    return !requests->text && lane_left(&requests->up) == 0;
}
