/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of link and tunnel share: one way through a proxy at a time, link first, then a tunnel over it. */
#ifndef PENSTOCK_TESTS_LINK_RUN_H
#define PENSTOCK_TESTS_LINK_RUN_H

#include <ev.h>
#include <stdbool.h>

#include "channel/link/link.h"
#include "channel/link/tunnel.h"
#include "loop_peer.h"

struct run {
    struct ev_loop *loop;
    struct conf *conf;
    struct link *link; /* NULL: none, or in the tunnel */
    struct tunnel *tunnel;
    const struct tunnel_request *question; /* to be asked once the link is up; NULL: none */
    bool called, up, free_in_callback;
    struct link_failure failure; /* when not up */
    int http_status;
    struct tls_summary tls;
    struct tls_context *context;
};

extern struct run run;

void run_setup(void);
void run_teardown(void);
void run_free(void); /* link and tunnel */
/* At most for so long, or until a callback. */
void run_loop(double seconds);
/* Until the way is up or has failed. */
void run_to_the_end(void);

/* conf is filled in. below NULL: a new connection. */
void run_begin_link(const struct link_request *request, struct stream *below);
void run_link(const struct link_request *request);
/* The link, then the question over it. */
void run_tunnel(const struct link_request *link, const struct tunnel_request *question);
/* run.question over the link, which must be up. */
void run_ask(void);
/* Once up. */
struct stream *run_take_stream(void);

void check_up(void);
/* "%" in text is the peer's address. */
void check_failed(enum reason reason, bool proxy_at_fault, const struct addr *address, const char *text);
/* Blocking. */
void read_text(struct stream *stream, char *buf, size_t size);

/* ---- the peer's side ---- */

void script_drain(int fd, void *data);

struct tls_script {
    struct peer_tls tls;
    const char *answer; /* NULL: none */
    bool reset;
};

void script_tls(int fd, void *data);
struct peer_tls good_server(void);
struct tls_context *make_context(const char *client); /* run.context */

#endif
