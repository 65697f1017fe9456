/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/gate.h"

#include <assert.h>
#include <ev.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "base/clock.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/spawn.h"
#include "gate/children/children.h"
#include "gate/control/record.h"
#include "gate/control/server.h"
#include "gate/control/status.h"
#include "gate/control/verbs.h"
#include "gate/decide/enforce.h"
#include "gate/decide/refusals.h"
#include "gate/decide/servers.h"
#include "gate/decide/test_run.h"
#include "gate/event.h"
#include "gate/host/file_watch.h"
#include "gate/host/netwatch.h"
#include "gate/host/notify.h"
#include "gate/host/unit_names.h"
#include "gate/host/user_names.h"
#include "gate/host/users.h"
#include "gate/reload.h"
#include "gate/rules/foreign.h"
#include "gate/rules/keeper.h"
#include "gate/rules/table.h"
#include "gate/rules/trial.h"
#include "model/message_id.h"

#define OWN_PROGRAM     "/proc/self/exe" /* runs as a child, too: users_main() */
#define READY_ANYWAY_MS 10000            /* well below the unit's TimeoutStartSec= */

struct gate {
    const struct gate_options *options;
    struct ev_loop *loop;
    char worker[PATH_MAX]; /* the program of the children */
    struct children *children;
    struct keeper *keeper;
    struct netwatch *netwatch;
    struct users *users;
    struct file_watch file_watch;
    struct foreign foreign;
    struct trial trial;
    struct enforcement enforcement;
    struct test_run test_run;
    struct refusals refusals;
    struct servers servers;
    struct unit_names unit_names;
    struct user_names *user_names;
    struct reload reload;
    struct status_source status;
    struct record record;
    struct verbs *verbs;
    struct control *control;
    struct notify notify;
    int64_t started_ms;
    bool keep_closed; /* whatever OnStop says: a restart or the host's shutdown is under way */
    ev_signal terminate, interrupt, hangup, closing;
    ev_prepare settle;
};

/* ---- what happens ---- */

static bool has_relay(const struct gate *gate)
{
    unsigned ready, wanted;
    children_count_relays(gate->children, &ready, &wanted);
    return ready > 0;
}

/* The prober can be asked for a test, or a relay listens. */
static void take_conf_done(struct gate *gate, const struct child *child, const struct ipc_conf_done *done)
{
    if (!reload_on_conf_done(&gate->reload, child, done))
        return;
    if (child_role(child) == CHILD_PROBER)
        test_run_request(&gate->test_run, SCHEDULE_START);
    else
        enforce_relays_ready(&gate->enforcement, has_relay(gate));
}

static void take_child_lost(struct gate *gate, const struct child *child)
{
    if (child_role(child) == CHILD_PROBER) {
        test_run_on_prober_lost(&gate->test_run);
        reload_on_prober_lost(&gate->reload);
    } else {
        enforce_relays_ready(&gate->enforcement, has_relay(gate));
    }
}

/* The prober connects only where the kernel lets it, and then the relays. */
static void take_named(struct gate *gate, const struct ipc_named *named)
{
    if (!keeper_set_proxies(gate->keeper, named->addrs, named->n))
        enforce_rules_lost(&gate->enforcement);
    children_allow(gate->children, named->id);
}

static void take_report(struct gate *gate, const struct test_report *report)
{
    if (test_run_on_report(&gate->test_run, report))
        servers_take(&gate->servers, report, gate->reload.conf, &gate->enforcement.verdict);
}

static void take_cgroup(struct gate *gate, struct child *relay, uint64_t cgroup)
{
    struct ipc_message message;
    ipc_begin(&message, IPC_UNIT);
    if (unit_names_find(&gate->unit_names, cgroup, &message.unit))
        child_tell(relay, &message);
}

static void take_uid(struct gate *gate, struct child *relay, uint64_t uid)
{
    struct ipc_message message;
    const char *name = uid < CONF_UID_UNKNOWN ? user_names_find(gate->user_names, (uid_t)uid) : "";
    if (!name)
        return; /* EVENT_USER_NAMED */
    ipc_begin(&message, IPC_USER);
    message.user.uid = uid;
    snprintf(message.user.name, sizeof message.user.name, "%s", name);
    child_tell(relay, &message);
}

