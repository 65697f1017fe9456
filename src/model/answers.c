/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/answers.h"

#include <stdio.h>
#include <string.h>

#define TROUBLE_MIN           3  /* one page alone may be forbidden */
#define TROUBLE_UNREACHED_MIN 10 /* or gone, and be asked for again and again */

/* Most proxies answer 502, 503 or 504 when a name has no address or nobody answers there; tinyproxy answers 500, and
 * Squid before 3.2 and Privoxy answer 404 for a name without an address. */
bool answers_is_unreached(int http_status)
{
    return http_status == 502 || http_status == 503 || http_status == 504 || http_status == 500 || http_status == 404;
}

static uint16_t kind_of(int http_status, enum cause cause)
{
    if (cause == CAUSE_NONE)
        return 200;
    return answers_is_unreached(http_status) ? 502 : (uint16_t)http_status;
}

/* NULL: no room. */
static struct answers_count *find(struct answers *answers, uint16_t port, uint16_t status)
{
    for (uint32_t i = 0; i < answers->n; i++)
        if (answers->counts[i].port == port && answers->counts[i].status == status)
            return &answers->counts[i];
    if (answers->n == ANSWERS_MAX)
        return NULL;
    struct answers_count *count = &answers->counts[answers->n++];
    *count = (struct answers_count){.port = port, .status = status};
    return count;
}

static void add(struct answers *answers, uint16_t port, uint16_t status, uint8_t cause, uint32_t n, const char *detail)
{
    struct answers_count *count = find(answers, port, status);
    if (!count)
        return;
    count->cause = cause;
    count->n = n < UINT32_MAX - count->n ? count->n + n : UINT32_MAX;
    snprintf(count->detail, sizeof count->detail, "%s", detail);
}

void answers_add(struct answers *answers, uint16_t port, int http_status, enum cause cause, const char *detail)
{
    add(answers, port, kind_of(http_status, cause), (uint8_t)cause, 1, detail);
}

void answers_merge(struct answers *answers, const struct answers *more)
{
    for (uint32_t i = 0; i < more->n; i++) {
        const struct answers_count *count = &more->counts[i];
        add(answers, count->port, count->status, count->cause, count->n, count->detail);
    }
}

/* port 0: any */
static uint64_t sum(const struct answers *answers, uint16_t port, bool accepted_only)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < answers->n; i++) {
        const struct answers_count *count = &answers->counts[i];
        if ((port == 0 || count->port == port) && (!accepted_only || count->cause == CAUSE_NONE))
            n += count->n;
    }
    return n;
}

bool answers_is_trouble(const struct answers *answers, size_t i)
{
    const struct answers_count *count = &answers->counts[i];
    uint32_t min = count->status == 502 ? TROUBLE_UNREACHED_MIN : TROUBLE_MIN;
    return count->cause != CAUSE_NONE && count->n >= min && 2 * (uint64_t)count->n >= sum(answers, count->port, false);
}

/* Proxies allow CONNECT to port 443 alone, more often than not. */
enum cause answers_cause(const struct answers *answers, size_t i)
{
    const struct answers_count *count = &answers->counts[i];
    bool port_alone = sum(answers, count->port, true) == 0 && sum(answers, 0, true) > 0;
    if (count->status == 502)
        return CAUSE_PROXY_UNREACHED;
    return count->cause == CAUSE_PROXY_REFUSED && port_alone ? CAUSE_PROXY_PORT : (enum cause)count->cause;
}

const char *answers_text(const struct answers *answers, size_t i, const char *when, char buf[static ANSWERS_TEXT_MAX])
{
    const struct answers_count *count = &answers->counts[i];
    snprintf(buf, ANSWERS_TEXT_MAX, "%u of %llu connections to port %u failed %s: %s. %s", (unsigned)count->n,
             (unsigned long long)sum(answers, count->port, false), (unsigned)count->port, when, count->detail,
             cause_cure(answers_cause(answers, i)));
    return buf;
}
