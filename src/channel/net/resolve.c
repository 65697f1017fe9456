/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/net/resolve.h"

/* The older calls do all that is needed here and exist in every version. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/timer.h"

#define QUERIES_MAX 64

/* One try of one name server; the query's own limit bounds all tries together. */
#define TRY_MS 1000
#define TRIES  3

/* One family has answered: how long the other may still take (RFC 8305 section 3 says 50 ms at least; a late family
 * would be lost for the whole test, so it gets more). */
#define OTHER_FAMILY_S 0.25

enum query_state {
    QUERY_ASKING,
    QUERY_ANSWERED, /* delivered by the next turn of the loop */
    QUERY_ORPHAN,   /* delivered or given up; freed when c-ares has let go of it */
};

struct family_answer {
    int status; /* ARES_… */
    size_t n;
    struct addr addrs[RESOLVE_ADDRS_MAX];
};

struct resolve_query {
    struct resolver *resolver;
    resolve_cb *cb;
    void *data;
    ev_timer timer;
    enum query_state state;
    unsigned lookups; /* that c-ares still owes an answer for */
    double timeout_s;
    ev_tstamp started;
    struct family_answer v6, v4;
    uint16_t port;
    char name[];
};

struct resolver_socket {
    LIST_ENTRY(resolver_socket) entry;
    struct resolver *resolver;
    ev_io io;
};

LIST_HEAD(resolver_sockets, resolver_socket);

struct resolver {
    struct ev_loop *loop;
    ares_channel hosts; /* the hosts file alone: a name found there asks no name server for its other family */
    ares_channel dns;
    ev_timer timer; /* of the DNS channel's tries */
    struct resolver_sockets sockets;
    struct resolve_query *queries[QUERIES_MAX]; /* not yet delivered */
    size_t n_queries;
};

/* ---- what went wrong ---- */

/* A running interface other than the loopback has an address that reaches beyond its link. */
static bool host_has_network(void)
{
    struct ifaddrs *list, *entry;
    bool found = false;
    if (getifaddrs(&list) < 0)
        return true; /* not known to be without */
    for (entry = list; entry && !found; entry = entry->ifa_next) {
        const struct sockaddr *sa = entry->ifa_addr;

        if (!sa || entry->ifa_flags & IFF_LOOPBACK || !(entry->ifa_flags & IFF_UP) || !(entry->ifa_flags & IFF_RUNNING))
            continue;
        if (sa->sa_family == AF_INET)
            found = ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 16 != 0xa9fe;
        else if (sa->sa_family == AF_INET6)
            found = !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
    }
    freeifaddrs(list);
    return found;
}

/* Connecting a UDP socket sends nothing; it asks the routing table. */
static bool server_has_route(const struct ares_addr_port_node *server)
{
    struct addr addr = {.sa.sa_family = (sa_family_t)server->family};
    int fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool routed = true;
    if (fd < 0)
        return true;
    if (server->family == AF_INET)
        addr.in4.sin_addr = server->addr.addr4;
    else
        memcpy(&addr.in6.sin6_addr, &server->addr.addr6, sizeof addr.in6.sin6_addr);
    addr_set_port(&addr, 53);
    if (connect(fd, &addr.sa, addr_length(&addr)) < 0)
        routed = errno != ENETUNREACH && errno != EHOSTUNREACH && errno != ENETDOWN && errno != EADDRNOTAVAIL;
    close(fd);
    return routed;
}

static bool servers_have_route(ares_channel dns)
{
    struct ares_addr_port_node *servers = NULL, *server;
    bool routed = false;
    if (ares_get_servers_ports(dns, &servers) != ARES_SUCCESS || !servers)
        return true; /* not known to be without */
    for (server = servers; server && !routed; server = server->next)
        routed = server_has_route(server);
    ares_free_data(servers);
    return routed;
}

/* The more telling of the two families' failures. */
static int query_status(const struct resolve_query *query)
{
    if (query->lookups > 0)
        return ARES_ETIMEOUT;
    if (query->v4.status == ARES_ENOTFOUND || query->v6.status == ARES_ENOTFOUND)
        return ARES_ENOTFOUND;
    return query->v4.status == ARES_ENODATA || query->v4.status == ARES_SUCCESS ? query->v6.status : query->v4.status;
}

