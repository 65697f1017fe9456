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

void ending_in_order(struct lingering *lingering, struct settings *settings, struct stream *client,
                     struct stream *proxy, bool secure)
{
    stream_free(client, false);
    /* The proxy has said its end in TLS; its FIN may still be on the way. */
    if (secure)
        lingering_add(lingering, proxy, settings, LINGER_FOR_END);
    else
        stream_free(proxy, false);
}

void ending_broken(struct lingering *lingering, struct settings *settings, struct stream *failed, struct stream *whole)
{
    stream_free(failed, true);
    lingering_add(lingering, whole, settings, LINGER_THEN_RESET);
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
