/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
};

union answer {
    struct nlmsghdr header; /* for alignment */
    char bytes[1024];
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

static void fill_question(struct question *question, const struct addr *local, const struct addr *remote)
{
    struct inet_diag_sockid *id = &question->request.id;
    *question = (struct question){
        .header = {.nlmsg_len = sizeof *question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = (uint8_t)local->sa.sa_family, .sdiag_protocol = IPPROTO_TCP},
    };
    put_address(local, id->idiag_src, &id->idiag_sport);
    put_address(remote, id->idiag_dst, &id->idiag_dport);
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    /* An answer that was left behind must not be taken for the next one's. */
    question->header.nlmsg_seq = (uint32_t)id->idiag_sport << 16 | id->idiag_dport;
}

static bool receive(int fd, uint32_t sequence, union answer *ret_answer)
{
    ssize_t n;
    /* The kernel has answered inside send(). */
    while ((n = recv(fd, ret_answer, sizeof *ret_answer, MSG_DONTWAIT)) >= 0 || errno == EINTR) {
        if (n >= (ssize_t)sizeof ret_answer->header && NLMSG_OK(&ret_answer->header, (size_t)n) &&
            ret_answer->header.nlmsg_seq == sequence)
            return true;
    }
    return false;
}

/* Newer kernels add the control group unasked (5.9). */
static uint64_t find_cgroup(const struct nlmsghdr *header)
{
    const struct inet_diag_msg *found = NLMSG_DATA(header);
    size_t length = header->nlmsg_len - NLMSG_LENGTH(sizeof *found);
    uint64_t cgroup = 0;
    for (const struct rtattr *attribute = (const struct rtattr *)(found + 1); RTA_OK(attribute, length);
         attribute = RTA_NEXT(attribute, length)) {
        if (attribute->rta_type == INET_DIAG_CGROUP_ID && RTA_PAYLOAD(attribute) == sizeof cgroup)
            memcpy(&cgroup, RTA_DATA(attribute), sizeof cgroup);
    }
    return cgroup;
}

bool sockdiag_ask(int fd, const struct addr *local, const struct addr *remote, struct sockdiag_socket *ret_socket)
{
    struct question question;
    union answer answer;
    const struct inet_diag_msg *found = NLMSG_DATA(&answer.header);
    if (fd < 0 || local->sa.sa_family != remote->sa.sa_family || addr_length(local) == 0)
        return false;
    fill_question(&question, local, remote);
    if (send(fd, &question, sizeof question, MSG_DONTWAIT) != (ssize_t)sizeof question ||
        !receive(fd, question.header.nlmsg_seq, &answer))
        return false;
    /* Where there is no such connection the kernel looks for a listener, which has no remote port. */
    if (answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY || answer.header.nlmsg_len < NLMSG_LENGTH(sizeof *found) ||
        found->id.idiag_dport != question.request.id.idiag_dport)
        return false;
    *ret_socket = (struct sockdiag_socket){.state = found->idiag_state,
                                           .inode = found->idiag_inode,
                                           .uid = found->idiag_uid,
                                           .cgroup = find_cgroup(&answer.header)};
    return true;
}

bool sockdiag_is_closed(int fd, const struct addr *local, const struct addr *remote)
{
    struct sockdiag_socket socket;
    /* One that is being accepted has no inode either. */
    return sockdiag_ask(fd, local, remote, &socket) && socket.inode == 0 && socket.state != TCP_ESTABLISHED &&
           socket.state != TCP_SYN_SENT;
}
