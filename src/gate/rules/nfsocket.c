/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/nfsocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

#define SOCKET_BUFFER (1 << 20)   /* the largest batch, and the errors of every message in it */
#define RECEIVE_MAX   (64u << 10) /* the kernel's dumps come in pieces of at most 32 KiB */

struct nfsocket {
    struct mnl_socket *mnl;
    uint32_t seq; /* the next one */
    int64_t deadline_ms;
    unsigned char buf[RECEIVE_MAX];
};

static int wait_for(const struct nfsocket *nfsocket, short events)
{
    struct pollfd pollfd = {.fd = mnl_socket_get_fd(nfsocket->mnl), .events = events};
    int64_t left = nfsocket->deadline_ms - clock_ms();
    int r = left > 0 ? poll(&pollfd, 1, (int)left) : 0;
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    return r == 0 ? -ETIMEDOUT : 0;
}

static int send_all(struct nfsocket *nfsocket, const void *data, size_t size)
{
    for (;;) {
        int r;
        if (mnl_socket_sendto(nfsocket->mnl, data, size) >= 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        r = wait_for(nfsocket, POLLOUT);
        if (r < 0)
            return r;
    }
}

static ssize_t receive(struct nfsocket *nfsocket)
{
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(nfsocket->mnl, nfsocket->buf, sizeof nfsocket->buf);
        int r;
        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        r = wait_for(nfsocket, POLLIN);
        if (r < 0)
            return r;
    }
}

static int take_hint(const struct nlattr *attribute, void *data)
{
    struct nfsocket_answer *answer = data;
    if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0)
        snprintf(answer->hint, sizeof answer->hint, "%s", mnl_attr_get_str(attribute));
    return MNL_CB_OK;
}

static void note_hint(struct nfsocket_answer *answer, const struct nlmsghdr *message, const struct nlmsgerr *err)
{
    size_t offset = sizeof *err;
    if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
        return;
    if (!(message->nlmsg_flags & NLM_F_CAPPED))
        offset += MNL_ALIGN(err->msg.nlmsg_len) - sizeof err->msg;
    if (offset < mnl_nlmsg_get_payload_len(message))
        mnl_attr_parse(message, (unsigned int)offset, take_hint, answer);
}

static void note_error(struct nfsocket_answer *answer, const struct nlmsghdr *message)
{
    const struct nlmsgerr *err = mnl_nlmsg_get_payload(message);
    if (mnl_nlmsg_get_payload_len(message) < sizeof *err) {
        answer->error = -EBADMSG;
        answer->ended = true;
        return;
    }
    if (err->error != 0 && answer->error == 0) {
        answer->error = err->error;
        answer->error_seq = message->nlmsg_seq;
        note_hint(answer, message, err);
    }
    /* An error about the first message of a batch, its envelope, can be the only one. */
    if (message->nlmsg_seq == answer->last_seq || (err->error != 0 && message->nlmsg_seq == answer->first_seq))
        answer->ended = true;
}

static void take_message(struct nfsocket_answer *answer, const struct nlmsghdr *message)
{
    if (message->nlmsg_seq - answer->first_seq > answer->last_seq - answer->first_seq)
        return; /* of an earlier request that was given up */
    if (message->nlmsg_flags & NLM_F_DUMP_INTR)
        answer->interrupted = true;
    if (message->nlmsg_type == NLMSG_ERROR) {
        note_error(answer, message);
    } else if (message->nlmsg_type == NLMSG_DONE) {
        answer->ended = true;
    } else if (message->nlmsg_type >= NLMSG_MIN_TYPE) {
        if (answer->message)
            answer->message(message, answer->data);
        answer->ended |= answer->single;
    }
}