static void take_message(struct gate *gate, struct child *child, const struct ipc_message *message)
{
    switch ((enum ipc_type)message->type) {
    case IPC_CONF_DONE:
        take_conf_done(gate, child, &message->conf_done);
        return;
    case IPC_REPORT:
        verbs_on_report(gate->verbs, &message->report);
        take_report(gate, &message->report);
        return;
    case IPC_NAMED:
        take_named(gate, &message->named);
        return;
    case IPC_TROUBLE:
        test_run_on_trouble(&gate->test_run, &message->trouble);
        return;
    case IPC_ANSWERS:
        refusals_take(&gate->refusals, gate->reload.number, &message->answers);
        return;
    case IPC_CGROUP:
        take_cgroup(gate, child, message->request.id);
        return;
    case IPC_UID:
        take_uid(gate, child, message->request.id);
        return;
    case IPC_SESSION:
        verbs_on_session(gate->verbs, &message->session);
        return;
    case IPC_SUM:
        verbs_on_sum(gate->verbs, &message->sum);
        return;
    case IPC_SESSIONS_END:
        verbs_on_sessions_end(gate->verbs, message->request.id);
        return;
    case IPC_CONF:
    case IPC_ROUTE:
    case IPC_TEST:
    case IPC_SESSIONS:
    case IPC_PING:
    case IPC_PONG:
    case IPC_UNIT:
    case IPC_USER:
    case IPC_ALLOWED:
        break;
    }
    assert(false); /* children pass nothing else on */
}

static void take_tables_changed(struct gate *gate, const struct event *event)
{
    if (event->foreign)
        foreign_changed(&gate->foreign);
    trial_soon(&gate->trial);
    if (event->ours && !keeper_check(gate->keeper, event->culprit))
        enforce_rules_lost(&gate->enforcement);
}

/* All that happens to the gate, but for the control socket's requests and signals. */
static void event_cb(const struct event *event, void *data)
{
    struct gate *gate = data;
    switch (event->type) {
    case EVENT_MESSAGE:
        take_message(gate, event->child, event->message);
        return;
    case EVENT_CHILD_LOST:
        take_child_lost(gate, event->child);
        return;
    case EVENT_RULES_LOST:
        enforce_rules_lost(&gate->enforcement);
        return;
    case EVENT_RULES_RETRY:
        enforce_retry(&gate->enforcement);
        return;
    case EVENT_TABLES_CHANGED:
        take_tables_changed(gate, event);
        return;
    case EVENT_REDIRECT_TRIED:
        enforce_redirect_tried(&gate->enforcement, gate->trial.text);
        return;
    case EVENT_NETWORK_CHANGED:
        trial_soon(&gate->trial);
        test_run_request(&gate->test_run, SCHEDULE_NETWORK);
        return;
    case EVENT_RESUMED:
        log_info("the host was asleep, testing again");
        test_run_request(&gate->test_run, SCHEDULE_RESUMED);
        return;
    case EVENT_FILES_CHANGED:
        reload_files(&gate->reload);
        return;
    case EVENT_USERS_KNOWN:
        keeper_set_conf(gate->keeper, gate->reload.conf);
        enforce_pursue(&gate->enforcement, &gate->enforcement.wanted);
        return;
    case EVENT_USER_NAMED:
        children_tell_user(gate->children, event->user);
        return;
    }
}

/* The service manager waits for rules in the kernel and a relay behind them, and with it what needs the network. In the
 * end it would give up and end who still tries. */
static bool is_ready(const struct gate *gate)
{
    struct status_rules rules;
    keeper_status(gate->keeper, &rules);
    if (rules.installed || rules.last_resort)
        return gate->enforcement.relays_ready;
    return clock_ms() - gate->started_ms >= READY_ANYWAY_MS;
}

static void tell_manager(struct gate *gate)
{
    const struct verdict *verdict = &gate->enforcement.verdict;
    const char *warning = gate->foreign.text;
    char text[NOTIFY_STATUS_MAX];
    if (is_ready(gate))
        notify_ready(&gate->notify);
    snprintf(text, sizeof text, "%s%s%s%s%s", verdict_status(verdict->kind), verdict->detail[0] != '\0' ? ": " : "",
             verdict->detail, warning[0] != '\0' ? "; warning: " : "", warning);
    notify_status(&gate->notify, text);
    notify_reload(&gate->notify, gate->reload.number, gate->reload.state != RELOAD_IDLE);
}

