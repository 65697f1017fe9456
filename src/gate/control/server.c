/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/control/server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/timer.h"
#include "gate/control/socket.h"

#define CLIENTS_MAX         32
#define RESERVED_CLIENTS    4 /* places that only root gets */
#define VERB_MAX            256
#define QUEUE_MAX           (8 * 1024 * 1024)
#define REQUEST_SECONDS     5.
#define STALL_SECONDS       10. /* an answer of which nothing can be written for so long */
#define NO_RESOURCE_SECONDS 1.
#define ACCEPTS_PER_WAKEUP  16

enum client_state {
    CLIENT_READING,
    CLIENT_ANSWERING, /* the owner knows it */
    CLIENT_FINISHED,  /* the owner does not, the rest is being written */
};

struct control_client {
    struct control *control;
    LIST_ENTRY(control_client) entry;
    enum client_state state;
    uid_t uid;
    bool overflow;        /* of the queue: to be dropped from the loop */
    bool short_of_memory; /* the queue could not grow: that is the last line */
    int fd;
    ev_io readable, writable;
    ev_timer timer;
    char in[VERB_MAX + 1];
    size_t in_length;
    char *out;
    size_t out_at, out_end, out_size;
    void *data;
};

LIST_HEAD(control_clients, control_client);

struct control {
    struct ev_loop *loop;
    struct control_cbs cbs;
    void *data;
    struct control_socket socket;
    ev_io acceptable;
    ev_timer pause; /* after accept() ran out of descriptors */
    struct control_clients clients;
    unsigned n_clients;
};

/* ---- clients ---- */

static void client_free(struct control_client *client)
{
    struct control *control = client->control;
    ev_io_stop(control->loop, &client->readable);
    ev_io_stop(control->loop, &client->writable);
    ev_timer_stop(control->loop, &client->timer);
    LIST_REMOVE(client, entry);
    assert(control->n_clients > 0);
    control->n_clients--;
    close(client->fd);
    free(client->out);
    free(client);
}

/* Only from the loop. */
static void client_drop(struct control_client *client)
{
    struct control *control = client->control;
    if (client->state == CLIENT_ANSWERING)
        control->cbs.gone(client, control->data);
    client_free(client);
}

static void set_timer(struct control_client *client, double seconds)
{
    timer_arm(client->control->loop, &client->timer, seconds);
}

/* 0, -ENOBUFS: the client reads too slowly, or -ENOMEM. */
static int queue_reserve(struct control_client *client, size_t more)
{
    size_t size = client->out_size ? client->out_size : 4096;
    char *out;
    if (client->out_at > 0) {
        memmove(client->out, client->out + client->out_at, client->out_end - client->out_at);
        client->out_end -= client->out_at;
        client->out_at = 0;
    }
    if (more > QUEUE_MAX - client->out_end)
        return -ENOBUFS;
    while (size < client->out_end + more)
        size *= 2;
    if (size == client->out_size)
        return 0;
    out = realloc(client->out, size);
    if (!out)
        return -ENOMEM;
    client->out = out;
    client->out_size = size;
    return 0;
}

void control_send(struct control_client *client, const char *line)
{
    size_t length = strlen(line);
    int r = client->overflow || client->short_of_memory ? 0 : queue_reserve(client, length + 1);
    client->overflow |= r == -ENOBUFS;
    client->short_of_memory |= r == -ENOMEM;
    if (r < 0)
        ev_feed_event(client->control->loop, &client->writable, EV_WRITE);
    if (client->overflow || client->short_of_memory)
        return;
    memcpy(client->out + client->out_end, line, length);
    client->out[client->out_end + length] = '\n';
    client->out_end += length + 1;
    if (!ev_is_active(&client->writable)) {
        ev_io_start(client->control->loop, &client->writable);
        set_timer(client, STALL_SECONDS);
    }
}

void control_finish(struct control_client *client)
{
    assert(client->state != CLIENT_FINISHED);
    client->state = CLIENT_FINISHED;
    ev_io_stop(client->control->loop, &client->readable);
    ev_io_start(client->control->loop, &client->writable);
    set_timer(client, STALL_SECONDS);
}

void control_set_data(struct control_client *client, void *data)
{
    client->data = data;
}

void *control_data(const struct control_client *client)
{
    return client->data;
}

static void refuse(struct control_client *client, const char *error)
{
    control_send(client, error);
    control_finish(client);
}

static bool is_verb(const char *line)
{
    for (const char *c = line; *c; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return *line != '\0';
}

static void line_cb(struct control_client *client, char *end)
{
    struct control *control = client->control;
    ev_timer_stop(control->loop, &client->timer);
    *end = '\0';
    if (memchr(client->in, '\0', (size_t)(end - client->in)) || !is_verb(client->in)) {
        refuse(client, "{\"error\": \"not a request\"}");
        return;
    }
    client->state = CLIENT_ANSWERING;
    control->cbs.request(client, client->in, client->uid == 0, control->data);
}

/* A client that has shut down its own direction still gets its answer; one that is gone shows when it is written to. */
static void end_cb(struct control_client *client)
{
    if (client->state == CLIENT_READING)
        client_drop(client);
    else
        ev_io_stop(client->control->loop, &client->readable);
}

static void readable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct control_client *client = watcher->data;
    char *end;
    ssize_t n;
    n = recv(client->fd, client->in + client->in_length, VERB_MAX - client->in_length, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 0) {
        end_cb(client);
        return;
    }
    /* After the request there is nothing to say. */
    if (n < 0 || client->state != CLIENT_READING) {
        client_drop(client);
        return;
    }
    client->in_length += (size_t)n;
    end = memchr(client->in, '\n', client->in_length);
    if (end)
        line_cb(client, end);
    else if (client->in_length == VERB_MAX)
        refuse(client, "{\"error\": \"the request is too long\"}");
}