int nfsocket_exchange(struct nfsocket *nfsocket, const void *data, size_t size, struct nfsocket_answer *answer)
{
    int r = send_all(nfsocket, data, size);
    while (r >= 0 && !answer->ended) {
        ssize_t n = receive(nfsocket);
        int left = (int)n;

        if (n < 0)
            return (int)n;
        /* libmnl takes a length of 2^31 and more for a negative one, which fits everywhere and leads nowhere. */
        for (const struct nlmsghdr *message = (const struct nlmsghdr *)nfsocket->buf;
             mnl_nlmsg_ok(message, left) && message->nlmsg_len <= RECEIVE_MAX; message = mnl_nlmsg_next(message, &left))
            take_message(answer, message);
    }
    return r < 0 ? r : answer->error;
}

void nfsocket_set_deadline(struct nfsocket *nfsocket, int milliseconds)
{
    nfsocket->deadline_ms = clock_ms() + milliseconds;
}

uint32_t nfsocket_take_seq(struct nfsocket *nfsocket, uint32_t count)
{
    uint32_t first = nfsocket->seq;
    nfsocket->seq += count;
    return first;
}

struct nlmsghdr *nfsocket_request(struct nfsocket *nfsocket, unsigned char buf[static NFSOCKET_REQUEST_MAX],
                                  uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
    struct nfgenmsg *nfg;
    message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = nfsocket_take_seq(nfsocket, 1);
    nfg = mnl_nlmsg_put_extra_header(message, sizeof *nfg);
    nfg->nfgen_family = type == NFT_MSG_GETGEN ? AF_UNSPEC : NFPROTO_INET;
    nfg->version = NFNETLINK_V0;
    nfg->res_id = 0;
    return message;
}

static void set_buffers(struct mnl_socket *mnl)
{
    int fd = mnl_socket_get_fd(mnl), size = SOCKET_BUFFER;
    /* Without the capability for FORCE the usual buffers must do: they do for all but huge bypass lists. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static struct mnl_socket *open_socket(void)
{
    struct mnl_socket *mnl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int on = 1;
    if (!mnl)
        return NULL;
    if (mnl_socket_bind(mnl, 0, MNL_SOCKET_AUTOPID) < 0) {
        mnl_socket_close(mnl);
        return NULL;
    }
    set_buffers(mnl);
    mnl_socket_setsockopt(mnl, NETLINK_EXT_ACK, &on, sizeof on); /* only for better texts */
    mnl_socket_setsockopt(mnl, NETLINK_CAP_ACK, &on, sizeof on); /* errors do not repeat the message */
    return mnl;
}

struct nfsocket *nfsocket_new(void)
{
    struct nfsocket *nfsocket = calloc(1, sizeof *nfsocket);
    if (!nfsocket)
        return NULL;
    nfsocket->seq = (uint32_t)time(NULL);
    nfsocket->mnl = open_socket();
    if (nfsocket->mnl)
        return nfsocket;
    free(nfsocket);
    return NULL;
}

void nfsocket_free(struct nfsocket *nfsocket)
{
    if (!nfsocket)
        return;
    mnl_socket_close(nfsocket->mnl);
    free(nfsocket);
}

uint32_t nfsocket_portid(const struct nfsocket *nfsocket)
{
    return mnl_socket_get_portid(nfsocket->mnl);
}

int nfsocket_dump(struct nfsocket *nfsocket, uint16_t type, void (*take)(const struct nlmsghdr *message, void *data),
                  void *data)
{
    unsigned char buf[NFSOCKET_REQUEST_MAX] = {0};
    struct nlmsghdr *message = nfsocket_request(nfsocket, buf, type, NLM_F_DUMP);
    struct nfgenmsg *nfg = mnl_nlmsg_get_payload(message);
    struct nfsocket_answer answer = {
        .first_seq = message->nlmsg_seq, .last_seq = message->nlmsg_seq, .message = take, .data = data};
    nfg->nfgen_family = NFPROTO_UNSPEC;
    return nfsocket_exchange(nfsocket, message, message->nlmsg_len, &answer);
}
