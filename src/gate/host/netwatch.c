/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/host/netwatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/timer.h"
#include "gate/rules/encode/ruleset.h"

#define RECEIVE_MAX   (64u << 10)
#define READS_MAX     64        /* in one go; the loop comes back for the rest */
#define SOCKET_BUFFER (1 << 20) /* of the nftables events: others may load thousands of rules at once */
#define QUIET_SECONDS 0.2
#define DELAY_SECONDS 1.0
#define SLEEP_SECONDS 3
#define CULPRIT_MAX   64
#define UNKNOWN       "unknown"
#define FAR_AWAY      (365 * 24 * 3600) /* seconds; the timer is there for what happens before */

struct netwatch {
    struct ev_loop *loop;
    struct event_sink sink;
    uint32_t own_portid;

    struct mnl_socket *rules;
    ev_io rules_watcher;
    bool table_touched; /* by a transaction whose end has not been seen yet */
    bool table_changed, foreign_changed;
    char culprit[CULPRIT_MAX];

    struct mnl_socket *network;
    ev_io network_watcher;
    ev_timer quiet;
    ev_tstamp first_event; /* 0: none since the last report */

    int clock_fd; /* readable when the wall clock jumped, which it does after a sleep */
    ev_io clock_watcher;
    int64_t slept_ms; /* how much the host slept since boot */

    unsigned char buf[RECEIVE_MAX];
};

/* May free netwatch. */
static void tell(struct netwatch *netwatch, const struct event *event)
{
    netwatch->sink.event_cb(event, netwatch->sink.data);
}

/* libmnl takes a length of 2^31 and more for a negative one, which fits everywhere and leads nowhere. */
static bool message_ok(const struct nlmsghdr *message, int left)
{
    return mnl_nlmsg_ok(message, left) && message->nlmsg_len <= RECEIVE_MAX;
}

/* What a socket has, message by message; bounded. False when the kernel dropped some. */
static bool read_messages(struct netwatch *netwatch, struct mnl_socket *socket,
                          void (*take)(struct netwatch *netwatch, const struct nlmsghdr *message))
{
    for (int reads = 0; reads < READS_MAX; reads++) {
        ssize_t n = mnl_socket_recvfrom(socket, netwatch->buf, sizeof netwatch->buf);
        int left = (int)n;

        if (n < 0)
            return errno != ENOBUFS;
        for (const struct nlmsghdr *message = (const struct nlmsghdr *)netwatch->buf; message_ok(message, left);
             message = mnl_nlmsg_next(message, &left))
            take(netwatch, message);
    }
    return true;
}

/* ---- rules ---- */

static int read_table_name(const struct nlattr *attribute, void *data)
{
    bool *ret_ours = data;
    /* The table's name has the number 1 in every kind of message but NEWGEN. */
    if (mnl_attr_get_type(attribute) == NFTA_TABLE_NAME)
        *ret_ours = mnl_attr_get_payload_len(attribute) == sizeof(RULESET_TABLE) &&
                    memcmp(mnl_attr_get_payload(attribute), RULESET_TABLE, sizeof RULESET_TABLE) == 0;
    return MNL_CB_OK;
}

static bool is_ours(const struct nlmsghdr *message)
{
    const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(message);
    bool ours = false;
    if (mnl_nlmsg_get_payload_len(message) < sizeof *nfg || nfg->nfgen_family != NFPROTO_INET)
        return false;
    mnl_attr_parse(message, sizeof *nfg, read_table_name, &ours);
    return ours;
}

struct program {
    uint32_t pid;
    char name[32];
};