/* Before the loop sleeps: who waits for what has happened is told. */
static void settle_cb(struct ev_loop *loop, ev_prepare *watcher, int revents)
{
    struct gate *gate = watcher->data;
    netwatch_watch_rules(gate->netwatch, keeper_portid(gate->keeper));
    record_settle(&gate->record, &gate->status);
    verbs_settle(gate->verbs);
    tell_manager(gate);
}

/* ---- start and stop ---- */

static void hangup_cb(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    struct gate *gate = watcher->data;
    reload_request(&gate->reload);
}

static void terminate_cb(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    ev_break(loop, EVBREAK_ALL);
}

/* Before a restart, also where SIGTERM follows at once. */
static void closing_cb(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    struct gate *gate = watcher->data;
    gate->keep_closed = true;
    terminate_cb(loop, watcher, revents);
}

static void watch_signals(struct gate *gate)
{
    ev_signal_init(&gate->terminate, terminate_cb, SIGTERM);
    ev_signal_init(&gate->interrupt, terminate_cb, SIGINT);
    ev_signal_init(&gate->hangup, hangup_cb, SIGHUP);
    ev_signal_init(&gate->closing, closing_cb, SIGUSR1);
    gate->hangup.data = gate->closing.data = gate;
    ev_signal_start(gate->loop, &gate->terminate);
    ev_signal_start(gate->loop, &gate->interrupt);
    ev_signal_start(gate->loop, &gate->hangup);
    ev_signal_start(gate->loop, &gate->closing);
}

/* Before the rules: it tells of another penstockd before that one's are touched. */
static int open_control(struct gate *gate)
{
    const struct verbs_parts parts = {
        .test_run = &gate->test_run, .reload = &gate->reload, .children = gate->children, .status = &gate->status};
    char error[CONTROL_ERROR_MAX];
    gate->verbs = verbs_new(&parts);
    if (!gate->verbs)
        return EX_OSERR;
    gate->control = control_new(gate->loop, gate->options->control_path, &verbs_control_cbs, gate->verbs, error);
    if (gate->control)
        return EX_OK;
    log_error("%s", error);
    return EX_CANTCREAT;
}

static int open_rules(struct gate *gate, const struct event_sink *sink)
{
    const char *owner = getenv("PENSTOCK_TABLE_OWNER");
    char error[TABLE_ERROR_MAX];
    struct table *table = table_new(!owner || strcmp(owner, "no") != 0);
    gate->keeper = table ? keeper_new(gate->loop, table, gate->options->own_uid, sink) : NULL;
    if (!gate->keeper)
        return EX_OSERR;
    /* Without nf_tables the keeper tries again and again, and the verdict says what that means. */
    if (table_open(table, error) == -EPERM) {
        log_error("%s", error);
        return EX_NOPERM;
    }
    gate->netwatch = netwatch_new(gate->loop, sink, error, sizeof error);
    if (!gate->netwatch) {
        log_error("%s", error);
        return EX_OSERR;
    }
    netwatch_watch_rules(gate->netwatch, keeper_portid(gate->keeper));
    return EX_OK;
}

/* Nothing of it acts yet. */
static int open_parts(struct gate *gate, const struct event_sink *sink)
{
    int status = spawn_open_worker(gate->worker);
    if (status < 0) {
        log_error("%s: %s; the installation is not complete", gate->worker, strerror(-status));
        return EX_OSFILE;
    }
    gate->children = children_new(gate->loop, gate->worker, sink);
    gate->users = users_new(gate->loop, OWN_PROGRAM, sink);
    gate->user_names = user_names_new(gate->loop, OWN_PROGRAM, sink);
    if (!gate->children || !gate->users || !gate->user_names)
        return EX_OSERR;
    status = open_control(gate);
    return status == EX_OK ? open_rules(gate, sink) : status;
}

