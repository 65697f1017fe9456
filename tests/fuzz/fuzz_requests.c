/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client and a proxy that say anything, in any pieces and any order, over two socketpairs: all that the proxy gets is
 * one strict request after another, in absolute form, with the configured field once, and never another one before the
 * first is answered. */
#include "config.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/http/requests.h"

#define HEARD_MAX (1 << 18)
#define LINKS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct ev_loop *loop;
    struct stats stats;
    struct pump_means means;
    struct conf conf;
    struct requests *requests;
    struct link *opening, *kept;
    int client, proxy; /* the fuzzer's ends; -1: none */
    unsigned links;
    bool over;
    char heard[HEARD_MAX]; /* by the proxy, over this link */
    size_t length;
} rig;

static void check(bool good)
{
    if (!good)
        abort();
}

/* ---- what the proxy has got ---- */

static void check_fields(struct span lines)
{
    struct field field;
    unsigned users = 0;
    while (fields_next(&lines, &field) == FIELDS_FIELD)
        users += span_is(field.name, "X-User") || span_is(field.name, "X_User");
    check(users == 1);
}

/* Of one request, from its beginning: how much of it is there; 0: not even its head. */
static size_t check_request(const char *text, size_t length)
{
    struct request_head head;
    struct head_fault fault;
    struct body body;
    size_t checked = 0, at = head_find_end(text, length, &checked);
    if (at == 0)
        return 0;
    check(request_head_read((struct span){text, at}, &head, &fault));
    check(head.form == REQUEST_ABSOLUTE && head.minor == 1);
    check_fields(head.fields);
    body_init(&body, head.framing, false, request_field_is_ours, &rig.conf);
    while (!body_is_done(&body) && at < length) {
        size_t used = 0;
        bool pass = false;
        check(body_read(&body, text + at, length - at, &used, &pass) != BODY_BAD);
        check(pass); /* no extension */
        at += used;
    }
    return at;
}

static void check_heard(void)
{
    size_t at = 0, used;
    while (at < rig.length && (used = check_request(rig.heard + at, rig.length - at)) > 0)
        at += used;
}

static void hear(void)
{
    char ignored[4096];
    ssize_t n;
    while (rig.proxy >= 0 && rig.length < HEARD_MAX &&
           (n = recv(rig.proxy, rig.heard + rig.length, HEARD_MAX - rig.length, MSG_DONTWAIT)) > 0)
        rig.length += (size_t)n;
    while (recv(rig.client, ignored, sizeof ignored, MSG_DONTWAIT) > 0) {}
}

static void proxy_close(void)
{
    hear();
    check_heard();
    if (rig.proxy >= 0)
        close(rig.proxy);
    rig.proxy = -1;
    rig.length = 0;
}

/* ---- the owner ---- */

static const struct request_target target = {.conf = &rig.conf, .default_host = "192.0.2.7", .port = 80};

static void link_cb_of_rig(struct link *link, const struct link_failure *failure, void *data)
{
    rig.opening = NULL;
    check(!failure && requests_go(rig.requests, link, false, &target));
}

static void open_link(void)
{
    int fds[2];
    const struct link_request request = {.conf = &rig.conf};
    proxy_close();
    if (++rig.links > LINKS_MAX) {
        rig.over = true;
        return;
    }
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    rig.proxy = fds[0];
    rig.opening = link_start_over(rig.loop, stream_new_plain(fds[1]), &request, link_cb_of_rig, NULL);
}

static void want_link(struct requests *requests)
{
    struct link *link = rig.kept;
    bool there = (link || requests->link) && !requests->want_fresh;
    rig.kept = there ? NULL : link;
    if (there)
        check(requests_go(requests, link, true, &target));
    else
        open_link();
}

static void event_cb(struct requests *requests, enum requests_event event, void *data)
{
    check(!rig.over);
    switch (event) {
    case REQUESTS_WANT_LINK:
        want_link(requests);
        return;
    case REQUESTS_ANSWERED:
        check(!rig.kept);
        rig.kept = requests_take_link(requests);
        return;
    case REQUESTS_WANT_TUNNEL:
        check(requests_give_back(requests) == 0);
        rig.over = true;
        return;
    case REQUESTS_NO_ANSWER:
    case REQUESTS_OVER:
        rig.over = true;
        return;
    }
}

static struct stream *rig_begin(void)
{
    int fds[2];
    if (!rig.loop) {
        signal(SIGPIPE, SIG_IGN);
        rig.loop = ev_loop_new(EVFLAG_AUTO);
        rig.means = (struct pump_means){.loop = rig.loop, .buffers = buffers_new(0), .stats = &rig.stats};
        rig.conf = (struct conf){.connect_timeout_ms = 5000, .n_headers = 1, .headers = {(char *)"X-User: root"}};
        rig.proxy = -1;
    }
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    rig.client = fds[0];
    rig.over = false;
    rig.links = 0;
    struct stream *stream = stream_new_plain(fds[1]);
    rig.requests = requests_new(&rig.means, stream, event_cb, NULL);
    check(stream && rig.requests);
    requests_start(rig.requests);
    return stream;
}

static void rig_end(struct stream *stream)
{
    requests_free(rig.requests);
    link_free(rig.opening);
    link_free(rig.kept);
    rig.opening = rig.kept = NULL;
    stream_free(stream, true);
    proxy_close();
    close(rig.client);
    check(buffers_out(rig.means.buffers) == 0);
}

/* Pieces: a byte whose lowest bit says who speaks, and whose others say how much; without any he ends his direction. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream *stream = rig_begin();
    for (size_t at = 0; at < size && !rig.over;) {
        bool from_proxy = data[at] & 1;
        size_t length = data[at++] >> 1, left = size - at;
        int fd = from_proxy ? rig.proxy : rig.client;
        length = length < left ? length : left;
        if (fd >= 0 && length > 0)
            (void)!send(fd, data + at, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (fd >= 0)
            shutdown(fd, SHUT_WR);
        at += length;
        for (int i = 0; i < 4 && !rig.over; i++) {
            ev_run(rig.loop, EVRUN_NOWAIT);
            hear();
        }
    }
    rig_end(stream);
    return 0;
}
