/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session's client while no byte has passed through a tunnel: what it says first, and that it is still there. The
 * session may have ended when a function of this file returns. */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/close/linger.h"
#include "relay/session/private.h"

static bool session_has_spoken(const struct session *session)
{
    return session->head.length > 0 || stream_pending(session->client) || session->requests;
}

/* How long a name, or the rest of it, may still take. */
static double session_patience_left(const struct session *session)
{
    bool spoke = session->spoke_at > 0.;
    ev_tstamp until = spoke ? session->spoke_at + SESSION_SNIFF_S : session->began_at + SESSION_LATE_S;
    double left = until - ev_now(session->worker->loop);
    return left > 0. ? left : 0.;
}

void session_limit_hearing(struct session *session)
{
    switch (session->state) {
    case SESSION_SNIFF:
    case SESSION_REFUSED:
        session_set_timer(session, session_patience_left(session));
        return;
    case SESSION_READY:
        if (session->head.length > 0)
            session_set_timer(session, session_patience_left(session));
        return;
    case SESSION_NEW:
    case SESSION_DIAL:
    case SESSION_UNNAMED:
    case SESSION_HELD:
    case SESSION_OPEN:
    case SESSION_REQUESTS:
    case SESSION_ENDED:
        return;
    }
}

static bool session_is_for_requests(const struct session *session, const struct sniff *sniff)
{
    return sniff->request && !sniff->for_proxy && session->worker->settings &&
           session->worker->settings->conf->http == CONF_HTTP_REQUEST;
}

/* More bytes would tell nothing: go on with what they have told. */
static void session_heard(struct session *session, const struct sniff *sniff)
{
    session->kind = sniff->kind;
    session->ech = sniff->ech;
    session->facts.heard = true;
    if (sniff->name[0] && !(session->name = strdup(sniff->name))) {
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
    session->facts.named = session->name;
    if (session_is_for_requests(session, sniff)) {
        session_begin_requests(session);
        return;
    }
    switch (session->state) {
    case SESSION_SNIFF:
        session_dial(session);
        return;
    case SESSION_DIAL:
    case SESSION_READY:
    case SESSION_REFUSED:
        session_reconsider(session);
        return;
    case SESSION_UNNAMED: /* the next dial will see it */
    case SESSION_HELD:
        return;
    case SESSION_NEW:
    case SESSION_OPEN:
    case SESSION_REQUESTS:
    case SESSION_ENDED:
        break;
    }
    assert(!"nobody listens in this state");
}

static void session_client_ended(struct session *session);

static void session_take_hearing(struct session *session, enum first_bytes_result result, const struct sniff *sniff)
{
    switch (result) {
    case FIRST_BYTES_MORE:
        session->kind = sniff->kind;
        if (session->spoke_at <= 0. && session->head.length > 0) {
            session->spoke_at = ev_now(session->worker->loop);
            session_limit_hearing(session);
        }
        return;
    case FIRST_BYTES_DONE:
        session_heard(session, sniff);
        return;
    case FIRST_BYTES_ENDED:
        session_client_ended(session);
        return;
    case FIRST_BYTES_FAILED:
        session_close(session, REASON_CLIENT_GONE, stream_error(session->client));
        return;
    case FIRST_BYTES_NO_MEMORY:
        session_close(session, REASON_NO_MEMORY, NULL);
        return;
    }
}

void session_hear(struct session *session)
{
    struct sniff sniff;
    enum first_bytes_result result = first_bytes_read(&session->head, session->client, &sniff);
    session_take_hearing(session, result, &sniff);
}

void session_hear_no_more(struct session *session)
{
    struct sniff sniff;
    enum first_bytes_result result = first_bytes_give_up(&session->head, session->client, &sniff);
    session_take_hearing(session, result, &sniff);
}

/* A client may end its direction and still wait for an answer, but not before it has asked, nor inside TLS. Where the
 * proxy was asked in the client's place, there may be something to hear all the same. */
static void session_client_ended(struct session *session)
{
    bool spoke = session_has_spoken(session);
    bool asked = session->state == SESSION_READY || session->state == SESSION_REFUSED;
    if (spoke ? session->kind == SNIFF_TLS : !asked)
        session_close(session, REASON_CLIENT_GONE, NULL);
    else if (!session->facts.heard)
        session_hear_no_more(session);
    else
        session_watch_client(session, false);
}

/* Bytes that wait in the socket hide its end, so they end the watch; the dial has its limits. */
static void session_look_after_client(struct session *session)
{
    switch (stream_look(session->client)) {
    case STREAM_OK:
        session_watch_client(session, false);
        return;
    case STREAM_AGAIN_READ:
    case STREAM_AGAIN_WRITE:
        return;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
        session_client_ended(session);
        return;
    case STREAM_RESET:
    case STREAM_FAILED:
        session_close(session, REASON_CLIENT_GONE, stream_error(session->client));
        return;
    }
}

static void session_client_cb(int events, void *data)
{
    struct session *session = data;
    if (session->facts.heard)
        session_look_after_client(session);
    else
        session_hear(session);
}

void session_watch_client(struct session *session, bool on)
{
    stream_watch(session->client, session->worker->loop, on ? STREAM_READABLE : 0, session_client_cb, session);
}

/* ---- time ---- */

/* Its peer may be the one who speaks first: the address must do, where it may. */
static void session_end_silence(struct session *session)
{
    bool silent = session->head.length == 0;
    bool by_name_only = session->worker->settings && session->worker->settings->conf->names == CONF_NAMES_REQUIRE;
    if (silent && !by_name_only)
        session_dial(session);
    else if (session_patience_left(session) > 0.)
        session_limit_hearing(session);
    else
        session_hear_no_more(session);
}

/* A tunnel through which nothing has passed: both sides may be silent as long as those of any other. */
static void session_check_ready(struct session *session)
{
    double left = session->ready_at + SESSION_IDLE_S - ev_now(session->worker->loop);
    stream_keep_alive(session->proxy);
    if (session->head.length > 0)
        session_hear_no_more(session);
    else if (left > 0.)
        session_set_timer(session, left);
    else
        session_close(session, REASON_IDLE, NULL);
}

void session_hearing_timer(struct session *session)
{
    switch (session->state) {
    case SESSION_SNIFF:
        session_end_silence(session);
        return;
    case SESSION_READY:
        session_check_ready(session);
        return;
    case SESSION_REFUSED:
        session_hear_no_more(session);
        return;
    case SESSION_NEW:
    case SESSION_DIAL:
    case SESSION_UNNAMED:
    case SESSION_HELD:
    case SESSION_OPEN:
    case SESSION_REQUESTS:
    case SESSION_ENDED:
        break;
    }
    assert(!"nobody listens in this state");
}
