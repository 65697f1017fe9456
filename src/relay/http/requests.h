/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's plain HTTP, request by request: each is read strictly, judged by who owns this, and sent in absolute form
 * over a link to the proxy; its answer goes back before the next request is looked at. What the proxy's connection
 * does and what the client's does are two things. It owns what it needs of a request, and the link while it has one;
 * the client's stream stays the session's. */
#ifndef PENSTOCK_RELAY_HTTP_REQUESTS_H
#define PENSTOCK_RELAY_HTTP_REQUESTS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/http/answer_head.h"
#include "channel/http/request_head.h"
#include "channel/link/link.h"
#include "relay/http/lane.h"
#include "relay/pump/pump.h"

enum requests_event {
    REQUESTS_WANT_LINK, /* for requests->head: requests_go() when there is one. Nobody watches the client until then */
    REQUESTS_WANT_TUNNEL, /* for requests->head, which asks for another protocol: all that the client has said since is
                             given back to its stream by requests_give_back() */
    REQUESTS_ANSWERED,    /* whole: the link may be taken, by requests_take_link(). The owner may not end here */
    REQUESTS_NO_ANSWER,   /* the link died before it gave any, and requests->failure may be the proxy's: it can be asked
                             once more, as for REQUESTS_WANT_LINK */
    REQUESTS_OVER,        /* requests->failure says why; REASON_DONE: in order */
};

struct requests;

/* From the loop only. But for REQUESTS_ANSWERED it may free the requests. */
typedef void requests_cb(struct requests *requests, enum requests_event event, void *data);

enum requests_state {
    REQUESTS_LISTEN, /* for a request */
    REQUESTS_WAIT,   /* there is one, but no link for it */
    REQUESTS_ASK,    /* it goes to the proxy, or its answer comes */
    REQUESTS_ENDED,
};

struct requests {
    const struct pump_means *means;
    struct stream *client;
    struct link *link; /* NULL: none */
    requests_cb *cb;
    void *data;
    ev_timer turn;
    enum requests_state state;
    struct lane up, down;
    int wants_client, wants_proxy; /* STREAM_READABLE, STREAM_WRITABLE */
    bool wants_turn;
    char *text; /* the request's head, until it is answered; NULL: none */
    size_t text_length;
    struct request_head head;
    const struct conf *conf; /* of the request that is on its way */
    bool sent;               /* whole, to the proxy */
    bool unsent;             /* the proxy takes no more of it */
    bool heard;              /* a byte of the answer has come */
    bool told;               /* something of the answer has gone to the client */
    bool passing;            /* a head and a body are on their way to the client */
    bool final;              /* they are the answer's */
    bool keep;               /* the client may send another request */
    bool link_good;          /* the proxy would take another one */
    bool link_rests;         /* the last answer was whole, and the link is good for another request */
    bool link_idled;         /* the link has waited for this request: it may be dead already */
    bool bound;              /* what this connection's user is was said over the link: it is nobody else's */
    bool want_fresh;         /* for requests_go(): one that has not waited */
    bool client_ended;       /* its direction */
    uint64_t count;          /* answered */
    ev_tstamp active_at;     /* when bytes were delivered last */
    int http_status;         /* of the last answer, or of the page that a bad request gets; 0: none */
    struct link_failure failure;
};

/* From requests_start() on it watches the client. NULL: out of memory. */
struct requests *requests_new(const struct pump_means *means, struct stream *client, requests_cb *cb, void *data);
void requests_start(struct requests *requests); /* begins in this round of the loop, but not inside this call */
void requests_free(struct requests *requests);  /* takes NULL; resets the link, leaves the client's stream */

/* The request goes to the proxy over this link, which is taken over, or over the one that is kept (link NULL).
 * idled: it has waited. Of the target the configuration must live on until the answer is whole; of its identity, the
 * proxy is told what may be told over that link. False: out of memory, the link is freed. */
bool requests_go(struct requests *requests, struct link *link, bool idled, const struct request_target *target);

/* In the place of requests_start() and all requests: the answer that can be read from this link, taken over, goes to
 * the client, whose request the owner has asked in another way; then it is over. False: out of memory. */
bool requests_pass_answer(struct requests *requests, struct link *link);

/* The link of the last answer, if another request may go over it: now the caller's. NULL: there is none, or it is bound
 * to this client. */
struct link *requests_take_link(struct requests *requests);
/* Frees it. */
void requests_drop_link(struct requests *requests);

/* 0 or -ENOMEM. */
int requests_give_back(struct requests *requests);

/* How long nothing need move. */
double requests_patience(const struct requests *requests);

/* Is the client owed an answer, of which it has had nothing yet? */
bool requests_owe_answer(const struct requests *requests);
/* Does nothing wait for anybody? */
bool requests_are_idle(const struct requests *requests);

#endif
