/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "relay/http/private.h"

enum step requests_end(struct requests *requests, enum reason reason, const char *detail)
{
    requests->failure = (struct link_failure){.reason = reason};
    snprintf(requests->failure.detail, sizeof requests->failure.detail, "%s", detail);
    return STEP_OVER;
}

enum step requests_end_no_memory(struct requests *requests)
{
    return requests_end(requests, REASON_NO_MEMORY, "");
}

enum step requests_end_bad(struct requests *requests, int http_status, const char *why)
{
    requests->http_status = http_status;
    return requests_end(requests, REASON_BAD_REQUEST, why);
}

enum step requests_end_client(struct requests *requests, const struct lane *lane)
{
    if (lane->fault_status == STREAM_RESET)
        return requests_end(requests, REASON_CLIENT_RESET, "");
    return requests_end(requests, REASON_CLIENT_ERROR, stream_error(requests->client));
}

enum step requests_end_proxy(struct requests *requests, enum lane_status status)
{
    if (status == LANE_ENDED)
        return requests_end(requests, REASON_PROXY_ERROR, "the proxy ended the connection inside an answer");
    if (requests->down.fault_status == STREAM_RESET)
        return requests_end(requests, REASON_PROXY_RESET, "");
    return requests_end(requests, REASON_PROXY_ERROR, stream_error(link_stream(requests->link)));
}

/* As if it had not been asked; what the client has said behind it stays. */
static void requests_rewind(struct requests *requests)
{
    requests_drop_link(requests);
    lane_drop_head(&requests->up);
    lane_fini(&requests->down, requests->means->buffers);
    requests->sent = requests->unsent = false;
    requests->state = REQUESTS_WAIT;
}

/* A connection that had waited may have been closed while the request was on its way: one that may be repeated (RFC
 * 9110 section 9.2.2) is, once. */
enum step requests_unanswered(struct requests *requests, enum lane_status status)
{
    bool reset = status == LANE_SOURCE_FAILED && requests->down.fault_status == STREAM_RESET;
    if (requests->heard)
        return requests_end(requests, REASON_PROXY_CLOSED, "inside the head of its answer");
    if (requests->link_idled && requests->head.repeatable) {
        requests_rewind(requests);
        requests->want_fresh = true;
        return STEP_WANT_LINK;
    }
    link_ended_unheard(requests->link, reset, &requests->failure);
    if (!requests->failure.proxy_at_fault || !requests->head.repeatable)
        return STEP_OVER;
    requests_rewind(requests);
    return STEP_NO_ANSWER;
}
