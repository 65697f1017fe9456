/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/ipc.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (1024 * 1024)
#define PASSED_MAX   4 /* descriptors looked at in one message; the kernel closes those that do not fit */

#define PAYLOAD offsetof(struct ipc_message, report)

struct passed {
    int fds[PASSED_MAX];
    size_t n;
};

/* The size of a message of a type with n servers of its report, or n addresses, in use; 0 when there is no such type.
 */
static size_t message_size(uint32_t type, uint32_t n)
{
    switch ((enum ipc_type)type) {
    case IPC_CONF:
        return PAYLOAD + sizeof(struct ipc_conf);
    case IPC_ROUTE:
        return PAYLOAD + sizeof(struct route);
    case IPC_TEST:
        return PAYLOAD + sizeof(struct ipc_test);
    case IPC_SESSIONS:
    case IPC_SESSIONS_END:
    case IPC_CGROUP:
    case IPC_UID:
    case IPC_PING:
    case IPC_PONG:
    case IPC_ALLOWED:
        return PAYLOAD + sizeof(struct ipc_request);
    case IPC_CONF_DONE:
        return PAYLOAD + sizeof(struct ipc_conf_done);
    case IPC_REPORT:
        return PAYLOAD + offsetof(struct test_report, servers) + n * sizeof(struct server_report);
    case IPC_TROUBLE:
        return PAYLOAD + sizeof(struct ipc_trouble);
    case IPC_ANSWERS:
        return PAYLOAD + sizeof(struct answers);
    case IPC_UNIT:
        return PAYLOAD + sizeof(struct ipc_unit);
    case IPC_USER:
        return PAYLOAD + sizeof(struct ipc_user);
    case IPC_SESSION:
        return PAYLOAD + sizeof(struct ipc_session);
    case IPC_SUM:
        return PAYLOAD + sizeof(struct ipc_sum);
    case IPC_NAMED:
        return PAYLOAD + offsetof(struct ipc_named, addrs) + n * sizeof(struct addr);
    }
    return 0;
}

size_t ipc_size(const struct ipc_message *message)
{
    return message_size(message->type, message->type == IPC_REPORT  ? message->report.n_servers
                                       : message->type == IPC_NAMED ? message->named.n
                                                                    : 0);
}

void ipc_begin(struct ipc_message *message, enum ipc_type type)
{
    memset(message, 0, message_size(type, type == IPC_NAMED ? IPC_ADDRESSES_MAX : CONF_SERVERS_MAX));
    message->type = type;
}

bool ipc_may_say(uint32_t type, bool relay)
{
    if (!relay)
        return type == IPC_REPORT || type == IPC_NAMED;
    return type == IPC_TROUBLE || type == IPC_ANSWERS || type == IPC_CGROUP || type == IPC_UID || type == IPC_SESSION ||
           type == IPC_SUM || type == IPC_SESSIONS_END;
}

/* ---- checks of what came in ---- */

#define TERMINATED(array) (memchr((array), '\0', sizeof array))

/* Looked at as a byte: a bool that is neither 0 nor 1 must not be evaluated as one. */
static bool bool_valid(const bool *value)
{
    unsigned char byte;
    memcpy(&byte, value, sizeof(byte));
    return byte <= 1;
}

static bool addr_valid(const struct addr *addr)
{
    return addr->sa.sa_family == 0 || addr->sa.sa_family == AF_INET || addr->sa.sa_family == AF_INET6;
}

static bool stage_valid(const struct test_stage *stage)
{
    return stage->outcome <= TEST_FAILED && stage->cause < CAUSE_COUNT && TERMINATED(stage->detail);
}

static bool server_valid(const struct server_report *server)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        if (!stage_valid(&server->stages[stage]))
            return false;
    return TERMINATED(server->server) && addr_valid(&server->secure_address) && addr_valid(&server->plain_address) &&
           TERMINATED(server->tls.version) && TERMINATED(server->tls.cipher) && bool_valid(&server->no_route);
}

static bool report_valid(const struct test_report *report)
{
    if (!bool_valid(&report->complete))
        return false;
    for (uint32_t i = 0; i < report->n_servers; i++) {
        if (!server_valid(&report->servers[i]))
            return false;
    }
    return true;
}

static bool route_valid(const struct route *route)
{
    return route->mode <= ROUTE_PLAIN && addr_valid(&route->address) && TERMINATED(route->server) &&
           TERMINATED(route->status);
}

static bool answers_valid(const struct answers *answers)
{
    if (answers->n > ANSWERS_MAX)
        return false;
    for (uint32_t i = 0; i < answers->n; i++)
        if (answers->counts[i].cause >= CAUSE_COUNT || !TERMINATED(answers->counts[i].detail))
            return false;
    return true;
}

static bool session_valid(const struct ipc_session *session)
{
    return addr_valid(&session->client) && addr_valid(&session->destination) && TERMINATED(session->name) &&
           bool_valid(&session->ech) && session->target < TARGET_COUNT && session->mode <= ROUTE_PLAIN &&
           addr_valid(&session->proxy) && TERMINATED(session->state);
}

