/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/close/close.h"

#include <assert.h>

#include "relay/close/refusal.h"

void close_refused(struct lingering *lingering, struct stream *client, enum sniff_kind kind, enum reason reason,
                   int http_status, const char *detail)
{
    char answer[REFUSAL_MAX];
    size_t n, length = refusal_write(kind, reason, http_status, detail, answer);
    bool told = length > 0 && reason != REASON_CLIENT_GONE && stream_write(client, answer, length, &n) == STREAM_OK &&
                n == length && stream_shutdown_write(client) == STREAM_OK;
    if (told)
        lingering_add(lingering, client, LINGER_FOR_END);
    else
        stream_free(client, true);
}

void close_answered(struct lingering *lingering, struct stream *client)
{
    if (stream_shutdown_write(client) == STREAM_OK)
        lingering_add(lingering, client, LINGER_FOR_END);
    else
        stream_free(client, true);
}

/* Both directions have ended in order. */
static void end_in_order(struct lingering *lingering, const struct pump *pump, bool secure)
{
    struct stream *proxy = pump->streams[PUMP_PROXY];
    /* Nobody has an abandoned client's socket any more: a reset only spares its host a TIME_WAIT and conntrack a two
     * minutes' entry, which would make the next user of the port look like coming from another one. */
    stream_free(pump->streams[PUMP_CLIENT], pump->abandoned);
    if (pump->abandoned)
        lingering_add(lingering, proxy, LINGER_THEN_RESET);
    else if (secure) /* the proxy has said its end in TLS; its FIN may still be on the way */
        lingering_add(lingering, proxy, LINGER_FOR_END);
    else
        stream_free(proxy, false);
}

/* The failed one is reset at once, the other behind the bytes that came before the failure. */
static void end_broken(struct lingering *lingering, const struct pump *pump)
{
    bool client_failed = pump->fault_side == PUMP_CLIENT;
    assert(pump->fault != FLOW_FAULT_NONE);
    stream_free(pump->streams[pump->fault_side], true);
    lingering_add(lingering, pump->streams[client_failed ? PUMP_PROXY : PUMP_CLIENT], LINGER_THEN_RESET);
}

/* By our own decision. What came through the proxy belongs to the client whatever happens; but after a cut nothing may
 * go out to the proxy any more, not even what was on its way. */
static void end_early(struct lingering *lingering, const struct pump *pump, bool may_go_out)
{
    lingering_add(lingering, pump->streams[PUMP_CLIENT], LINGER_THEN_RESET);
    if (may_go_out)
        lingering_add(lingering, pump->streams[PUMP_PROXY], LINGER_THEN_RESET);
    else
        stream_free(pump->streams[PUMP_PROXY], true);
}

void close_tunnel(struct lingering *lingering, const struct pump *pump, enum reason reason, bool secure)
{
    if (reason == REASON_DONE || reason == REASON_PROXY_TRUNCATED)
        end_in_order(lingering, pump, secure);
    else if (pump->fault != FLOW_FAULT_NONE && reason != REASON_CUT)
        end_broken(lingering, pump);
    else
        end_early(lingering, pump, reason == REASON_IDLE || reason == REASON_HALF_CLOSED_IDLE);
}

enum reason close_reason(const struct pump *pump)
{
    bool reset = pump->fault_status == STREAM_RESET;
    switch (pump->fault) {
    case FLOW_FAULT_NONE:
        return pump->down.truncated ? REASON_PROXY_TRUNCATED : REASON_DONE;
    case FLOW_FAULT_MEMORY:
        return REASON_NO_MEMORY;
    case FLOW_FAULT_SOURCE:
    case FLOW_FAULT_SINK:
        break;
    }
    if (pump->fault_side == PUMP_CLIENT)
        return reset ? REASON_CLIENT_RESET : REASON_CLIENT_ERROR;
    return reset ? REASON_PROXY_RESET : REASON_PROXY_ERROR;
}
