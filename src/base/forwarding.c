/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/forwarding.h"

#include <linux/netconf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVE_MAX (32u << 10) /* the most that the kernel puts into one part of a dump */
#define SEQUENCE    1

/* Of what the kernel says about one interface, or about all. */
struct settings {
    int32_t interface, forwarding;
};

static struct settings read_settings(const struct nlmsghdr *header)
{
    struct settings settings = {.interface = NETCONFA_IFINDEX_DEFAULT};
    const size_t head = NLMSG_SPACE(sizeof(struct netconfmsg));
    size_t length = header->nlmsg_len > head ? header->nlmsg_len - head : 0;
    for (const struct rtattr *attribute = (const void *)((const char *)header + head); RTA_OK(attribute, length);
         attribute = RTA_NEXT(attribute, length)) {
        if (RTA_PAYLOAD(attribute) != sizeof(int32_t))
            continue;
        if (attribute->rta_type == NETCONFA_IFINDEX)
            memcpy(&settings.interface, RTA_DATA(attribute), sizeof settings.interface);
        else if (attribute->rta_type == NETCONFA_FORWARDING)
            memcpy(&settings.forwarding, RTA_DATA(attribute), sizeof settings.forwarding);
    }
    return settings;
}

/* IPv4 forwards what comes in by an interface that may; in IPv6 the setting for all decides. */
static bool forwards(int family, const struct settings *settings)
{
    if (settings->forwarding == 0 || settings->interface == NETCONFA_IFINDEX_DEFAULT)
        return false;
    return family == AF_INET || settings->interface == NETCONFA_IFINDEX_ALL;
}

/* False: the dump ends here. */
static bool read_part(int family, const void *part, size_t size, bool *forwarding)
{
    for (const struct nlmsghdr *header = part; NLMSG_OK(header, size); header = NLMSG_NEXT(header, size)) {
        struct settings settings;
        if (header->nlmsg_seq != SEQUENCE || header->nlmsg_type != RTM_NEWNETCONF)
            return false; /* the end, or an error */
        settings = read_settings(header);
        *forwarding = *forwarding || forwards(family, &settings);
    }
    return true;
}

static bool family_forwards(int family)
{
    struct {
        struct nlmsghdr header;
        struct netconfmsg message;
    } question = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof question.message),
                             .nlmsg_type = RTM_GETNETCONF,
                             .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                             .nlmsg_seq = SEQUENCE},
                  .message = {.ncm_family = (uint8_t)family}};
    union {
        struct nlmsghdr header; /* for alignment */
        char bytes[RECEIVE_MAX];
    } part;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    bool forwarding = false;
    ssize_t n;
    if (fd < 0)
        return false;
    /* Connected: only the kernel can answer. It does so inside send() and recv(). */
    if (connect(fd, (struct sockaddr *)&kernel, sizeof kernel) == 0 &&
        send(fd, &question, question.header.nlmsg_len, 0) == (ssize_t)question.header.nlmsg_len) {
        do
            n = recv(fd, &part, sizeof part, 0);
        while (n > 0 && read_part(family, &part, (size_t)n, &forwarding));
    }
    close(fd);
    return forwarding;
}

bool forwarding_warning(char ret_text[static DETAIL_MAX])
{
    bool ipv4 = family_forwards(AF_INET), ipv6 = family_forwards(AF_INET6);
    if (!ipv4 && !ipv6)
        return false;
    snprintf(ret_text, DETAIL_MAX,
             "this host forwards %s%s%s: what containers, virtual machines and other hosts send through it is neither "
             "redirected nor blocked",
             ipv4 ? "IPv4" : "", ipv4 && ipv6 ? " and " : "", ipv6 ? "IPv6" : "");
    return true;
}
