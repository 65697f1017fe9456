/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: one request line, an answer of JSON lines, end. Bounded in clients, bytes and time; a client that
 * sends rubbish, stays silent or leaves midway costs nothing but its place. When all places are taken, the user with
 * the most of them loses one to a user with less. */
#ifndef PENSTOCK_GATE_CONTROL_SERVER_H
#define PENSTOCK_GATE_CONTROL_SERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CONTROL_DEFAULT_PATH "/run/penstock/control.sock"
#define CONTROL_ERROR_MAX    256

struct control;
struct control_client;

/* verb: "status", "test", "sessions", "config", "reload"…; privileged: root (SO_PEERCRED); not
 * the daemon's own user, whom the relays share.
 * Answers at once or later with control_send/control_finish; client stays valid until finish or the gone callback. */
struct control_cbs {
    void (*request)(struct control_client *client, const char *verb, bool privileged, void *data);
    void (*gone)(struct control_client *client, void *data);
};

/* As root, before the privileges are dropped: makes the directory of the socket at path (0755) for the user that will
 * bind it. One that exists is left alone, but for that of the default path, which is given to the user. 0 or -errno,
 * text filled. */
int control_make_directory(const char *path, uid_t uid, gid_t gid, char ret_error[static CONTROL_ERROR_MAX]);

/* Replaces the socket file of a daemon that is dead; NULL with the text filled when another one answers there, or the
 * path cannot be bound. cbs is copied. */
struct control *control_new(struct ev_loop *loop, const char *path, const struct control_cbs *cbs, void *data,
                            char ret_error[static CONTROL_ERROR_MAX]);
/* Takes NULL; removes the socket and drops every client without gone(); what is queued for the finished ones is written
 * as far as they can take it at once. */
void control_free(struct control *control);
/* Appends a line (the newline is added). A client whose queue is full is dropped, one for which there is no memory gets
 * that as its last line (gone is called, from the loop). */
void control_send(struct control_client *client, const char *line);
void control_finish(struct control_client *client); /* what was sent goes out; client is not valid any more */
void control_set_data(struct control_client *client, void *data); /* of the one who answers; NULL at first */
void *control_data(const struct control_client *client);

#endif
