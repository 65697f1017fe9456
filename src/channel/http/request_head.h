/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a client's HTTP/1 request, read strictly (RFC 9112), and written anew for the proxy: in absolute form,
 * with the Host of that, without what is for one hop only (RFC 9110 section 7.6.1). What could be read in two ways is
 * refused. Pure functions; what was read points into the head. */
#ifndef PENSTOCK_CHANNEL_HTTP_REQUEST_HEAD_H
#define PENSTOCK_CHANNEL_HTTP_REQUEST_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/http/body.h"
#include "channel/http/fields.h"
#include "channel/http/headers.h"
#include "model/conf/conf.h"
#include "model/hostname.h"

#define HTTP_PORT 80

enum request_form { REQUEST_ORIGIN, REQUEST_ABSOLUTE, REQUEST_ASTERISK };

struct request_head {
    struct span method;
    struct span path;      /* with the query; empty: of an absolute form without one, and "*" */
    struct span host;      /* of the target or of Host, without port, with brackets; empty: the client said none */
    struct span authority; /* the same with its port */
    uint16_t port;         /* 0: the client said none */
    struct span fields;    /* all lines of them */
    struct hops hops;
    struct framing framing;
    enum request_form form;
    uint8_t minor;         /* HTTP/1.x */
    bool keep_alive;       /* the client would send another one */
    bool expects_continue; /* it sends the body when it is told to, or after a while */
    bool upgrade;          /* to something else than HTTP/2, which nobody has to follow */
    bool binds;            /* authenticates the connection: NTLM, Negotiate */
    bool repeatable;       /* RFC 9110 section 9.2.2, and there is no body */
};

struct head_fault {
    int status; /* 400, 431 or 501 */
    const char *why;
};

/* head: one that head_find_end() has found, without empty lines before it. False: *ret_fault says why. */
bool request_head_read(struct span head, struct request_head *ret_head, struct head_fault *ret_fault);

/* Is it what a client says to its own proxy: CONNECT, or an absolute form? line: a request line without its end. */
bool request_line_is_for_a_proxy(struct span line);

/* What is written beside the client's words. */
struct request_target {
    const struct conf *conf;         /* headers */
    const struct identity *identity; /* headers_put()'s */
    const char *default_host;        /* where to when the client has named none, without brackets */
    uint16_t port;                   /* that it dialled, which is the one to go to whatever it says */
};

/* What request_head_write() needs at most. */
size_t request_head_room(const struct request_head *head, const struct request_target *target);

/* Returns the length, or -EMSGSIZE. */
int request_head_write(const struct request_head *head, const struct request_target *target, char *buf, size_t size);

/* May no client send that field to the proxy: one that a configured header has, or one that says what a message is?
 * For trailers; data: a struct conf. */
bool request_field_is_ours(const char *name, size_t length, const void *data);

#endif
