/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/socket.h"
#include "base/timer.h"
#include "model/trial.h"
#include "relay/admission.h"
#include "relay/session/session.h"

#define ACCEPTS_MAX  64 /* before others have their turn */
#define PAUSE_S      0.1
#define ORIGINAL_DST 80 /* SO_ORIGINAL_DST, and IP6T_SO_ORIGINAL_DST for IPv6 */

struct listener {
    struct ev_loop *loop;
    struct worker *worker;
    struct addr address;
    int fd;
    ev_io io;
    ev_timer pause;
    int accepts; /* so many are tried when there is something to accept */
    bool told;   /* that connections wait */
    bool waited; /* for other relays, which did not take what is there */
};

static void listener_wait(struct listener *listener, const char *why)
{
    char text[ADDR_TEXT_MAX];
    if (!listener->told)
        log_warning("listener %s: %s; new connections wait", addr_text(&listener->address, text), why);
    listener->told = true;
    ev_io_stop(listener->loop, &listener->io);
    timer_arm(listener->loop, &listener->pause, PAUSE_S);
}

static void pause_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct listener *listener = timer->data;
    listener->waited = true;
    ev_io_start(loop, &listener->io);
}

/* Where the client wanted to go before the redirect; family AF_UNSPEC when conntrack knows nothing of it. */
static struct addr original_destination(int fd, int family)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    struct addr destination;
    if (getsockopt(fd, family == AF_INET6 ? SOL_IPV6 : SOL_IP, ORIGINAL_DST, &storage, &length) < 0 ||
        !addr_from_sockaddr((struct sockaddr *)&storage, length, &destination))
        memset(&destination, 0, sizeof destination);
    return destination;
}

/* What accept() says of one connection or of none; the next one may be good (accept(2), "Error handling"). */
static bool is_passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN || error == ENOPROTOOPT ||
           error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH || error == ENETUNREACH || error == EPERM;
}

/* False: no more now. */
static bool accept_one(struct listener *listener)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    struct addr client;
    int fd = accept4(listener->fd, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (is_passing(errno))
            return true;
        if (errno == EAGAIN)
            listener->told = false;
        else
            listener_wait(listener, strerror(errno));
        return false;
    }
    if (!addr_from_sockaddr((struct sockaddr *)&storage, length, &client)) {
        close(fd);
        return true;
    }
    struct addr destination = original_destination(fd, listener->address.sa.sa_family);
    if (trial_is_destination(&destination)) { /* it has arrived, which is all */
        close(fd);
        return true;
    }
    /* The rules that redirected it may have come since this turn of the loop began, and their route before them. */
    if (listener->worker->hear_cb)
        listener->worker->hear_cb(listener->worker->data);
    session_begin(listener->worker, fd, &client, &destination, &listener->address);
    return true;
}

static void io_cb(struct ev_loop *loop, ev_io *io, int events)
{
    struct listener *listener = io->data;
    bool waited = listener->waited;
    listener->waited = false;
    for (int i = 0; i < listener->accepts; i++) {
        if (!waited && admission_is_for_others(listener->worker)) {
            listener_wait(listener, "the limit of sessions is reached, other relays have room");
            return;
        }
        if (!accept_one(listener)) {
            listener->accepts = i > 1 ? i : 1;
            return;
        }
    }
    /* Connections that come one by one do not need a call each that finds no other; what was left is reported again. */
    listener->accepts = listener->accepts < ACCEPTS_MAX / 2 ? 2 * listener->accepts : ACCEPTS_MAX;
}

int listener_new(struct ev_loop *loop, int fd, struct worker *worker, struct listener **ret_listener)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    struct listener *listener;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) < 0)
        return -errno;
    listener = calloc(1, sizeof *listener);
    if (!listener)
        return -ENOMEM;
    if (!addr_from_sockaddr((struct sockaddr *)&storage, length, &listener->address)) {
        free(listener);
        return -EAFNOSUPPORT;
    }
    listener->loop = loop;
    listener->fd = fd;
    listener->accepts = 1;
    listener->worker = worker;
    ev_io_init(&listener->io, io_cb, fd, EV_READ);
    ev_timer_init(&listener->pause, pause_cb, PAUSE_S, 0.);
    listener->io.data = listener->pause.data = listener;
    ev_io_start(loop, &listener->io);
    *ret_listener = listener;
    return 0;
}

void listener_hold(struct listener *listener)
{
    ev_io_stop(listener->loop, &listener->io);
    ev_timer_stop(listener->loop, &listener->pause);
}

void listener_release(struct listener *listener)
{
    ev_io_start(listener->loop, &listener->io);
}

void listener_free(struct listener *listener)
{
    if (!listener)
        return;
    ev_io_stop(listener->loop, &listener->io);
    ev_timer_stop(listener->loop, &listener->pause);
    free(listener);
}
