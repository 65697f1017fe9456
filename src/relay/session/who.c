/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who made a session's connection, and what the proxy is told of it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/sockdiag.h"
#include "model/conf/header.h"
#include "relay/session/private.h"

/* While the client's socket is there. The unit's name is asked for now, to be there in the end. */
void session_identify(struct session *session)
{
    struct worker *worker = session->worker;
    struct sockdiag_socket socket;
    session->uid = SHARES_UNKNOWN;
    if (!sockdiag_ask(worker->diag_fd, &session->client_address, &session->destination, &socket) || socket.inode == 0)
        return;
    session->uid = socket.uid;
    session->cgroup = socket.cgroup;
    (void)session_unit(session);
}

const char *session_unit(const struct session *session)
{
    struct worker *worker = session->worker;
    const char *unit = NULL;
    if (session->cgroup != 0)
        (void)names_find(&worker->units, session->cgroup, ev_now(worker->loop), &unit);
    return unit;
}

/* Is the proxy told what one of these letters stands for, over the route of the last dial? */
static bool session_tells(const struct session *session, const char *letters)
{
    const struct conf *conf = session->settings->conf;
    if (session->mode != ROUTE_SECURE && !conf->identity_on_plain)
        return false;
    for (size_t i = 0; i < conf->n_headers; i++) {
        if (header_has(conf->headers[i], letters))
            return true;
    }
    return false;
}

/* A name that the session has once stays: its client cannot change, but what the gate has told may be overwritten.
 * False: it is worth waiting for. */
static bool session_learn(const struct session *session, struct names *names, uint64_t id, char **name)
{
    const char *known = NULL;
    if (*name)
        return true;
    enum names_result result = names_find(names, id, ev_now(session->worker->loop), &known);
    if (result == NAMES_KNOWN)
        *name = strdup(known);
    return result != NAMES_AWAITED;
}

bool session_is_named(struct session *session)
{
    struct worker *worker = session->worker;
    bool named = true;
    if (session->uid != SHARES_UNKNOWN && session_tells(session, "u"))
        named = session_learn(session, &worker->users, session->uid, &session->user);
    if (session->cgroup != 0 && session_tells(session, "n"))
        named = session_learn(session, &worker->system_units, session->cgroup, &session->system_unit) && named;
    session->identity = (struct identity){.user = session->user, .unit = session->system_unit, .uid = session->uid};
    return named;
}

struct warm_key session_warm_key(const struct session *session)
{
    return (struct warm_key){
        .way = session->way, .uid = session->uid, .cgroup = session_tells(session, "n") ? session->cgroup : 0};
}

/* Waits for its names, unless it has done so for long enough: then what is not known is left out. */
bool session_await_names(struct session *session)
{
    ev_tstamp now = ev_now(session->worker->loop);
    if (session_is_named(session))
        return false;
    if (session->named_until <= 0.)
        session->named_until = now + NAMES_PATIENCE_S;
    if (now >= session->named_until)
        return false;
    session_enter(session, SESSION_UNNAMED);
    session_set_timer(session, NAMES_REPEAT_S);
    return true;
}

void session_names_told(struct session *session)
{
    if (session->state == SESSION_UNNAMED && session_is_named(session))
        session_dial(session);
}
