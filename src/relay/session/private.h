/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of a session share: session.c (its beginning, life and end) and opening.c (its way through the proxy);
 * and worker.c, for the list. Nobody else includes this. */
#ifndef PENSTOCK_RELAY_SESSION_PRIVATE_H
#define PENSTOCK_RELAY_SESSION_PRIVATE_H

#include <ev.h>
#include <stdint.h>
#include <sys/queue.h>

#include "channel/link/link.h"
#include "channel/link/tunnel.h"
#include "relay/pump/pump.h"
#include "relay/session/first_bytes.h"
#include "relay/session/session.h"

enum session_state {
    SESSION_NEW,
    SESSION_SNIFF, /* reading what the client says first */
    SESSION_DIAL,  /* a way through the proxy is being opened */
    SESSION_HELD,  /* the dial failed and the route is under test: waits for the next route */
    SESSION_OPEN,  /* the pump runs */
    SESSION_ENDED,
};

struct session {
    struct worker *worker;
    TAILQ_ENTRY(session) among; /* the worker's sessions */
    struct settings *settings;  /* of the last dial; NULL: none yet */
    struct stream *client;      /* the proxy's is in link, then in tunnel, later both are in pump */
    struct link *link;          /* NULL: none, or in the tunnel */
    struct tunnel *tunnel;
    ev_timer timer;
    enum session_state state;
    enum sniff_kind kind;
    uint8_t mode, cause; /* enum route_mode, enum cause; of the last dial */
    uint8_t tries;       /* dials that failed through the proxy's fault */
    uint64_t id, generation;
    ev_tstamp began_at, held_until; /* 0: never held; all holds together have one limit */
    struct addr client_address, destination, own, proxy_address;
    char *name;        /* NULL: none */
    char *held_detail; /* why the last dial failed; NULL: none */
    struct first_bytes head;
    int http_status;
    struct pump pump;
};

/* ---- session.c ---- */
/* The only writer of the state. */
void session_enter(struct session *session, enum session_state state);
void session_set_timer(struct session *session, double after);
/* There is a way: proxy, which is taken over, leads to the destination. */
void session_open(struct session *session, struct stream *proxy);

/* ---- opening.c ---- */
/* Opens a way along the route as it is now. The session may have ended when it returns. */
void session_dial(struct session *session);
/* Abandons it as far as it has come. */
void session_drop_way(struct session *session);

#endif