static int read_program(const struct nlattr *attribute, void *data)
{
    struct program *program = data;
    if (mnl_attr_get_type(attribute) == NFTA_GEN_PROC_PID && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0)
        program->pid = ntohl(mnl_attr_get_u32(attribute));
    if (mnl_attr_get_type(attribute) == NFTA_GEN_PROC_NAME && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        snprintf(program->name, sizeof program->name, "%s", mnl_attr_get_str(attribute));
    return MNL_CB_OK;
}

/* The end of a transaction names who made it. */
static void finish_transaction(struct netwatch *netwatch, const struct nlmsghdr *message)
{
    struct program program = {0};
    if (!netwatch->table_touched)
        return;
    netwatch->table_touched = false;
    netwatch->table_changed = true;
    mnl_attr_parse(message, sizeof(struct nfgenmsg), read_program, &program);
    if (program.name[0] != '\0')
        snprintf(netwatch->culprit, sizeof netwatch->culprit, "%s (pid %u)", program.name, program.pid);
    else
        snprintf(netwatch->culprit, sizeof netwatch->culprit, UNKNOWN);
}

static void take_rules_event(struct netwatch *netwatch, const struct nlmsghdr *message)
{
    if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || message->nlmsg_pid == netwatch->own_portid)
        return;
    if ((message->nlmsg_type & 0xff) == NFT_MSG_NEWGEN)
        finish_transaction(netwatch, message);
    else if (is_ours(message))
        netwatch->table_touched = true;
    else if ((message->nlmsg_type & 0xff) <= NFT_MSG_DELRULE) /* tables, chains and rules; not elements of sets */
        netwatch->foreign_changed = true;
}

static void rules_ready(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct netwatch *netwatch = watcher->data;
    struct event event = {.type = EVENT_TABLES_CHANGED};
    if (!read_messages(netwatch, netwatch->rules, take_rules_event)) {
        netwatch->table_touched = false;
        netwatch->table_changed = netwatch->foreign_changed = true;
        netwatch->culprit[0] = '\0';
    }
    event.ours = netwatch->table_changed;
    event.foreign = netwatch->foreign_changed;
    event.culprit = netwatch->culprit[0] != '\0' ? netwatch->culprit : NULL;
    netwatch->table_changed = netwatch->foreign_changed = false;
    if (event.ours || event.foreign)
        tell(netwatch, &event);
}

/* ---- network ---- */

static void note_network_event(struct netwatch *netwatch)
{
    ev_tstamp now = ev_now(netwatch->loop), left;
    if (netwatch->first_event <= 0)
        netwatch->first_event = now;
    left = netwatch->first_event + DELAY_SECONDS - now;
    if (left > QUIET_SECONDS)
        left = QUIET_SECONDS;
    timer_arm(netwatch->loop, &netwatch->quiet, left);
}

static void take_network_event(struct netwatch *netwatch, const struct nlmsghdr *message)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    switch (message->nlmsg_type) {
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        /* Not the kernel's notes about single destinations (path MTU and the like). */
        if (mnl_nlmsg_get_payload_len(message) >= sizeof *route && !(route->rtm_flags & RTM_F_CLONED))
            note_network_event(netwatch);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
    case RTM_NEWLINK:
    case RTM_DELLINK:
        note_network_event(netwatch);
        break;
    default:
        break;
    }
}

static void network_ready(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct netwatch *netwatch = watcher->data;
    if (!read_messages(netwatch, netwatch->network, take_network_event))
        note_network_event(netwatch);
}

static void network_quiet(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct netwatch *netwatch = watcher->data;
    netwatch->first_event = 0;
    tell(netwatch, &(const struct event){.type = EVENT_NETWORK_CHANGED});
}

/* ---- sleep ---- */

/* The boot clock goes on during sleep, the monotonic clock stands still. */
static int64_t slept_ms(void)
{
    struct timespec boot, monotonic;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    return ((int64_t)boot.tv_sec - monotonic.tv_sec) * 1000 + (boot.tv_nsec - monotonic.tv_nsec) / 1000000;
}

/* A timer far away that is cancelled when the wall clock jumps: costs no wake-up while nothing happens. */
static int arm_clock(int fd)
{
    struct timespec now;
    struct itimerspec far = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    far.it_value.tv_sec = now.tv_sec + FAR_AWAY;
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) < 0 && errno != ECANCELED
               ? -errno
               : 0;
}