static bool named_valid(const struct ipc_named *named)
{
    for (uint32_t i = 0; i < named->n; i++)
        if (!addr_valid(&named->addrs[i]) || named->addrs[i].sa.sa_family == 0)
            return false;
    return true;
}

static bool payload_valid(const struct ipc_message *message)
{
    switch ((enum ipc_type)message->type) {
    case IPC_ROUTE:
        return route_valid(&message->route);
    case IPC_CONF_DONE:
        return bool_valid(&message->conf_done.ok) && TERMINATED(message->conf_done.detail);
    case IPC_REPORT:
        return report_valid(&message->report);
    case IPC_TROUBLE:
        return message->trouble.reason < REASON_COUNT && message->trouble.cause < CAUSE_COUNT &&
               TERMINATED(message->trouble.detail);
    case IPC_SESSION:
        return session_valid(&message->session);
    case IPC_SUM:
        return message->sum.sum.by < SUM_BY_COUNT && bool_valid(&message->sum.sum.others) &&
               TERMINATED(message->sum.sum.key);
    case IPC_ANSWERS:
        return answers_valid(&message->answers);
    case IPC_UNIT:
        return TERMINATED(message->unit.unit) && TERMINATED(message->unit.system_unit);
    case IPC_USER:
        return TERMINATED(message->user.name);
    case IPC_NAMED:
        return named_valid(&message->named);
    case IPC_CONF:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_SESSIONS_END:
    case IPC_CGROUP:
    case IPC_UID:
    case IPC_PING:
    case IPC_PONG:
    case IPC_ALLOWED:
        return true; /* plain numbers */
    }
    return false;
}

/* The first size bytes of message were received, and nothing else of it is looked at. */
static bool message_valid(const struct ipc_message *message, size_t size, size_t n_passed)
{
    const size_t n_servers_end = offsetof(struct ipc_message, report.n_servers) + sizeof message->report.n_servers;
    if (size < PAYLOAD)
        return false;
    if (message->type == IPC_REPORT && (size < n_servers_end || message->report.n_servers > CONF_SERVERS_MAX))
        return false;
    if (message->type == IPC_NAMED &&
        (size < offsetof(struct ipc_message, named.addrs) || message->named.n > IPC_ADDRESSES_MAX))
        return false;
    return size == ipc_size(message) && n_passed == (message->type == IPC_CONF ? 1 : 0) && payload_valid(message);
}

/* ---- the socket ---- */

int ipc_pair(int ret_fds[static 2])
{
    const int bytes = BUFFER_BYTES;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    /* The forced form takes CAP_NET_ADMIN; the other gives what net.core.wmem_max allows. On failure the default
     * stays, which still takes the largest message. */
    for (int i = 0; i < 2; i++) {
        if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
            (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

static int send_result(ssize_t sent, size_t size)
{
    if (sent >= 0) {
        assert((size_t)sent == size);
        return 0;
    }
    switch (errno) {
    case EWOULDBLOCK:
    case ENOBUFS:
        return -EAGAIN;
    case ECONNRESET:
    case ENOTCONN:
    case ECONNREFUSED:
        return -EPIPE;
    default:
        return -errno;
    }
}

int ipc_send(int fd, const struct ipc_message *message, int fd_to_pass)
{
    size_t size = ipc_size(message);
    struct iovec iov = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    ssize_t sent;

    assert(size > 0 && size <= sizeof *message);
    assert((fd_to_pass >= 0) == (message->type == IPC_CONF));
    if (fd_to_pass >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        control.align =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd_to_pass, sizeof fd_to_pass);
    }
    do
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return send_result(sent, size);
}

static void collect_passed(struct msghdr *header, struct passed *passed)
{
    passed->n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        size_t n;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        assert(passed->n + n <= PASSED_MAX);
        memcpy(passed->fds + passed->n, CMSG_DATA(c), n * sizeof(int));
        passed->n += n;
    }
}

static void close_passed(struct passed *passed)
{
    while (passed->n > 0)
        close(passed->fds[--passed->n]);
}

/* A peer that left with something unread shows as ECONNRESET once, ahead of what it had sent before. */
static ssize_t receive_retrying(int fd, struct msghdr *header)
{
    ssize_t size;
    bool reset_seen = false, again;
    do {
        size = recvmsg(fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        again = size < 0 && (errno == EINTR || (errno == ECONNRESET && !reset_seen));
        reset_seen = reset_seen || (size < 0 && errno == ECONNRESET);
    } while (again);
    return size;
}

int ipc_receive(int fd, struct ipc_message *ret_message, int *ret_passed_fd)
{
    union {
        char bytes[CMSG_SPACE(PASSED_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = ret_message, .iov_len = sizeof *ret_message};
    struct msghdr header = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct passed passed;
    ssize_t size = receive_retrying(fd, &header);

    if (size < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        return errno == ECONNRESET ? -EPIPE : -errno;
    }
    collect_passed(&header, &passed);
    if (size == 0 || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        !message_valid(ret_message, (size_t)size, passed.n)) {
        close_passed(&passed);
        return size == 0 ? -EPIPE : -EBADMSG;
    }
    *ret_passed_fd = passed.n == 1 ? passed.fds[0] : -1;
    return 1;
}
