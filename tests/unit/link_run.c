/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "link_run.h"

#include <check.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/stream_fd.h"

#define GUARD_S 20. /* a test that hangs is ended and fails */

struct run run;

void run_setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    memset(&run, 0, sizeof run);
    run.loop = ev_loop_new(EVFLAG_AUTO);
    run.conf = calloc(1, sizeof *run.conf);
    ck_assert_ptr_nonnull(run.conf);
    run.conf->connect_timeout_ms = (unsigned)peer_patience(5000);
    run.conf->handshake_timeout_ms = (unsigned)peer_patience(5000);
}

void run_free(void)
{
    tunnel_free(run.tunnel);
    link_free(run.link);
    run.tunnel = NULL;
    run.link = NULL;
}

void run_teardown(void)
{
    run_free();
    tls_context_free(run.context);
    free(run.conf);
    ev_loop_destroy(run.loop);
}

static void ended(const struct link_failure *failure)
{
    ck_assert(!run.called);
    run.called = true;
    run.up = !failure;
    if (failure)
        run.failure = *failure;
    if (run.free_in_callback)
        run_free();
    ev_break(run.loop, EVBREAK_ALL);
}

static void answered_cb(struct tunnel *tunnel, const struct link_failure *failure, void *data)
{
    ck_assert_ptr_eq(data, &run);
    ck_assert_ptr_eq(tunnel, run.tunnel);
    run.http_status = tunnel_http_status(tunnel);
    ended(failure);
}

void run_ask(void)
{
    struct tunnel_request question = *run.question;
    struct link *link = run.link;
    question.conf = run.conf;
    run.link = NULL;
    run.tunnel = tunnel_start(run.loop, link, &question, answered_cb, &run);
    ck_assert_ptr_nonnull(run.tunnel);
    ck_assert_msg(!run.called, "called back inside tunnel_start()");
}

static void linked_cb(struct link *link, const struct link_failure *failure, void *data)
{
    ck_assert_ptr_eq(data, &run);
    ck_assert_ptr_eq(link, run.link);
    if (!failure)
        link_tls_summary(link, &run.tls);
    if (!failure && run.question)
        run_ask();
    else
        ended(failure);
}

static void guard_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    ev_break(loop, EVBREAK_ALL);
}

void run_loop(double seconds)
{
    ev_timer guard;
    ev_now_update(run.loop);
    ev_timer_init(&guard, guard_cb, seconds, 0.);
    ev_timer_start(run.loop, &guard);
    ev_run(run.loop, 0);
    ev_timer_stop(run.loop, &guard);
}

void run_to_the_end(void)
{
    run_loop(peer_patience(GUARD_S));
    ck_assert_msg(run.called, "neither up nor failed");
}

void run_begin_link(const struct link_request *request, struct stream *below)
{
    struct link_request whole = *request;
    whole.conf = run.conf;
    ev_now_update(run.loop);
    run.called = false;
    run.link = below ? link_start_over(run.loop, below, &whole, linked_cb, &run)
                     : link_start(run.loop, &whole, linked_cb, &run);
    ck_assert_ptr_nonnull(run.link);
    ck_assert_msg(!run.called, "called back inside link_start()");
}

void run_link(const struct link_request *request)
{
    run_begin_link(request, NULL);
    run_to_the_end();
}

void run_tunnel(const struct link_request *link, const struct tunnel_request *question)
{
    run.question = question;
    run_link(link);
    run.question = NULL;
}

struct stream *run_take_stream(void)
{
    return run.tunnel ? tunnel_take_stream(run.tunnel) : link_take_stream(run.link);
}

void check_up(void)
{
    ck_assert_msg(run.up, "%s", run.failure.detail);
}

void check_failed(enum reason reason, bool proxy_at_fault, const struct addr *address, const char *text)
{
    char detail[DETAIL_MAX], buf[ADDR_TEXT_MAX];
    int before = (int)strcspn(text, "%");
    snprintf(detail, sizeof detail, "%.*s%s%s", before, text, text[before] ? addr_text(address, buf) : "",
             text[before] ? text + before + 1 : "");
    ck_assert(!run.up);
    ck_assert_str_eq(run.failure.detail, detail);
    ck_assert_int_eq(run.failure.reason, reason);
    ck_assert_int_eq(run.failure.proxy_at_fault, proxy_at_fault);
}

void read_text(struct stream *stream, char *buf, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        size_t count;
        enum stream_status status = stream_read(stream, buf + length, size - 1 - length, &count);
        if (status == STREAM_AGAIN_READ) {
            ck_assert_int_eq(poll(&(struct pollfd){.fd = stream_fd(stream), .events = POLLIN}, 1, 10000), 1);
            continue;
        }
        if (status != STREAM_OK)
            break;
        length += count;
    }
    buf[length] = '\0';
}

/* ---- the peer's side ---- */

void script_drain(int fd, void *data)
{
    peer_drain(fd);
}

struct tls_context *make_context(const char *client)
{
    char certificate[64], key[64];
    struct error error;
    snprintf(certificate, sizeof certificate, "%s.pem", client);
    snprintf(key, sizeof key, "%s.key", client);
    run.conf->ca_paths[0] = (char *)peer_pki("ca.pem");
    run.conf->n_ca_paths = 1;
    run.conf->certificate = (char *)peer_pki(certificate);
    run.conf->private_key = (char *)peer_pki(key);
    ck_assert_msg(tls_context_new(run.conf, &error, &run.context) == 0, "%s", error.text);
    return run.context;
}

void script_tls(int fd, void *data)
{
    const struct tls_script *script = data;
    struct peer_channel *channel = peer_tls_accept(fd, NULL, &script->tls);
    char buf[4096];
    if (channel && script->answer && peer_tls_read_head(channel, buf, sizeof buf)) {
        peer_tls_write(channel, script->answer);
        peer_tls_drain(channel);
    }
    if (script->reset)
        peer_reset_at_close(fd);
}

struct peer_tls good_server(void)
{
    return (struct peer_tls){
        .certificate = peer_pki("server.pem"), .key = peer_pki("server.key"), .client_ca = peer_pki("ca.pem")};
}
