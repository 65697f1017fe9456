/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Redirects of other programs: they are looked for now and then, logged once, and told to the service manager. */
#include "config.h"

#include <string.h>

#include "base/log.h"
#include "gate/gate_private.h"
#include "gate/host/message_id.h"
#include "gate/rules/foreign.h"

#define EVERY 60. /* seconds */

static void look(struct gate *gate)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_OTHERS}, {NULL, NULL}};
    char text[TABLE_ERROR_MAX] = "";
    /* An error is no news: the rules of our own meet it, too. */
    if (foreign_redirects(gate->conf, text) < 0 || strcmp(text, gate->enforcement.warning) == 0)
        return;
    if (text[0] != '\0')
        log_event(LOG_LEVEL_WARNING, fields, "%s", text);
    else
        log_notice("no other table redirects web connections any more");
    enforce_warn(&gate->enforcement, text);
}

static void time_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    look(watcher->data);
}

void gate_others_start(struct gate *gate)
{
    ev_timer_init(&gate->others, time_cb, EVERY, EVERY);
    gate->others.data = gate;
    ev_timer_start(gate->loop, &gate->others);
    look(gate);
}

void gate_others_stop(struct gate *gate)
{
    ev_timer_stop(gate->loop, &gate->others);
}
