/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What gate, prober and relays say to each other: fixed-size messages over a SOCK_SEQPACKET pair.
 * Both ends are the same binary; still the gate checks every message of a child as hostile:
 * right size, enums in range, strings terminated (ipc_receive does all of it). */
#ifndef PENSTOCK_BASE_IPC_H
#define PENSTOCK_BASE_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/addr.h"
#include "model/answers.h"
#include "model/cause.h"
#include "model/conf/conf.h"
#include "model/reason.h"
#include "model/report.h"
#include "model/route.h"
#include "model/sums.h"
#include "model/target.h"
#include "model/text.h"

#define IPC_ADDRESSES_MAX 256 /* of all servers */

#define IPC_FD         3 /* in every child: its end of the pair */
#define IPC_STATS_FD   4 /* in a relay: its counters */
#define IPC_SHARES_FD  5 /* in a relay: how many sessions each user has, shared by all relays */
#define IPC_LISTEN4_FD 6 /* in a relay: where redirected connections arrive */
#define IPC_LISTEN6_FD 7 /* the same for IPv6; not there on a host without */

#define IPC_UNIT_MAX 256 /* systemd's own limit for names of units */
#define IPC_USER_MAX CONF_USER_NAME_SIZE

enum ipc_type {
    /* gate to child */
    IPC_CONF = 1, /* with a descriptor: a memfd with the effective configuration (conf_read) */
    IPC_ROUTE,    /* to relays */
    IPC_TEST,     /* to the prober: start now; a running test is abandoned */
    IPC_SESSIONS, /* to relays: list the open sessions */
    IPC_PING,
    IPC_UNIT, /* to a relay: of a control group that it has asked for */
    IPC_USER, /* to relays: of a user that one of them has asked for */
    /* child to gate */
    IPC_CONF_DONE, /* taken (relay: and listening), or why not; a bad one leaves the old in force */
    IPC_REPORT,    /* from the prober, after every stage that ended; the last one is complete */
    IPC_ANSWERS,   /* from a relay: how the proxy has answered since the last of these */
    IPC_TROUBLE,   /* from a relay: the proxy could not be reached or authenticated on this generation */
    IPC_CGROUP,    /* from a relay: which unit is that (request.id)? */
    IPC_UID,       /* from a relay: what is that user called (request.id)? */
    IPC_SESSION,   /* one open session of a list */
    IPC_SUM,       /* of the finished ones, in the same list behind the open ones */
    IPC_SESSIONS_END,
    IPC_PONG,
    IPC_NAMED,   /* from the prober: where it is about to connect to; it waits for IPC_ALLOWED */
    IPC_ALLOWED, /* gate to prober: the kernel lets connections to all that were named up to that id */
};

struct ipc_conf {
    uint64_t serial;
    uint32_t index;
}; /* index: which relay this is */
struct ipc_conf_done {
    uint64_t serial;
    int64_t client_expires; /* of the certificate, seconds since the epoch; 0: not known (relays do not say) */
    bool ok;
    char detail[DETAIL_MAX]; /* what is wrong with it, also when it was taken; empty: nothing */
};
struct ipc_test {
    uint64_t test_id;
};
struct ipc_request {
    uint64_t id;
};
struct ipc_trouble {
    uint64_t generation;
    uint8_t reason; /* enum reason */
    uint8_t cause;  /* enum cause */
    char detail[DETAIL_MAX];
};

/* All addresses of the test, also those that were named before: the latest of them says all. */
struct ipc_named {
    uint64_t id; /* grows */
    uint32_t n;
    struct addr addrs[IPC_ADDRESSES_MAX]; /* their ports say nothing */
};

struct ipc_unit {
    uint64_t cgroup;
    char unit[IPC_UNIT_MAX];        /* the innermost; empty: none, or nobody knows */
    char system_unit[IPC_UNIT_MAX]; /* of the system's own service manager, who says what is in it; the same */
};
struct ipc_user {
    uint64_t uid;
    char name[IPC_USER_MAX]; /* empty: none, or nobody knows */
};

struct ipc_session {
    uint64_t request_id;
    uint64_t id;             /* unique within the relay's life */
    struct addr client;      /* the application's end */
    struct addr destination; /* original destination */
    char name[NAME_SIZE];    /* SNI or Host, empty: none */
    bool ech;                /* the name is one that encrypted ClientHellos show to everybody */
    uint8_t target;          /* enum target */
    uint8_t mode;            /* enum route_mode */
    struct addr proxy;
    uint64_t bytes_up, bytes_down;
    uint64_t age_ms;
    char state[16]; /* "sniff", "dial", "held", "open", "idle" (between two requests of plain HTTP), … */
};

struct ipc_sum {
    uint64_t request_id;
    struct sum sum;
};

struct ipc_message {
    uint32_t type; /* enum ipc_type */
    union {
        struct ipc_conf conf;
        struct route route;
        struct ipc_test test;
        struct ipc_request request; /* IPC_SESSIONS, IPC_SESSIONS_END, IPC_CGROUP, IPC_UID, IPC_PING, IPC_PONG,
                                      IPC_ALLOWED */
        struct ipc_conf_done conf_done;
        struct test_report report;
        struct ipc_trouble trouble;
        struct answers answers; /* IPC_ANSWERS */
        struct ipc_unit unit;
        struct ipc_user user;
        struct ipc_session session;
        struct ipc_sum sum;
        struct ipc_named named;
    };
};

/* A connected pair, CLOEXEC and NONBLOCK, with buffers that hold at least 64 messages of a usual kind. 0 or -errno. */
int ipc_pair(int ret_fds[static 2]);

/* A type and its payload alone count: a report is fifty times as large as the rest, and nobody clears, copies or sends
 * the union for a PONG. */

/* The bytes of a message that count; 0 when there is no such type. Of a report: those of its n_servers; of addresses:
 * n. */
size_t ipc_size(const struct ipc_message *message);

/* Beside what every child says: has a relay messages of that type, or the prober? */
bool ipc_may_say(uint32_t type, bool relay);

/* Sets the type and clears what can count. */
void ipc_begin(struct ipc_message *message, enum ipc_type type);

/* Sends what counts. fd_to_pass -1: none; it stays the caller's.
 * 0, -EAGAIN when the peer does not read, -EPIPE when it is gone, else -errno. */
int ipc_send(int fd, const struct ipc_message *message, int fd_to_pass);

/* 1: what counts of *ret_message is filled and valid, *ret_passed_fd is a descriptor for the caller to close, or -1.
 * 0: nothing there now. -EPIPE: the other end is gone. -EBADMSG: not a message of ours; its bytes may be in
 * *ret_message. else -errno. */
int ipc_receive(int fd, struct ipc_message *ret_message, int *ret_passed_fd);

#endif
