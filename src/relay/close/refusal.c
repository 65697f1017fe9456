/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/close/refusal.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ALERT_ACCESS_DENIED  49
#define ALERT_INTERNAL_ERROR 80
#define ALERT_NO_EXTENSION   109 /* "missing_extension" of a server that wants a name, RFC 8446 section 9.2 */
#define BODY_MAX             640

static unsigned char alert_of(enum reason reason, int http_status)
{
    if (reason == REASON_NAME_REQUIRED)
        return ALERT_NO_EXTENSION;
    return reason == REASON_RULE || http_status == 403 || http_status == 407 ? ALERT_ACCESS_DENIED
                                                                             : ALERT_INTERNAL_ERROR;
}

static size_t write_alert(enum reason reason, int http_status, char *buf)
{
    const unsigned char alert[] = {21, 3, 1, 0, 2, 2, alert_of(reason, http_status)};
    memcpy(buf, alert, sizeof alert);
    return sizeof alert;
}

static bool is_timeout(enum reason reason)
{
    return reason == REASON_CONNECT_TIMEOUT || reason == REASON_TLS_TIMEOUT || reason == REASON_PROXY_TIMEOUT ||
           reason == REASON_HOLD_EXPIRED;
}

static const char *status_line(enum reason reason, int http_status)
{
    if (reason == REASON_NAME_REQUIRED)
        return "400 Bad Request";
    if (reason == REASON_RULE || http_status == 403)
        return "403 Forbidden";
    if (reason == REASON_BAD_REQUEST)
        return http_status == 431   ? "431 Request Header Fields Too Large"
               : http_status == 501 ? "501 Not Implemented"
                                    : "400 Bad Request";
    return is_timeout(reason) ? "504 Gateway Timeout" : "502 Bad Gateway";
}

static size_t write_response(enum reason reason, int http_status, const char *detail, char *buf)
{
    char body[BODY_MAX];
    bool more = detail && *detail;
    int body_length = snprintf(body, sizeof body - 1, "penstock: %s%s%s%s", reason_text(reason), more ? " (" : "",
                               more ? detail : "", more ? ")" : "");
    if (body_length > (int)sizeof body - 2)
        body_length = (int)sizeof body - 2;
    for (int i = 0; i < body_length; i++)
        if ((unsigned char)body[i] < 0x20 || body[i] == 0x7f)
            body[i] = '?';
    body[body_length++] = '\n';
    int head = snprintf(buf, REFUSAL_MAX,
                        "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
                        "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                        status_line(reason, http_status), body_length);
    memcpy(buf + head, body, (size_t)body_length);
    return (size_t)(head + body_length);
}

size_t refusal_write(enum sniff_kind kind, enum reason reason, int http_status, const char *detail,
                     char buf[static REFUSAL_MAX])
{
    switch (kind) {
    case SNIFF_TLS:
        return write_alert(reason, http_status, buf);
    case SNIFF_HTTP:
        return write_response(reason, http_status, detail, buf);
    case SNIFF_OTHER:
        return 0;
    }
    return 0;
}
