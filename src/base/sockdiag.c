/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

int sockdiag_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (fd < 0)
        return -errno;
    /* From now on only the kernel can answer. */
    (void)connect(fd, (struct sockaddr *)&kernel, sizeof kernel);
    return fd;
}

static void put_address(const struct addr *addr, __be32 ret_host[static 4], __be16 *ret_port)
{
    if (addr->sa.sa_family == AF_INET) {
        ret_host[0] = addr->in4.sin_addr.s_addr;
        *ret_port = addr->in4.sin_port;
    } else {
        memcpy(ret_host, &addr->in6.sin6_addr, 16);
        *ret_port = addr->in6.sin6_port;
    }
}

static bool ask(int fd, const struct addr *local, const struct addr *remote)
{
    struct question question = {
        .header = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = (uint8_t)local->sa.sa_family, .sdiag_protocol = IPPROTO_TCP},
    };
    struct inet_diag_sockid *id = &question.request.id;
    put_address(local, id->idiag_src, &id->idiag_sport);
    put_address(remote, id->idiag_dst, &id->idiag_dport);
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return send(fd, &question, sizeof question, MSG_DONTWAIT) == (ssize_t)sizeof question;
}

bool sockdiag_is_closed(int fd, const struct addr *local, const struct addr *remote)
{
    union {
        struct nlmsghdr header; /* for alignment */
        char bytes[1024];
    } answer;
    if (fd < 0 || local->sa.sa_family != remote->sa.sa_family || !ask(fd, local, remote))
        return false;
    /* The kernel answers inside send(). */
    ssize_t n = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) || answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return false;
    const struct inet_diag_msg *socket_info = NLMSG_DATA(&answer.header);
    /* A socket without an inode has no owner. */
    return socket_info->idiag_inode == 0 && socket_info->idiag_state != TCP_ESTABLISHED &&
           socket_info->idiag_state != TCP_SYN_SENT;
}