static void query_error(const struct resolve_query *query, struct error *ret_error)
{
    struct resolver *resolver = query->resolver;
    const char *name = query->name;
    int status = query_status(query);
    double waited = ev_now(resolver->loop) - query->started;
    if (status == ARES_ENOTFOUND)
        error_set(ret_error, -ENOENT, CAUSE_NAME_NOT_FOUND, "resolve %s: no such name", name);
    else if (status == ARES_ENODATA || status == ARES_SUCCESS)
        error_set(ret_error, -ENODATA, CAUSE_NAME_WITHOUT_ADDRESS, "resolve %s: the name has no address", name);
    else if (status == ARES_EBADNAME)
        error_set(ret_error, -EINVAL, CAUSE_NAME_INVALID, "resolve %s: not a host name", name);
    else if (!host_has_network())
        error_set(ret_error, -ENETUNREACH, CAUSE_NO_NETWORK, "resolve %s: this host has no network", name);
    else if (!servers_have_route(resolver->dns))
        error_set(ret_error, -ENETUNREACH, CAUSE_NO_ROUTE, "resolve %s: no route to the name servers", name);
    else if (status == ARES_ETIMEOUT)
        error_set(ret_error, -ETIMEDOUT, CAUSE_NAME_SERVER_TIMEOUT,
                  "resolve %s: no answer from the name servers within %g s", name,
                  query->lookups > 0 ? query->timeout_s : (double)(long)(waited * 10 + .5) / 10);
    else /* c-ares calls it refused, too, when every server answered SERVFAIL. */
        error_set(ret_error, -EIO, CAUSE_NAME_SERVER_FAILED, "resolve %s: no usable answer from the name servers",
                  name);
}

/* ---- queries ---- */

static void query_free(struct resolve_query *query)
{
    struct resolver *resolver = query->resolver;
    size_t i;
    for (i = 0; i < resolver->n_queries; i++)
        if (resolver->queries[i] == query)
            resolver->queries[i] = resolver->queries[--resolver->n_queries];
    ev_timer_stop(resolver->loop, &query->timer);
    if (query->lookups == 0)
        free(query);
    else
        query->state = QUERY_ORPHAN;
}

static size_t interleave(const struct resolve_query *query, struct addr addrs[static RESOLVE_ADDRS_MAX])
{
    size_t i, n = 0;
    for (i = 0; i < RESOLVE_ADDRS_MAX; i++) {
        if (i < query->v6.n && n < RESOLVE_ADDRS_MAX)
            addrs[n++] = query->v6.addrs[i];
        if (i < query->v4.n && n < RESOLVE_ADDRS_MAX)
            addrs[n++] = query->v4.addrs[i];
    }
    return n;
}

static void query_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct resolve_query *query = timer->data;
    resolve_cb *cb = query->cb;
    void *data = query->data;
    struct addr addrs[RESOLVE_ADDRS_MAX];
    struct error error;
    size_t n = interleave(query, addrs);
    if (n == 0)
        query_error(query, &error);
    query_free(query);
    cb(n == 0 ? &error : NULL, addrs, n, data);
}

static void query_set_timer(struct resolve_query *query, double seconds)
{
    timer_arm(query->resolver->loop, &query->timer, seconds);
}

static void query_answered(struct resolve_query *query)
{
    query->state = QUERY_ANSWERED;
    query_set_timer(query, 0.);
}

static void take_addresses(struct resolve_query *query, const struct ares_addrinfo *info)
{
    const struct ares_addrinfo_node *node;
    for (node = info->nodes; node; node = node->ai_next) {
        struct family_answer *answer = node->ai_family == AF_INET6 ? &query->v6 : &query->v4;

        if (answer->n < RESOLVE_ADDRS_MAX &&
            addr_from_sockaddr(node->ai_addr, (socklen_t)node->ai_addrlen, &answer->addrs[answer->n]))
            addr_set_port(&answer->addrs[answer->n++], query->port);
    }
}

/* Every answer of c-ares passes here. False: the query has no use for it and may be gone. */
static bool lookup_ended(struct resolve_query *query, struct ares_addrinfo *info)
{
    query->lookups--;
    if (query->state == QUERY_ASKING) {
        if (info)
            take_addresses(query, info);
        ares_freeaddrinfo(info);
        return true;
    }
    ares_freeaddrinfo(info);
    if (query->state == QUERY_ORPHAN && query->lookups == 0)
        free(query);
    return false;
}

static void dns_ended(struct resolve_query *query)
{
    if (query->lookups == 0)
        query_answered(query);
    else if (query->v6.n + query->v4.n > 0 && ev_timer_remaining(query->resolver->loop, &query->timer) > OTHER_FAMILY_S)
        query_set_timer(query, OTHER_FAMILY_S);
}

static void dns_v6_cb(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve_query *query = data;
    query->v6.status = status;
    if (lookup_ended(query, info))
        dns_ended(query);
}

static void dns_v4_cb(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve_query *query = data;
    query->v4.status = status;
    if (lookup_ended(query, info))
        dns_ended(query);
}

static void resolver_set_timer(struct resolver *resolver)
{
    struct timeval wait, *next = ares_timeout(resolver->dns, NULL, &wait);
    ev_timer_stop(resolver->loop, &resolver->timer);
    if (next) {
        timer_arm(resolver->loop, &resolver->timer, (double)next->tv_sec + (double)next->tv_usec / 1e6);
    }
}

