/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of a session share: session.c (its beginning, life and end), who.c (who made it), hearing.c (what its
 * client says first), opening.c (its way through the proxy) and http.c (requests of plain HTTP); and worker.c, for the
 * list. Nobody else includes this. */
#ifndef PENSTOCK_RELAY_SESSION_PRIVATE_H
#define PENSTOCK_RELAY_SESSION_PRIVATE_H

#include <ev.h>
#include <stdint.h>
#include <sys/queue.h>

#include "channel/link/link.h"
#include "channel/link/tunnel.h"
#include "relay/http/requests.h"
#include "relay/pump/pump.h"
#include "relay/session/destination.h"
#include "relay/session/first_bytes.h"
#include "relay/session/session.h"

enum session_state {
    SESSION_NEW,
    SESSION_SNIFF,   /* reading what the client says first */
    SESSION_DIAL,    /* a way through the proxy is being opened */
    SESSION_UNNAMED, /* before a dial: the gate is asked for a name that the proxy is told; bounded in time */
    SESSION_HELD,    /* the dial failed and the route is under test: waits for the next route */
    SESSION_READY, /* a tunnel to the address is up; nothing has passed through it, and the client may yet say a name */
    SESSION_REFUSED,  /* the proxy has refused the address; the client may yet say a name */
    SESSION_OPEN,     /* the pump runs */
    SESSION_REQUESTS, /* plain HTTP, request by request: one is awaited, or on its way */
    SESSION_ENDED,
};

struct session {
    struct worker *worker;
    TAILQ_ENTRY(session) among; /* the worker's sessions */
    struct settings *settings;  /* in force at its begin, then at the last dial; NULL: none were */
    struct stream *client;      /* the proxy's is in link, then in tunnel, then here, later both are in pump */
    struct stream *proxy;       /* of SESSION_READY; NULL: none */
    struct link *link;          /* NULL: none, or in the tunnel */
    struct tunnel *tunnel;
    ev_timer timer;
    enum session_state state;
    enum sniff_kind kind;
    struct destination_facts facts;
    bool ech;
    uint8_t target;      /* enum target; of the last CONNECT */
    uint8_t mode, cause; /* enum route_mode, enum cause; of the last dial */
    uint8_t refused;     /* enum reason; of SESSION_REFUSED */
    uint8_t tries;       /* dials that failed through the proxy's fault */
    uint64_t id, generation;
    ev_tstamp began_at, held_until; /* 0: never held; all holds together have one limit */
    ev_tstamp spoke_at, ready_at;   /* the client said a part of its first bytes; SESSION_READY began */
    uint32_t uid;                   /* of who made the connection; SHARES_UNKNOWN: not of this host, or gone already */
    unsigned share;                 /* of that user, see admission.h */
    uint64_t cgroup;                /* 0: not known */
    char *user, *system_unit;       /* NULL: not known, or nobody is told */
    struct identity identity;       /* what is told to the proxy, of those three */
    ev_tstamp named_until;          /* 0: SESSION_UNNAMED was not entered; all of them have one limit */
    struct addr client_address, destination, own, proxy_address;
    struct policy_rule rule; /* that decided last, of the settings' configuration */
    char *name;              /* NULL: none */
    char *held_detail;       /* why the last dial failed; NULL: none */
    char *name_detail;       /* why the proxy could not reach the name; NULL: none */
    struct first_bytes head;
    int http_status, name_status; /* of the last CONNECT, of the one for a name that could not be reached; 0: none */
    struct pump pump;
    bool upgrading;            /* a tunnel for a request that asks for another protocol */
    struct requests *requests; /* NULL: none; for the client, then also in SESSION_DIAL and SESSION_HELD */
    uint64_t requests_answered, requests_up, requests_down; /* of those before a tunnel */
    uint64_t way;                                           /* the worker's, of the last dial */
};

/* ---- session.c ---- */
/* The only writer of the state. */
void session_enter(struct session *session, enum session_state state);
void session_set_timer(struct session *session, double after);
/* From here on the pump moves bytes to session->proxy and back. */
void session_open(struct session *session);

/* ---- hearing.c: the session may have ended when one of these returns ---- */
void session_watch_client(struct session *session, bool on);
/* Reads on what the client says first. */
void session_hear(struct session *session);
/* What is there must do. */
void session_hear_no_more(struct session *session);
/* The timer of a state in which a name may come. */
void session_limit_hearing(struct session *session);
void session_hearing_timer(struct session *session);

/* ---- http.c: the session may have ended when one of the first three returns ---- */
/* What the client says is plain HTTP, each request for itself. */
void session_begin_requests(struct session *session);
/* CONNECT for a request was refused: the proxy's answer, which can be read from link, is the client's. */
void session_pass_refusal(struct session *session, struct link *link);
/* The request goes over link, which is taken over; idled: it has waited. */
void session_ask(struct session *session, struct link *link, bool idled);
/* The same over a link that is there already. False: there is none. */
bool session_ask_over_kept(struct session *session);
bool session_request_has_name(const struct session *session);
/* The host that the request at hand names: its name, or else its address with the port of the connection; neither:
 * *ret_name is empty and ret_addr untouched. */
void session_request_host(const struct session *session, char ret_name[static HOSTNAME_SIZE], struct addr *ret_addr);
void session_check_requests(struct session *session); /* the timer of SESSION_REQUESTS */
/* Closes the client's side as the requests have ended. */
void session_close_requests(struct session *session, enum reason reason, const char *detail);
uint64_t session_answered(const struct session *session);
uint64_t session_up(const struct session *session);
uint64_t session_down(const struct session *session);

/* ---- who.c ---- */
void session_identify(struct session *session);
/* For people; NULL: not known. */
const char *session_unit(const struct session *session);
/* Fills session->identity for the route of the last dial. False: a name that is told to the proxy is still awaited. */
bool session_is_named(struct session *session);
/* True: it waits for one, and dials again. */
bool session_await_names(struct session *session);
struct warm_key session_warm_key(const struct session *session);

/* ---- opening.c ---- */
/* May it go to the proxy, by what is known of it and the settings? False: it has ended. */
bool session_judge(struct session *session);
/* The client has been heard while a way was being opened, or after that. The session may have ended when it returns. */
void session_reconsider(struct session *session);
/* There is no way through the proxy. */
void session_way_failed(struct session *session, const struct link_failure *failure);
/* Opens a way along the route as it is now. The session may have ended when it returns. */
void session_dial(struct session *session);
/* Abandons it as far as it has come. */
void session_drop_way(struct session *session);

#endif
