/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/admission.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/session/private.h"

#define SHED_EVERY_S 60.

static uint64_t total_of(const struct worker *worker, unsigned share)
{
    return shares_total(worker->shares, worker->own_row->users[share].uid);
}

/* One line a minute: whoever wants to can be refused as often as he likes. */
static void note_shed(struct worker *worker, uint32_t uid, unsigned share)
{
    ev_tstamp now = ev_now(worker->loop);
    char who[24] = "a user not known";
    stats_add(&worker->stats->sessions_shed, 1);
    shares_refuse(worker->own_row, share, clock_ms() / 1000);
    worker->shed_untold++;
    if (worker->shed_told_at > 0. && now - worker->shed_told_at < SHED_EVERY_S)
        return;
    if (uid != SHARES_UNKNOWN)
        snprintf(who, sizeof who, "uid %u", (unsigned)uid);
    log_warning("connections refused, or ended for others', because their user had too many: %" PRIu64
                "; the last was of %s, with %" PRIu64 " open sessions",
                worker->shed_untold, who, total_of(worker, share));
    worker->shed_untold = 0;
    worker->shed_told_at = now;
}

bool admission_is_for_others(const struct worker *worker)
{
    unsigned greediest;
    bool beside = false;
    if (!worker_is_full(worker))
        return false;
    return shares_has_room_beside(worker->shares, worker->own_row) ||
           (shares_greediest(worker->shares, worker->own_row, &greediest, &beside) && beside);
}

static struct session *find_newest(const struct worker *worker, unsigned share)
{
    struct session *session;
    TAILQ_FOREACH_REVERSE(session, &worker->sessions, session_list, among)
    {
        if (session->share == share)
            return session;
    }
    return NULL;
}

/* For the newcomer, who is counted already. False: nobody has more than its user. */
static bool make_room(struct worker *worker, unsigned newcomer)
{
    unsigned greediest;
    bool beside;
    if (!shares_greediest(worker->shares, worker->own_row, &greediest, &beside) ||
        total_of(worker, greediest) <= total_of(worker, newcomer))
        return false;
    struct session *newest = find_newest(worker, greediest);
    if (!newest)
        return false;
    note_shed(worker, newest->uid, greediest);
    session_close(newest, REASON_FAIR_SHARE, NULL);
    return true;
}

bool admission_take(struct worker *worker, uint32_t uid, unsigned *ret_share)
{
    unsigned share = shares_enter(worker->own_row, uid);
    unsigned most = worker->settings ? worker->settings->conf->sessions_per_user : UINT_MAX;
    bool admitted = shares_total(worker->shares, uid) <= most; /* those who are not known are one user */
    while (admitted && worker_is_full(worker))
        admitted = make_room(worker, share);
    if (!admitted) {
        note_shed(worker, uid, share);
        shares_leave(worker->own_row, share);
        return false;
    }
    *ret_share = share;
    return true;
}

void admission_leave(struct worker *worker, unsigned share)
{
    shares_leave(worker->own_row, share);
}

bool admission_may_hold(const struct worker *worker, unsigned share)
{
    return worker->n_held + worker->held_by[share] < WORKER_HELD_MAX;
}