static void hosts_cb(void *data, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve_query *query = data;
    ares_channel dns = query->resolver->dns;
    /* The addresses are tried in parallel: sorting them (RFC 6724) would only undo the name server's rotation. */
    struct ares_addrinfo_hints hints = {.ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    if (!lookup_ended(query, info))
        return;
    if (query->v6.n + query->v4.n > 0) {
        query_answered(query);
        return;
    }
    query->lookups = 2; /* both before the first is asked: c-ares may answer at once */
    hints.ai_family = AF_INET6;
    ares_getaddrinfo(dns, query->name, NULL, &hints, dns_v6_cb, query);
    hints.ai_family = AF_INET;
    ares_getaddrinfo(dns, query->name, NULL, &hints, dns_v4_cb, query);
    resolver_set_timer(query->resolver);
}

static void query_ask(struct resolve_query *query)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    struct addr numeric;
    if (!addr_parse(query->name, query->port, &numeric)) {
        query->lookups = 1;
        ares_getaddrinfo(query->resolver->hosts, query->name, NULL, &hints, hosts_cb, query);
        return;
    }
    query->v4.addrs[query->v4.n++] = numeric;
    query_answered(query);
}

struct resolve_query *resolve_start(struct resolver *resolver, const char *name, uint16_t port, double timeout_s,
                                    resolve_cb *cb, void *data)
{
    size_t size = strlen(name) + 1;
    struct resolve_query *query;
    if (resolver->n_queries == QUERIES_MAX)
        return NULL;
    query = calloc(1, sizeof *query + size);
    if (!query)
        return NULL;
    memcpy(query->name, name, size);
    query->resolver = resolver;
    query->port = port;
    query->cb = cb;
    query->data = data;
    query->timeout_s = timeout_s;
    query->started = ev_now(resolver->loop);
    resolver->queries[resolver->n_queries++] = query;
    ev_timer_init(&query->timer, query_timer_cb, timeout_s, 0.);
    query->timer.data = query;
    ev_timer_start(resolver->loop, &query->timer);
    query_ask(query);
    return query;
}

/* ---- c-ares on libev ---- */

static void socket_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct resolver_socket *entry = io->data;
    struct resolver *resolver = entry->resolver;
    int fd = io->fd;
    /* The entry may be freed in here. */
    ares_process_fd(resolver->dns, events & EV_READ ? fd : ARES_SOCKET_BAD, events & EV_WRITE ? fd : ARES_SOCKET_BAD);
    resolver_set_timer(resolver);
}

static void resolver_timer_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct resolver *resolver = timer->data;
    ares_process_fd(resolver->dns, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolver_set_timer(resolver);
}

/* c-ares says what it wants to know of a socket; neither: it is about to close it. */
static void socket_state_cb(void *data, ares_socket_t fd, int readable, int writable)
{
    struct resolver *resolver = data;
    struct resolver_socket *entry;
    int interest = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
    LIST_FOREACH(entry, &resolver->sockets, entry) {
        if (entry->io.fd == fd)
            break;
    }
    if (!entry) {
        if (!interest)
            return;
        entry = calloc(1, sizeof *entry);
        if (!entry)
            return; /* not polled: the try runs into its limit */
        entry->resolver = resolver;
        ev_init(&entry->io, socket_cb);
        entry->io.data = entry;
        LIST_INSERT_HEAD(&resolver->sockets, entry, entry);
    }
    ev_io_stop(resolver->loop, &entry->io);
    if (interest) {
        ev_io_set(&entry->io, fd, interest);
        ev_io_start(resolver->loop, &entry->io);
    } else {
        LIST_REMOVE(entry, entry);
        free(entry);
    }
}

static int channel_new(struct resolver *resolver, const char *lookups, ares_channel *ret_channel)
{
    char copy[4];
    struct ares_options options = {.timeout = TRY_MS,
                                   .tries = TRIES,
                                   .lookups = copy,
                                   .sock_state_cb = socket_state_cb,
                                   .sock_state_cb_data = resolver};
    snprintf(copy, sizeof copy, "%s", lookups);
    return ares_init_options(ret_channel, &options,
                             ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB);
}

struct resolver *resolver_new(struct ev_loop *loop, struct error *ret_error)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    int status = ARES_ENOMEM;
    if (resolver) {
        resolver->loop = loop;
        ev_init(&resolver->timer, resolver_timer_cb);
        resolver->timer.data = resolver;
        status = channel_new(resolver, "f", &resolver->hosts);
        if (status == ARES_SUCCESS)
            status = channel_new(resolver, "b", &resolver->dns);
    }
    if (status == ARES_SUCCESS)
        return resolver;
    error_set(ret_error, -EIO, CAUSE_NAME_SERVER_FAILED, "resolver: %s", ares_strerror(status));
    resolver_free(resolver);
    return NULL;
}

int resolver_set_servers(struct resolver *resolver, const char *servers)
{
    return ares_set_servers_ports_csv(resolver->dns, servers) == ARES_SUCCESS ? 0 : -EINVAL;
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    while (resolver->n_queries > 0)
        query_free(resolver->queries[0]);
    /* Calls back every lookup that is under way, which frees the orphans. */
    if (resolver->hosts)
        ares_destroy(resolver->hosts);
    if (resolver->dns)
        ares_destroy(resolver->dns);
    ev_timer_stop(resolver->loop, &resolver->timer);
    assert(LIST_EMPTY(&resolver->sockets));
    free(resolver);
}