/* True: the queue is empty now. Else wait, or, with an error in errno, give up. */
static bool write_queue(struct control_client *client)
{
    assert(client->out_at <= client->out_end && client->out_end <= client->out_size);
    while (client->out_at < client->out_end) {
        ssize_t n = send(client->fd, client->out + client->out_at, client->out_end - client->out_at,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return false;
        client->out_at += (size_t)n;
        set_timer(client, STALL_SECONDS);
    }
    return true;
}

/* For that there is memory always. */
static bool write_last_line(struct control_client *client)
{
    static const char line[] = "{\"error\": \"out of memory\"}\n";
    return send(client->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void writable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct control_client *client = watcher->data;
    bool written = !client->overflow && write_queue(client) && (!client->short_of_memory || write_last_line(client));
    if (!written && !client->overflow && (errno == EAGAIN || errno == EINTR)) {
        ev_io_start(loop, watcher);
        return;
    }
    if (!written || client->short_of_memory) {
        client_drop(client);
    } else if (client->state == CLIENT_FINISHED) {
        client_free(client);
    } else {
        ev_io_stop(loop, watcher);
        ev_timer_stop(loop, &client->timer);
    }
}

static void timeout_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    client_drop(watcher->data);
}

/* ---- the listener ---- */

/* Of a peer that cannot be told nobody's. */
static uid_t uid_of(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ? (uid_t)-1 : peer.uid;
}

static unsigned places_of(const struct control *control, uid_t uid)
{
    unsigned places = 0;
    for (const struct control_client *client = LIST_FIRST(&control->clients); client; client = LIST_NEXT(client, entry))
        places += client->uid == uid;
    return places;
}

static bool has_place(const struct control *control, uid_t uid)
{
    unsigned others = control->n_clients - places_of(control, 0);
    return control->n_clients < CLIENTS_MAX && (uid == 0 || others < CLIENTS_MAX - RESERVED_CLIENTS);
}

/* Of the user with the most places: who has been silent longest, or else came last. NULL: nobody has two more than the
 * newcomer's user; root makes way for nobody else. */
static struct control_client *find_greediest(const struct control *control, uid_t newcomer)
{
    struct control_client *found = NULL;
    unsigned most = places_of(control, newcomer) + 2;
    /* From the last one that came to the first. */
    for (struct control_client *client = LIST_FIRST(&control->clients); client; client = LIST_NEXT(client, entry)) {
        unsigned places = places_of(control, client->uid);
        if (client->uid == 0 || places < most || (found && places == most && client->state != CLIENT_READING))
            continue;
        found = client;
        most = places;
    }
    return found;
}

static void send_away(int fd)
{
    static const char busy[] = "{\"error\": \"penstockd has too many clients\"}\n";
    (void)!send(fd, busy, strlen(busy), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* For a newcomer of that user. */
static void make_place(struct control *control, uid_t uid)
{
    struct control_client *greediest = find_greediest(control, uid);
    if (!greediest)
        return;
    if (greediest->state == CLIENT_READING)
        send_away(greediest->fd);
    client_drop(greediest);
}

static void client_new(struct control *control, int fd)
{
    uid_t uid = uid_of(fd);
    struct control_client *client;
    if (!has_place(control, uid))
        make_place(control, uid);
    client = has_place(control, uid) ? calloc(1, sizeof *client) : NULL;
    if (!client) {
        send_away(fd);
        close(fd);
        return;
    }
    client->control = control;
    client->fd = fd;
    client->uid = uid;
    LIST_INSERT_HEAD(&control->clients, client, entry);
    control->n_clients++;
    ev_io_init(&client->readable, readable_cb, fd, EV_READ);
    ev_io_init(&client->writable, writable_cb, fd, EV_WRITE);
    ev_timer_init(&client->timer, timeout_cb, 0., 0.);
    client->readable.data = client->writable.data = client->timer.data = client;
    ev_io_start(control->loop, &client->readable);
    set_timer(client, REQUEST_SECONDS);
}

static void acceptable_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct control *control = watcher->data;
    for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++) {
        int fd = accept4(control->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            client_new(control, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            ev_io_stop(loop, watcher);
            timer_arm(loop, &control->pause, NO_RESOURCE_SECONDS);
        }
        return;
    }
}

static void pause_over_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct control *control = watcher->data;
    ev_io_start(loop, &control->acceptable);
}

struct control *control_new(struct ev_loop *loop, const char *path, const struct control_cbs *cbs, void *data,
                            char ret_error[static CONTROL_ERROR_MAX])
{
    struct control *control = calloc(1, sizeof *control);
    if (!control) {
        snprintf(ret_error, CONTROL_ERROR_MAX, "out of memory");
        return NULL;
    }
    if (control_socket_open(&control->socket, path, SOMAXCONN, ret_error) < 0) {
        free(control);
        return NULL;
    }
    control->loop = loop;
    control->cbs = *cbs;
    control->data = data;
    ev_io_init(&control->acceptable, acceptable_cb, control->socket.fd, EV_READ);
    ev_timer_init(&control->pause, pause_over_cb, 0., 0.);
    control->acceptable.data = control->pause.data = control;
    ev_io_start(loop, &control->acceptable);
    return control;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    while (!LIST_EMPTY(&control->clients)) {
        struct control_client *client = LIST_FIRST(&control->clients);
        if (client->state == CLIENT_FINISHED && client->out_end > client->out_at)
            (void)!send(client->fd, client->out + client->out_at, client->out_end - client->out_at,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
        client_free(client);
    }
    ev_io_stop(control->loop, &control->acceptable);
    ev_timer_stop(control->loop, &control->pause);
    control_socket_close(&control->socket);
    free(control);
}
