/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/ascii.h"

/* Decimal digits alone: strtoul() would also take signs and spaces. */
static bool parse_decimal(const char *text, uint32_t max, uint32_t *ret_value)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!ascii_is_digit(*text))
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *ret_value = (uint32_t)value;
    return true;
}

/* "address" or "address%scope-number", at most what addr_text() writes. */
static bool parse_in6(char *text, struct addr *ret_addr)
{
    char *scope = strchr(text, '%');
    struct addr addr = {.in6 = {.sin6_family = AF_INET6}};
    if (scope) {
        *scope++ = '\0';
        if (!parse_decimal(scope, UINT32_MAX, &addr.in6.sin6_scope_id))
            return false;
    }
    if (inet_pton(AF_INET6, text, &addr.in6.sin6_addr) != 1)
        return false;
    *ret_addr = addr;
    return true;
}

bool addr_parse(const char *text, uint16_t port, struct addr *ret_addr)
{
    struct addr addr = {.in4 = {.sin_family = AF_INET}};
    char copy[ADDR_TEXT_MAX];
    size_t length = strlen(text);
    if (inet_pton(AF_INET, text, &addr.in4.sin_addr) != 1) {
        if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
            text++;
            length -= 2;
        }
        if (length >= sizeof copy)
            return false;
        memcpy(copy, text, length);
        copy[length] = '\0';
        if (!parse_in6(copy, &addr))
            return false;
    }
    addr_set_port(&addr, port);
    *ret_addr = addr;
    return true;
}

bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t length, struct addr *ret_addr)
{
    struct addr addr = {0};
    struct sockaddr_in6 in6;
    if (length < sizeof sa->sa_family)
        return false;
    if (sa->sa_family == AF_INET && length >= sizeof addr.in4) {
        memcpy(&addr.in4, sa, sizeof addr.in4);
        memset(addr.in4.sin_zero, 0, sizeof addr.in4.sin_zero);
        *ret_addr = addr;
        return true;
    }
    if (sa->sa_family != AF_INET6 || length < sizeof in6)
        return false;
    memcpy(&in6, sa, sizeof in6);
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        addr.in4.sin_family = AF_INET;
        addr.in4.sin_port = in6.sin6_port;
        memcpy(&addr.in4.sin_addr, &in6.sin6_addr.s6_addr[12], sizeof addr.in4.sin_addr);
    } else {
        addr.in6 = in6;
        addr.in6.sin6_flowinfo = 0;
    }
    *ret_addr = addr;
    return true;
}

socklen_t addr_length(const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return sizeof addr->in4;
    return addr->sa.sa_family == AF_INET6 ? sizeof addr->in6 : 0;
}

uint16_t addr_port(const struct addr *addr)
{
    if (addr->sa.sa_family == AF_INET)
        return ntohs(addr->in4.sin_port);
    return addr->sa.sa_family == AF_INET6 ? ntohs(addr->in6.sin6_port) : 0;
}

void addr_set_port(struct addr *addr, uint16_t port)
{
    assert(addr_length(addr) > 0);
    if (addr->sa.sa_family == AF_INET)
        addr->in4.sin_port = htons(port);
    else
        addr->in6.sin6_port = htons(port);
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return addr_equal_host(a, b) && addr_port(a) == addr_port(b);
}

bool addr_equal_host(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr) && a->in6.sin6_scope_id == b->in6.sin6_scope_id;
    return true;
}

const char *addr_text(const struct addr *addr, char buf[static ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];
    int written;
    addr_host_text(addr, host);
    if (addr_length(addr) == 0)
        written = snprintf(buf, ADDR_TEXT_MAX, "-");
    else if (addr->sa.sa_family == AF_INET)
        written = snprintf(buf, ADDR_TEXT_MAX, "%.15s:%u", host, addr_port(addr));
    else
        written = snprintf(buf, ADDR_TEXT_MAX, "[%.55s]:%u", host, addr_port(addr));
    assert(written > 0 && written < ADDR_TEXT_MAX);
    return buf;
}

const char *addr_host_text(const struct addr *addr, char buf[static ADDR_TEXT_MAX])
{
    size_t length;
    if (addr->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &addr->in4.sin_addr, buf, ADDR_TEXT_MAX);
    } else if (addr->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &addr->in6.sin6_addr, buf, ADDR_TEXT_MAX);
        length = strlen(buf);
        if (addr->in6.sin6_scope_id != 0)
            snprintf(buf + length, ADDR_TEXT_MAX - length, "%%%u", addr->in6.sin6_scope_id);
    } else {
        snprintf(buf, ADDR_TEXT_MAX, "-");
    }
    return buf;
}

static const uint8_t *host_bytes(const struct addr *addr)
{
    return addr->sa.sa_family == AF_INET ? (const uint8_t *)&addr->in4.sin_addr : addr->in6.sin6_addr.s6_addr;
}

static unsigned host_bits(const struct addr *addr)
{
    return addr->sa.sa_family == AF_INET ? 32 : 128;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool host_bits_zero(const struct addr *addr, unsigned length)
{
    const uint8_t *bytes = host_bytes(addr);
    for (unsigned bit = length; bit < host_bits(addr); bit++) {
        if ((bytes[bit / 8] >> (7 - bit % 8)) & 1)
            return false;
    }
    return true;
}

bool prefix_parse(const char *text, struct prefix *ret_prefix)
{
    const char *slash = strchr(text, '/');
    size_t host_length = slash ? (size_t)(slash - text) : strlen(text);
    struct prefix prefix = {.length = 0};
    char host[ADDR_TEXT_MAX];
    uint32_t length;
    if (host_length >= sizeof host)
        return false;
    memcpy(host, text, host_length);
    host[host_length] = '\0';
    /* A scope belongs to an interface; rules on prefixes have none. */
    if (strchr(host, '%') || !addr_parse(host, 0, &prefix.base))
        return false;
    length = host_bits(&prefix.base);
    if (slash && !parse_decimal(slash + 1, host_bits(&prefix.base), &length))
        return false;
    if (!host_bits_zero(&prefix.base, length))
        return false;
    prefix.length = length;
    *ret_prefix = prefix;
    return true;
}

bool prefix_contains(const struct prefix *prefix, const struct addr *addr)
{
    if (addr_length(addr) == 0 || prefix->base.sa.sa_family != addr->sa.sa_family)
        return false;
    return bits_equal(host_bytes(&prefix->base), host_bytes(addr), prefix->length);
}

const char *prefix_text(const struct prefix *prefix, char buf[static ADDR_TEXT_MAX])
{
    size_t length;
    addr_host_text(&prefix->base, buf);
    length = strlen(buf);
    snprintf(buf + length, ADDR_TEXT_MAX - length, "/%u", prefix->length);
    return buf;
}
