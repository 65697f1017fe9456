/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/rules/trial.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timer.h"
#include "gate/children/children.h"
#include "gate/rules/keeper.h"
#include "gate/rules/obstacle.h"
#include "model/trial.h"

#define LOSSES_THAT_SAY 2
#define COUNT_OF(a)     (sizeof a / sizeof((a)[0]))

/* A SYN is sent again after a second; others change their rules in several transactions. */
static const struct trial_timing usual = {.answer = 2., .delay = 0.5, .rest = 30., .failed = 3.};

static void arm(struct trial *trial, double seconds)
{
    timer_arm(trial->loop, &trial->timer, seconds);
}

/* What connect() says of this host, its routes or its means tells nothing of the redirect. */
static enum trial_outcome outcome_of_error(int error)
{
    switch (error) {
    case 0:
        return TRIAL_ARRIVED;
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EPERM:
        return TRIAL_LOST;
    default:
        return TRIAL_UNKNOWN;
    }
}

/* With a reset, so that neither side keeps anything. */
static void end_attempt(struct trial_attempt *attempt, enum trial_outcome outcome)
{
    struct linger linger = {.l_onoff = 1};
    int fd = attempt->io.fd;
    attempt->outcome = outcome;
    if (fd < 0)
        return;
    ev_io_stop(attempt->trial->loop, &attempt->io);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
    ev_io_set(&attempt->io, -1, EV_WRITE);
}

static void begin_attempt(struct trial_attempt *attempt)
{
    struct trial *trial = attempt->trial;
    struct addr address;
    bool parsed = addr_parse(attempt->address, trial->conf->ports[0], &address);
    int fd = socket(address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    assert(parsed);
    attempt->outcome = TRIAL_OPEN;
    ev_io_set(&attempt->io, fd, EV_WRITE);
    if (fd < 0)
        attempt->outcome = TRIAL_UNKNOWN;
    else if (connect(fd, &address.sa, addr_length(&address)) == 0)
        end_attempt(attempt, TRIAL_ARRIVED);
    else if (errno != EINPROGRESS)
        end_attempt(attempt, outcome_of_error(errno));
    else
        ev_io_start(trial->loop, &attempt->io);
}

/* ---- a trial ---- */

static bool any_is(const struct trial *trial, enum trial_outcome outcome)
{
    for (size_t i = 0; i < COUNT_OF(trial->attempts); i++)
        if (trial->attempts[i].outcome == outcome)
            return true;
    return false;
}

/* A queue that is full answers nobody, and a user can fill it: that says nothing of the rules. Nor does a trial during
 * which they were changed. */
static bool says_something(const struct trial *trial)
{
    struct status_rules rules;
    keeper_status(trial->keeper, &rules);
    return rules.installed && !trial->again && !trial->crowded && !children_listen_full(trial->children);
}

static void tell(struct trial *trial, const char *text)
{
    const struct event event = {.type = EVENT_REDIRECT_TRIED};
    if (strcmp(trial->text, text) == 0)
        return;
    snprintf(trial->text, sizeof trial->text, "%s", text);
    trial->sink.event_cb(&event, trial->sink.data);
}

static const char *lost_families(const struct trial *trial)
{
    bool ipv4 = trial->attempts[0].outcome == TRIAL_LOST, ipv6 = trial->attempts[1].outcome == TRIAL_LOST;
    return ipv4 && ipv6 ? "IPv4 and IPv6" : ipv4 ? "IPv4" : "IPv6";
}

static void judge(struct trial *trial)
{
    char text[DETAIL_MAX], who[DETAIL_MAX];
    if (!any_is(trial, TRIAL_LOST)) {
        trial->losses = 0;
        tell(trial, "");
    } else if (says_something(trial) && ++trial->losses >= LOSSES_THAT_SAY) {
        obstacle_find(trial->conf, who);
        snprintf(text, sizeof text, "redirected connections over %s do not arrive: %.*s", lost_families(trial),
                 DETAIL_MAX - 60, who);
        tell(trial, text);
    }
}

static void end(struct trial *trial)
{
    assert(trial->state == TRIAL_RUNNING);
    for (size_t i = 0; i < COUNT_OF(trial->attempts); i++)
        if (trial->attempts[i].outcome == TRIAL_OPEN)
            end_attempt(&trial->attempts[i], TRIAL_LOST);
    trial->state = TRIAL_RESTING;
    judge(trial);
    if (trial->again || trial->losses == 1)
        arm(trial, trial->timing.delay);
    else
        arm(trial, any_is(trial, TRIAL_LOST) ? trial->timing.failed : trial->timing.rest);
}

static void begin(struct trial *trial)
{
    struct status_rules rules;
    keeper_status(trial->keeper, &rules);
    arm(trial, trial->timing.rest);
    /* When both are there, that is a change of rules, too. */
    if (!rules.installed || !children_listen(trial->children))
        return;
    trial->crowded = children_listen_full(trial->children);
    trial->state = TRIAL_RUNNING;
    trial->again = false;
    arm(trial, trial->timing.answer);
    for (size_t i = 0; i < COUNT_OF(trial->attempts); i++)
        begin_attempt(&trial->attempts[i]);
    if (!any_is(trial, TRIAL_OPEN))
        end(trial);
}

static void connected_cb(struct ev_loop *loop, ev_io *watcher, int revents)
{
    struct trial_attempt *attempt = watcher->data;
    socklen_t length = sizeof(int);
    int error = 0;
    if (getsockopt(watcher->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        error = errno;
    end_attempt(attempt, outcome_of_error(error));
    if (!any_is(attempt->trial, TRIAL_OPEN))
        end(attempt->trial);
}

static void timer_cb(struct ev_loop *loop, ev_timer *watcher, int revents)
{
    struct trial *trial = watcher->data;
    assert(trial->conf);
    if (trial->state == TRIAL_RUNNING)
        end(trial);
    else
        begin(trial);
}

/* ---- the object ---- */

void trial_soon(struct trial *trial)
{
    trial->again = true;
    if (trial->state == TRIAL_RESTING &&
        (!ev_is_active(&trial->timer) || ev_timer_remaining(trial->loop, &trial->timer) > trial->timing.delay))
        arm(trial, trial->timing.delay);
}

void trial_set_conf(struct trial *trial, const struct conf *conf)
{
    trial->conf = conf;
    trial_soon(trial);
}

void trial_init(struct trial *trial, struct ev_loop *loop, const struct keeper *keeper, const struct children *children,
                const struct event_sink *sink)
{
    *trial = (struct trial){.loop = loop, .timing = usual, .keeper = keeper, .children = children, .sink = *sink};
    trial->attempts[0].address = TRIAL_IPV4;
    trial->attempts[1].address = TRIAL_IPV6;
    for (size_t i = 0; i < COUNT_OF(trial->attempts); i++) {
        ev_io_init(&trial->attempts[i].io, connected_cb, -1, EV_WRITE);
        trial->attempts[i].io.data = &trial->attempts[i];
        trial->attempts[i].trial = trial;
    }
    ev_timer_init(&trial->timer, timer_cb, 0., 0.);
    trial->timer.data = trial;
}

void trial_fini(struct trial *trial)
{
    if (!trial->loop)
        return;
    ev_timer_stop(trial->loop, &trial->timer);
    for (size_t i = 0; i < COUNT_OF(trial->attempts); i++)
        end_attempt(&trial->attempts[i], TRIAL_UNKNOWN);
}
