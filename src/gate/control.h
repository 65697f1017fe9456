/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: one request line, an answer of JSON lines, end. Bounded in clients, bytes and time; a client that
 * sends rubbish, stays silent or leaves midway costs nothing but its slot. */
#ifndef PENSTOCK_GATE_CONTROL_H
#define PENSTOCK_GATE_CONTROL_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#define CONTROL_DEFAULT_PATH "/run/penstock/control.sock"

struct control;
struct control_client;

/* verb: "status", "test", "sessions", "config", "reload"…; privileged: root or penstock's own uid (SO_PEERCRED).
 * Answers at once or later with control_send/control_finish; client stays valid until finish or the gone callback. */
struct control_cbs {
    void (*request)(struct control_client *client, const char *verb, bool privileged, void *data);
    void (*gone)(struct control_client *client, void *data);
};

struct control *control_new(struct ev_loop *loop, const char *path, const struct control_cbs *cbs, void *data,
                            char *ret_error, size_t error_size);
void control_free(struct control *control); /* takes NULL; removes the socket */
/* Appends a line (the newline is added). A client whose queue is full is dropped (gone is called, from the loop). */
void control_send(struct control_client *client, const char *line);
void control_finish(struct control_client *client);

#endif
