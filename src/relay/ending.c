/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/ending.h"

#include <sys/socket.h>

#include "relay/answer.h"

void ending_refuse(struct lingering *lingering, struct stream *client, enum sniff_kind kind, enum reason reason,
                   int http_status, const char *detail)
{
    char answer[ANSWER_MAX];
    size_t n, length = answer_write(kind, reason, http_status, detail, answer);
    bool told = length > 0 && reason != REASON_CLIENT_GONE && stream_write(client, answer, length, &n) == STREAM_OK &&
                n == length && stream_shutdown_write(client) == STREAM_OK;
    if (told)
        lingering_add(lingering, client, NULL, LINGER_FOR_END);
    else
        stream_free(client, true);
}

/* Both directions have ended in order. */
static void end_in_order(struct lingering *lingering, struct settings *settings, const struct pump *pump, bool secure)
{
    struct stream *proxy = pump->streams[PUMP_PROXY];
    /* Nobody has an abandoned client's socket any more: a reset only spares its host a TIME_WAIT and conntrack a two
     * minutes' entry, which would make the next user of the port look like coming from another one. */
    stream_free(pump->streams[PUMP_CLIENT], pump->abandoned);
    if (pump->abandoned)
        lingering_add(lingering, proxy, settings, LINGER_THEN_RESET);
    else if (secure) /* the proxy has said its end in TLS; its FIN may still be on the way */
        lingering_add(lingering, proxy, settings, LINGER_FOR_END);
    else
        stream_free(proxy, false);
}

/* The failed one is reset at once, the other behind the bytes that came before the failure. */
static void end_broken(struct lingering *lingering, struct settings *settings, const struct pump *pump)
{
    bool client_failed = pump->fault_side == PUMP_CLIENT;
    stream_free(pump->streams[pump->fault_side], true);
    lingering_add(lingering, pump->streams[client_failed ? PUMP_PROXY : PUMP_CLIENT], settings, LINGER_THEN_RESET);
}

void ending_tunnel(struct lingering *lingering, struct settings *settings, const struct pump *pump, enum reason reason,
                   bool secure)
{
    /* After a cut nothing may go out any more, not even what was on its way. */
    if (reason == REASON_DONE) {
        end_in_order(lingering, settings, pump, secure);
    } else if (pump->fault != FLOW_FAULT_NONE && reason != REASON_CUT) {
        end_broken(lingering, settings, pump);
    } else {
        stream_free(pump->streams[PUMP_CLIENT], true);
        stream_free(pump->streams[PUMP_PROXY], true);
    }
}

enum reason ending_fault_reason(const struct pump *pump, bool secure)
{
    char byte;
    if (pump->fault == FLOW_FAULT_MEMORY)
        return REASON_NO_MEMORY;
    if (pump->fault_side == PUMP_CLIENT)
        return pump->fault_status == STREAM_RESET ? REASON_CLIENT_RESET : REASON_CLIENT_ERROR;
    if (pump->fault_status == STREAM_RESET)
        return REASON_PROXY_RESET;
    /* A FIN without close_notify before it is a failure for TLS, but the socket below has simply ended. */
    if (secure && recv(pump->streams[PUMP_PROXY]->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        return REASON_PROXY_TRUNCATED;
    return REASON_PROXY_ERROR;
}
