/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/answer.h"
#include "relay/http/private.h"

#define SHARE (1024 * 1024) /* bytes that may move before others have their turn */

static enum step answer_is_garbage(struct requests *requests, const char *detail)
{
    return requests_end(requests, REASON_PROXY_GARBAGE, detail);
}

/* ---- the proxy asks us who we are ---- */

/* The client has not been asked by its server, and cannot answer: who configures us can. */
static enum step answer_wants_credentials(struct requests *requests, struct span text)
{
    struct answer answer = {0};
    char detail[DETAIL_MAX];
    size_t used;
    (void)answer_read(&answer, text.text, text.length, &used);
    bool basic = answer.basic || !answer.hint[0];
    snprintf(detail, sizeof detail, "the proxy asks for authentication (407)%s%s: %s", answer.hint[0] ? ", by " : "",
             answer.hint,
             basic ? "set Header=Proxy-Authorization: ... in [Proxy] of penstock.conf"
                   : "Header= in [Proxy] of penstock.conf can carry Basic alone");
    enum step step = requests_end(requests, REASON_PROXY_REFUSED, detail);
    requests->failure.cause = basic ? CAUSE_PROXY_AUTHENTICATION : CAUSE_PROXY_AUTHENTICATION_SCHEME;
    requests->http_status = 407;
    return step;
}

/* ---- heads ---- */

static bool answer_set_head(struct requests *requests, const struct answer_head *head,
                            const struct answer_client *client)
{
    size_t size = ANSWER_HEAD_ADDED + FIELDS_MAX + head->reason.length + head->fields.length;
    char *text = malloc(size);
    int length = text ? answer_head_write(head, client, text, size) : -1;
    if (length < 0) {
        free(text);
        return false;
    }
    lane_set_head(&requests->down, text, (size_t)length);
    requests->passing = requests->told = true;
    return true;
}

/* RFC 9110 section 15.2: a client of HTTP/1.0 knows none. */
static enum step answer_take_interim(struct requests *requests, const struct answer_head *head, size_t length)
{
    struct answer_client client = {requests->head.minor, true};
    if (client.minor > 0 && !answer_set_head(requests, head, &client))
        return requests_end_no_memory(requests);
    body_init(&requests->down.body, head->framing, false, NULL, NULL);
    lane_drop(&requests->down, length);
    return STEP_ON;
}

/* The client may go on when it can tell where the answer ends, and we where its request did. */
static enum step answer_take_final(struct requests *requests, const struct answer_head *head, size_t length)
{
    struct answer_client client = {.minor = requests->head.minor};
    bool decoded = answer_is_decoded(head, &client);
    requests->keep = requests->head.keep_alive && requests->sent && head->framing.kind != FRAMING_CLOSE && !decoded;
    client.keep_alive = requests->keep;
    requests->link_good = head->keep_alive;
    requests->bound |= head->binds;
    requests->http_status = head->status;
    requests->final = true;
    if (!answer_set_head(requests, head, &client))
        return requests_end_no_memory(requests);
    body_init(&requests->down.body, head->framing, decoded, NULL, NULL);
    lane_drop(&requests->down, length);
    return STEP_ON;
}

static enum step answer_take(struct requests *requests, struct span text)
{
    struct answer_head head;
    if (!answer_head_read(text, span_is_exactly(requests->head.method, "HEAD"), &head))
        return answer_is_garbage(requests, "its head is no HTTP, or gives two lengths");
    if (head.status == 101)
        return answer_is_garbage(requests, "it changes to a protocol that nobody has asked for");
    if (head.status == 407)
        return answer_wants_credentials(requests, text);
    return answer_is_interim(&head) ? answer_take_interim(requests, &head, text.length)
                                    : answer_take_final(requests, &head, text.length);
}

enum step answer_read_head(struct requests *requests)
{
    struct lane *down = &requests->down;
    struct span text;
    enum lane_status status = lane_read_head(down, requests->means->buffers, link_stream(requests->link), &text);
    requests->heard |= lane_left(down) > 0;
    if (lane_left(down) > 0 && !answer_may_begin(lane_bytes(down), lane_left(down)))
        return answer_is_garbage(requests, "");
    if (status == LANE_DONE)
        return answer_take(requests, text);
    if (requests_note_wait(requests, down, status))
        return STEP_WAIT;
    if (status == LANE_TOO_LARGE)
        return requests_end(requests, REASON_PROXY_HEADER, "");
    if (status == LANE_NO_MEMORY)
        return requests_end_no_memory(requests);
    return requests_unanswered(requests, status);
}

/* ---- the way to the client ---- */

static enum step answer_finished(struct requests *requests)
{
    struct lane *down = &requests->down;
    bool truncated = down->truncated;
    requests->count++;
    free(requests->text);
    requests->text = NULL;
    requests->told = false;
    requests->state = REQUESTS_LISTEN;
    /* A byte that nobody has asked for belongs to nobody. */
    requests->link_rests = requests->link_good && requests->sent && !down->ended && lane_left(down) == 0 &&
                           !stream_pending(link_stream(requests->link));
    lane_fini(down, requests->means->buffers);
    if (!requests->link_rests)
        requests_drop_link(requests);
    requests->cb(requests, REQUESTS_ANSWERED, requests->data);
    if (!requests->keep || (requests->client_ended && lane_left(&requests->up) == 0))
        return requests_end(requests, truncated ? REASON_PROXY_TRUNCATED : REASON_DONE, "");
    return STEP_ON;
}

enum step answer_pass(struct requests *requests)
{
    struct lane *down = &requests->down;
    enum lane_status status =
        lane_move(down, requests->means->buffers, link_stream(requests->link), requests->client, SHARE);
    if (requests_note_wait(requests, down, status))
        return STEP_WAIT;
    switch (status) {
    case LANE_DONE:
        requests->passing = false;
        if (requests->final)
            return answer_finished(requests);
        requests->told = false; /* an interim answer is none */
        return STEP_ON;
    case LANE_ENDED:
    case LANE_SOURCE_FAILED:
        return requests_end_proxy(requests, status);
    case LANE_SINK_FAILED:
        return requests_end_client(requests, down);
    case LANE_BAD:
        return answer_is_garbage(requests, "its chunks are none");
    case LANE_NO_MEMORY:
        return requests_end_no_memory(requests);
    case LANE_TOO_LARGE:
    case LANE_TURN:
    case LANE_SOURCE_READ:
    case LANE_SOURCE_WRITE:
    case LANE_SINK_READ:
    case LANE_SINK_WRITE:
        break;
    }
    assert(!"a status that says nothing");
}
