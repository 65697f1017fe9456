/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/session_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/ipc.h"
#include "base/log.h"
#include "model/message_id.h"

#define VIA_MAX      (ADDR_TEXT_MAX + 16)
#define WHO_MAX      (IPC_UNIT_MAX + 48)
#define ASKED_MAX    (NAME_SIZE + 80)
#define REQUESTS_MAX 40

static void via_text(const struct session_log *record, char buf[static VIA_MAX])
{
    char proxy[ADDR_TEXT_MAX];
    const char *mode = route_mode_text(record->mode);
    if (mode)
        snprintf(buf, VIA_MAX, "%s %s", mode, addr_text(record->proxy, proxy));
    else
        snprintf(buf, VIA_MAX, "none");
}

/* "3 requests, ", or nothing for none. */
static const char *requests_text(uint64_t requests, char buf[static REQUESTS_MAX])
{
    buf[0] = '\0';
    if (requests > 0)
        snprintf(buf, REQUESTS_MAX, "%" PRIu64 " request%s, ", requests, requests == 1 ? "" : "s");
    return buf;
}

/* " (text)", or nothing for none. */
static const char *in_brackets(const char *text, char *buf, size_t size)
{
    buf[0] = '\0';
    if (text && *text)
        snprintf(buf, size, " (%s)", text);
    return buf;
}

static void append(char *buf, size_t size, const char *text)
{
    size_t length = strlen(buf);
    if (text && *text)
        snprintf(buf + length, size - length, "%s%s", length > 0 ? "; " : "", text);
}

/* The name, and by what the proxy was asked unless the name says it. */
static const char *asked_text(const struct session_log *record, char buf[static ASKED_MAX])
{
    buf[0] = '\0';
    append(buf, ASKED_MAX, record->name);
    append(buf, ASKED_MAX, record->target == TARGET_NAME ? NULL : target_text(record->target));
    append(buf, ASKED_MAX, record->ech ? "ECH" : NULL);
    return buf;
}

/* " of uid 1000 (backup.service)", as far as it is known. */
static const char *who_text(const struct session_log *record, char buf[static WHO_MAX])
{
    char unit[WHO_MAX];
    buf[0] = '\0';
    if (record->uid)
        snprintf(buf, WHO_MAX, " of uid %s%s", record->uid, in_brackets(record->unit, unit, sizeof unit - 32));
    return buf;
}

void session_log_write(const struct session_log *record)
{
    char client[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX], via[VIA_MAX], up[24], down[24], requests[24];
    char id[24], ms[32], status[16], proxy[ADDR_TEXT_MAX];
    char who[WHO_MAX], asked[ASKED_MAX], name[ASKED_MAX + 8], detail[DETAIL_MAX + 8], words[REQUESTS_MAX];
    via_text(record, via);
    snprintf(up, sizeof up, "%" PRIu64, record->up);
    snprintf(down, sizeof down, "%" PRIu64, record->down);
    snprintf(requests, sizeof requests, "%" PRIu64, record->requests);
    addr_text(record->destination, destination);
    snprintf(id, sizeof id, "%" PRIu64, record->id);
    snprintf(ms, sizeof ms, "%.0f", record->seconds * 1e3);
    snprintf(status, sizeof status, "%d", record->http_status);
    const char *route = route_mode_text(record->mode);
    const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_SESSION},
                                       {"PENSTOCK_SESSION", id},
                                       {"PENSTOCK_STATUS", record->status},
                                       {"PENSTOCK_SERVER", route ? record->server : NULL},
                                       {"PENSTOCK_DURATION_MS", ms},
                                       {"PENSTOCK_HTTP_STATUS", record->http_status > 0 ? status : NULL},
                                       {"PENSTOCK_ADDRESS", route ? addr_text(record->proxy, proxy) : NULL},
                                       {"PENSTOCK_REASON", reason_slug(record->reason)},
                                       {"PENSTOCK_CAUSE", cause_slug(record->cause)},
                                       {"PENSTOCK_UID", record->uid},
                                       {"PENSTOCK_UNIT", record->unit},
                                       {"PENSTOCK_DESTINATION", destination},
                                       {"PENSTOCK_NAME", record->name},
                                       {"PENSTOCK_RULE", record->rule},
                                       {"PENSTOCK_TARGET", target_slug(record->target)},
                                       {"PENSTOCK_ECH", record->ech ? "yes" : NULL},
                                       {"PENSTOCK_ROUTE", route ? route : "none"},
                                       {"PENSTOCK_BYTES_UP", up},
                                       {"PENSTOCK_BYTES_DOWN", down},
                                       {"PENSTOCK_REQUESTS", requests},
                                       {NULL, NULL}};
    log_event(LOG_LEVEL_INFO, fields, "session %s, %s%s -> %s%s via %s: %s up, %s down, %s%.3f s, %s%s", id,
              addr_text(record->client, client), who_text(record, who), destination,
              in_brackets(asked_text(record, asked), name, sizeof name), via, up, down,
              requests_text(record->requests, words), record->seconds, reason_text(record->reason),
              in_brackets(record->detail, detail, sizeof detail));
}