/* Takes conf over. */
static int start(struct gate *gate, const struct event_sink *sink, struct conf *conf)
{
    static const struct verdict testing = {.kind = VERDICT_TESTING};
    int r;
    enforce_init(&gate->enforcement, gate->keeper, gate->children);
    test_run_init(&gate->test_run, gate->loop, gate->children, &gate->enforcement, conf);
    foreign_init(&gate->foreign, gate->loop);
    trial_init(&gate->trial, gate->loop, gate->keeper, gate->children, sink);
    file_watch_init(&gate->file_watch, gate->loop, sink);
    gate->reload = (struct reload){.loop = gate->loop,
                                   .path = gate->options->conf_path,
                                   .foreign = &gate->foreign,
                                   .trial = &gate->trial,
                                   .users = gate->users,
                                   .file_watch = &gate->file_watch,
                                   .keeper = gate->keeper,
                                   .children = gate->children,
                                   .enforcement = &gate->enforcement,
                                   .test_run = &gate->test_run,
                                   .servers = &gate->servers,
                                   .conf = conf};
    reload_init(&gate->reload);
    gate->status = (struct status_source){.enforcement = &gate->enforcement,
                                          .test_run = &gate->test_run,
                                          .servers = &gate->servers,
                                          .keeper = gate->keeper,
                                          .children = gate->children,
                                          .reload = &gate->reload,
                                          .foreign = &gate->foreign,
                                          .refusals = &gate->refusals,
                                          .started = time(NULL)};
    servers_set_conf(&gate->servers, conf);
    foreign_set_conf(&gate->foreign, conf);
    keeper_set_conf(gate->keeper, conf);
    enforce_pursue(&gate->enforcement, &testing); /* the gate is closed before anything else happens */
    record_begin(&gate->record, gate->options->control_path);
    users_set_conf(gate->users, conf);
    trial_set_conf(&gate->trial, conf);
    ev_prepare_start(gate->loop, &gate->settle);
    file_watch_set_conf(&gate->file_watch, conf);
    r = children_configure(gate->children, conf);
    if (r == 0)
        return EX_OK;
    log_error("children cannot be started: %s", strerror(-r));
    return EX_OSERR;
}

/* Blocking: rules first. OnStop=open: the redirect stays until nobody listens behind it. */
static void stop(struct gate *gate)
{
    static const struct log_field fields[] = {{"MESSAGE_ID", MESSAGE_ID_STOPPING}, {NULL, NULL}};
    bool block = gate->keep_closed || gate->reload.conf->on_stop == CONF_STOP_BLOCK;
    log_event(LOG_LEVEL_NOTICE, fields, "stopping; web traffic will be %s",
              gate->keep_closed ? "blocked until the next start"
              : block           ? "blocked (OnStop=block)"
                                : "open (OnStop=open)");
    notify_stopping();
    record_stop(&gate->record, &gate->status, block ? "refused" : "open");
    trial_fini(&gate->trial);
    if (block)
        keeper_stop(gate->keeper, block);
    verbs_stop(gate->verbs);
    control_free(gate->control);
    gate->control = NULL;
    children_free(gate->children);
    gate->children = NULL;
    if (!block)
        keeper_stop(gate->keeper, block);
}

static struct gate *gate_new(const struct gate_options *options)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return NULL;
    gate->options = options;
    gate->started_ms = clock_ms();
    gate->loop = ev_default_loop(EVFLAG_NOENV);
    ev_prepare_init(&gate->settle, settle_cb);
    gate->settle.data = gate;
    notify_init(&gate->notify, gate->loop);
    return gate;
}

static void gate_free(struct gate *gate)
{
    if (gate->test_run.loop)
        test_run_fini(&gate->test_run);
    ev_prepare_stop(gate->loop, &gate->settle);
    ev_signal_stop(gate->loop, &gate->terminate);
    ev_signal_stop(gate->loop, &gate->interrupt);
    ev_signal_stop(gate->loop, &gate->hangup);
    ev_signal_stop(gate->loop, &gate->closing);
    notify_fini(&gate->notify);
    record_fini(&gate->record);
    control_free(gate->control);
    verbs_free(gate->verbs);
    children_free(gate->children);
    users_free(gate->users);
    user_names_free(gate->user_names);
    netwatch_free(gate->netwatch);
    keeper_free(gate->keeper);
    foreign_fini(&gate->foreign);
    unit_names_fini(&gate->unit_names);
    trial_fini(&gate->trial);
    file_watch_fini(&gate->file_watch);
    reload_fini(&gate->reload);
    free(gate);
}

int gate_main(const struct gate_options *options, struct conf *conf)
{
    struct gate *gate = gate_new(options);
    const struct event_sink sink = {.event_cb = event_cb, .data = gate};
    int status;
    if (!gate) {
        log_error("out of memory");
        conf_free(conf);
        return EX_OSERR;
    }
    watch_signals(gate);
    status = open_parts(gate, &sink);
    if (status == EX_OK)
        status = start(gate, &sink, conf);
    else
        conf_free(conf);
    if (status == EX_OK) {
        ev_run(gate->loop, 0);
        stop(gate);
    }
    gate_free(gate);
    return status;
}