static void clock_jumped(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct netwatch *netwatch = watcher->data;
    int64_t before = netwatch->slept_ms;
    uint64_t expirations;
    if (read(netwatch->clock_fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
        return;
    if (arm_clock(netwatch->clock_fd) < 0)
        ev_io_stop(loop, watcher); /* rather no notice of sleeping than a loop that spins */
    netwatch->slept_ms = slept_ms();
    if (netwatch->slept_ms - before >= SLEEP_SECONDS * 1000)
        tell(netwatch, &(const struct event){.type = EVENT_RESUMED});
}

/* ---- the object ---- */

static struct mnl_socket *open_socket(int bus, unsigned int groups)
{
    struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int size = SOCKET_BUFFER, saved;
    if (!socket)
        return NULL;
    if (setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) == 0)
        return socket;
    saved = errno;
    mnl_socket_close(socket);
    errno = saved;
    return NULL;
}

static const char *open_all(struct netwatch *netwatch)
{
    netwatch->network = open_socket(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                                       RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE);
    if (!netwatch->network)
        return "listening to network changes";
    netwatch->clock_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (netwatch->clock_fd < 0)
        return "watching the clock";
    if (arm_clock(netwatch->clock_fd) < 0)
        return "watching the clock";
    return NULL;
}

static void start_watchers(struct netwatch *netwatch)
{
    ev_io_init(&netwatch->rules_watcher, rules_ready, -1, EV_READ);
    ev_io_init(&netwatch->network_watcher, network_ready, mnl_socket_get_fd(netwatch->network), EV_READ);
    ev_io_init(&netwatch->clock_watcher, clock_jumped, netwatch->clock_fd, EV_READ);
    ev_timer_init(&netwatch->quiet, network_quiet, QUIET_SECONDS, 0);
    netwatch->rules_watcher.data = netwatch;
    netwatch->network_watcher.data = netwatch;
    netwatch->clock_watcher.data = netwatch;
    netwatch->quiet.data = netwatch;
    ev_io_start(netwatch->loop, &netwatch->network_watcher);
    ev_io_start(netwatch->loop, &netwatch->clock_watcher);
}

static void close_all(struct netwatch *netwatch)
{
    if (netwatch->rules)
        mnl_socket_close(netwatch->rules);
    if (netwatch->network)
        mnl_socket_close(netwatch->network);
    if (netwatch->clock_fd >= 0)
        close(netwatch->clock_fd);
    free(netwatch);
}

struct netwatch *netwatch_new(struct ev_loop *loop, const struct event_sink *sink, char *ret_error, size_t error_size)
{
    struct netwatch *netwatch = calloc(1, sizeof *netwatch);
    const char *failed;
    if (!netwatch) {
        snprintf(ret_error, error_size, "watching the network: %s", strerror(ENOMEM));
        return NULL;
    }
    netwatch->loop = loop;
    netwatch->sink = *sink;
    netwatch->clock_fd = -1;
    netwatch->slept_ms = slept_ms();
    failed = open_all(netwatch);
    if (failed) {
        snprintf(ret_error, error_size, "%s: %s", failed, strerror(errno));
        close_all(netwatch);
        return NULL;
    }
    start_watchers(netwatch);
    return netwatch;
}

void netwatch_watch_rules(struct netwatch *netwatch, uint32_t own_portid)
{
    if (netwatch->rules || own_portid == 0)
        return;
    netwatch->own_portid = own_portid;
    netwatch->rules = open_socket(NETLINK_NETFILTER, 1u << (NFNLGRP_NFTABLES - 1));
    if (!netwatch->rules)
        return;
    ev_io_set(&netwatch->rules_watcher, mnl_socket_get_fd(netwatch->rules), EV_READ);
    ev_io_start(netwatch->loop, &netwatch->rules_watcher);
}

void netwatch_free(struct netwatch *netwatch)
{
    if (!netwatch)
        return;
    ev_io_stop(netwatch->loop, &netwatch->rules_watcher);
    ev_io_stop(netwatch->loop, &netwatch->network_watcher);
    ev_io_stop(netwatch->loop, &netwatch->clock_watcher);
    ev_timer_stop(netwatch->loop, &netwatch->quiet);
    close_all(netwatch);
}
