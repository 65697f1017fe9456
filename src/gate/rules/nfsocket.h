/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nfnetlink socket: sends a request or a batch and reads the kernel's answer, bounded by a deadline.
 * It belongs to no multicast group: it may own a table, and must not fail for events that nobody reads. */
#ifndef PENSTOCK_GATE_RULES_NFSOCKET_H
#define PENSTOCK_GATE_RULES_NFSOCKET_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NFSOCKET_REQUEST_MAX 512u

struct nfsocket;

/* What an answer says. It ends with an error or acknowledgement for last_seq, with the end of a dump, or, when the
 * request asks for neither, with its first message. */
struct nfsocket_answer {
    /* filled by the caller, the rest zero */
    uint32_t first_seq, last_seq; /* of the messages sent */
    bool single;                  /* ends with its first message */
    void (*message)(const struct nlmsghdr *message, void *data);
    void *data;
    /* filled by the exchange */
    bool ended;
    bool interrupted;   /* a dump during which something changed */
    int error;          /* the kernel's first error, negative */
    uint32_t error_seq; /* the message that it is about */
    char hint[80];      /* what the kernel says about it, or empty */
};

struct nfsocket *nfsocket_new(void);           /* NULL: errno */
void nfsocket_free(struct nfsocket *nfsocket); /* takes NULL */
uint32_t nfsocket_portid(const struct nfsocket *nfsocket);

/* Everything until the next call has to be done by then. */
void nfsocket_set_deadline(struct nfsocket *nfsocket, int milliseconds);
/* Reserves count sequence numbers, returns the first. */
uint32_t nfsocket_take_seq(struct nfsocket *nfsocket, uint32_t count);
/* Starts a request of nf_tables (NFT_MSG_…) in buf, with a new sequence number. */
struct nlmsghdr *nfsocket_request(struct nfsocket *nfsocket, unsigned char buf[static NFSOCKET_REQUEST_MAX],
                                  uint16_t type, uint16_t flags);
/* A dump of all that nf_tables has of a kind (NFT_MSG_GETCHAIN, …); returns like nfsocket_exchange(). */
int nfsocket_dump(struct nfsocket *nfsocket, uint16_t type, void (*take)(const struct nlmsghdr *message, void *data),
                  void *data);
/* 0, the kernel's error, or -errno of the exchange itself (answer->error is 0 then). */
int nfsocket_exchange(struct nfsocket *nfsocket, const void *data, size_t size, struct nfsocket_answer *answer);

#endif
