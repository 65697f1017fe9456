/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP endpoints and prefixes. Plain values, copied freely, no resources behind them. */
#ifndef PENSTOCK_MODEL_ADDR_H
#define PENSTOCK_MODEL_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    };
};

struct prefix {
    struct addr base; /* port 0, host bits zero */
    unsigned length;  /* bits: 0..32 or 0..128 */
};

#define ADDR_TEXT_MAX 64 /* "[ffff:…%4294967295]:65535" and its end fit */

/* A numeric IPv4 or IPv6 address, also "[v6]", never a name; port in host order. */
bool addr_parse(const char *text, uint16_t port, struct addr *ret_addr);

/* From what the kernel filled in; v4-mapped IPv6 becomes IPv4. False for other families. */
bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t length, struct addr *ret_addr);

socklen_t addr_length(const struct addr *addr);
uint16_t addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);      /* address and port */
bool addr_equal_host(const struct addr *a, const struct addr *b); /* address alone */

/* "192.0.2.7:8081", "[2001:db8::1]:8081"; returns buf. An unset address gives "-". */
const char *addr_text(const struct addr *addr, char buf[static ADDR_TEXT_MAX]);
/* "192.0.2.7", "2001:db8::1"; returns buf. */
const char *addr_host_text(const struct addr *addr, char buf[static ADDR_TEXT_MAX]);

/* "192.0.2.0/24", "2001:db8::/32", or a lone address; host bits must be zero. */
bool prefix_parse(const char *text, struct prefix *ret_prefix);
bool prefix_contains(const struct prefix *prefix, const struct addr *addr);
const char *prefix_text(const struct prefix *prefix, char buf[static ADDR_TEXT_MAX]);

#endif
