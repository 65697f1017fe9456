/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "channel/http/request.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "channel/http/out.h"
#include "model/ascii.h"
#include "model/hostname.h"

/* A name or an address; IPv6 without brackets and scope. */
static bool host_is_valid(const char *host)
{
    char name[HOSTNAME_SIZE];
    struct in6_addr in6;
    struct in_addr in4;
    return hostname_parse(host, strlen(host), name) || inet_pton(AF_INET, host, &in4) == 1 ||
           inet_pton(AF_INET6, host, &in6) == 1;
}

/* RFC 9110 section 7.2 and RFC 3986 section 3.2.2: IPv6 stands in brackets. */
static void put_host(struct out *out, const char *host)
{
    bool ipv6 = strchr(host, ':');
    put(out, ipv6 ? "[" : "");
    put(out, host);
    put(out, ipv6 ? "]" : "");
}

static int finish_request(struct out *out, const struct conf *conf, const struct identity *identity)
{
    headers_put(out, conf, identity);
    put(out, "\r\n");
    return out->used <= out->size && out->used <= REQUEST_MAX ? (int)out->used : -EMSGSIZE;
}

int request_write_connect(const struct conf *conf, const struct identity *identity, const char *host, uint16_t port,
                          char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    char port_text[8];
    if (!host_is_valid(host) || port == 0)
        return -EINVAL;
    snprintf(port_text, sizeof port_text, ":%u", (unsigned)port);
    put(&out, "CONNECT ");
    put_host(&out, host);
    put(&out, port_text);
    put(&out, " HTTP/1.1\r\nHost: ");
    put_host(&out, host);
    put(&out, port_text);
    put(&out, "\r\n");
    return finish_request(&out, conf, identity);
}

int request_write_ping(const struct conf *conf, const char *proxy_host, char *buf, size_t size)
{
    struct out out = {.buf = buf, .size = size};
    if (!host_is_valid(proxy_host))
        return -EINVAL;
    put(&out, "OPTIONS * HTTP/1.1\r\nHost: ");
    put_host(&out, proxy_host);
    put(&out, "\r\nMax-Forwards: 0\r\n");
    return finish_request(&out, conf, NULL);
}
