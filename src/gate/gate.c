/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "gate/gate.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/log.h"
#include "gate/control/server.h"
#include "gate/gate_private.h"
#include "gate/rules/table.h"

#define PROGRAM "/proc/self/exe"

/* ---- tests ---- */

/* The service manager waits for rules in the kernel and a relay behind them. */
static void update_ready(struct gate *gate)
{
    struct status_rules rules;
    keeper_status(gate->keeper, &rules);
    if (rules.installed && gate->enforcement.relays_ready)
        notify_ready(&gate->notify);
}

static void report_cb(const struct test_report *report, void *data)
{
    struct gate *gate = data;
    if (test_run_on_report(&gate->test_run, report))
        update_ready(gate);
}

static void prober_ready_cb(void *data)
{
    struct gate *gate = data;
    test_run_request(&gate->test_run, SCHEDULE_START);
}

static void prober_lost_cb(void *data)
{
    struct gate *gate = data;
    test_run_on_prober_lost(&gate->test_run);
}

static void trouble_cb(const struct ipc_trouble *trouble, void *data)
{
    struct gate *gate = data;
    test_run_on_trouble(&gate->test_run, trouble);
}

/* ---- network and rules ---- */

static void network_changed_cb(void *data)
{
    struct gate *gate = data;
    test_run_request(&gate->test_run, SCHEDULE_NETWORK);
}

static void resumed_cb(void *data)
{
    struct gate *gate = data;
    log_info("the host was asleep, testing again");
    test_run_request(&gate->test_run, SCHEDULE_RESUMED);
}

static void table_changed_cb(const char *culprit, void *data)
{
    struct gate *gate = data;
    keeper_check(gate->keeper, culprit);
}

static void rules_lost_cb(const char *why, void *data)
{
    struct gate *gate = data;
    enforce_rules_lost(&gate->enforcement, why);
}

static void rules_retry_cb(void *data)
{
    struct gate *gate = data;
    enforce_retry(&gate->enforcement);
    update_ready(gate);
}

/* ---- children ---- */

static void relays_ready_cb(bool ready, void *data)
{
    struct gate *gate = data;
    if (!ready)
        log_error("no relay is listening any more; redirected connections are refused until one is back");
    enforce_relays_ready(&gate->enforcement, ready);
    update_ready(gate);
}

static void session_cb(const struct ipc_session *session, void *data)
{
    struct gate *gate = data;
    verbs_on_session(gate->verbs, session);
}

static void sessions_end_cb(uint64_t request_id, void *data)
{
    struct gate *gate = data;
    verbs_on_sessions_end(gate->verbs, request_id);
}

/* All children read the same files, so one line is enough. */
static bool is_known_warning(const struct gate *gate, const char *detail)
{
    for (size_t i = 0; i < gate->conf_warnings.n; i++)
        if (strncmp(gate->conf_warnings.lines[i], detail, STATUS_TEXT_SIZE - 1) == 0)
            return true;
    return false;
}

/* Anew: a child that could not use its configuration may have taken it since. */
static void collect_warnings(struct gate *gate)
{
    const char *text;
    gate->conf_warnings.n = 0;
    for (unsigned i = 0; (text = children_complaint(gate->children, i)); i++)
        if (*text && !is_known_warning(gate, text))
            status_add_text(&gate->conf_warnings, "%s", text);
}

static void conf_done_cb(const char *child, bool ok, const char *detail, bool settled, void *data)
{
    struct gate *gate = data;
    if (!ok && detail[0] == '\0')
        detail = "the configuration could not be taken";
    if (detail[0] != '\0' && !is_known_warning(gate, detail))
        log_warning("%s: %s", child, detail);
    collect_warnings(gate);
    if (settled)
        verbs_on_reloaded(gate->verbs, &gate->conf_warnings);
}

/* ---- start and stop ---- */

static void hangup_cb(struct ev_loop *loop, ev_signal *watcher, int revents)
{
    struct status_texts *errors = calloc(1, sizeof *errors);
    if (errors)
        gate_reload(errors, watcher->data);
    free(errors);
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

/* The control socket first: it tells of another penstockd before that one's rules are touched. */
static int open_control(struct gate *gate)
{
    char error[CONTROL_ERROR_MAX];
    gate->verbs = verbs_new(gate->loop, &gate_verbs_ops, gate);
    if (!gate->verbs)
        return EX_OSERR;
    gate->control = control_new(gate->loop, gate->options->control_path, &verbs_control_cbs, gate->verbs, error);
    if (gate->control)
        return EX_OK;
    log_error("%s", error);
    return EX_CANTCREAT;
}

static int open_rules(struct gate *gate)
{
    static const struct keeper_cbs keeper_cbs = {.lost = rules_lost_cb, .retry = rules_retry_cb};
    static const struct netwatch_cbs netwatch_cbs = {
        .table_changed = table_changed_cb, .network_changed = network_changed_cb, .resumed = resumed_cb};
    const char *owner = getenv("PENSTOCK_TABLE_OWNER");
    char error[TABLE_ERROR_MAX];
    struct table *table = table_new(!owner || strcmp(owner, "no") != 0, error);
    if (!table) {
        log_error("%s", error);
        return strstr(error, "CAP_NET_ADMIN") ? EX_NOPERM : EX_UNAVAILABLE;
    }
    gate->netwatch = netwatch_new(gate->loop, table_portid(table), &netwatch_cbs, gate, error, sizeof error);
    if (!gate->netwatch) {
        log_error("%s", error);
        table_free(table);
        return EX_OSERR;
    }
    gate->keeper = keeper_new(gate->loop, table, gate->options->own_uid, &keeper_cbs, gate);
    if (!gate->keeper)
        return EX_OSERR;
    keeper_set_conf(gate->keeper, gate->conf);
    return EX_OK;
}

static int open_children(struct gate *gate)
{
    static const struct children_cbs cbs = {.report = report_cb,
                                            .prober_ready = prober_ready_cb,
                                            .prober_lost = prober_lost_cb,
                                            .relays_ready = relays_ready_cb,
                                            .trouble = trouble_cb,
                                            .session = session_cb,
                                            .sessions_end = sessions_end_cb,
                                            .conf_done = conf_done_cb,
                                            .conf_tried = gate_on_conf_tried};
    gate->children = children_new(gate->loop, PROGRAM, &cbs, gate);
    return gate->children ? EX_OK : EX_OSERR;
}

static int start(struct gate *gate)
{
    static const struct verdict testing = {.kind = VERDICT_TESTING};
    int status = open_control(gate);
    int r;
    if (status == EX_OK)
        status = open_rules(gate);
    if (status == EX_OK)
        status = open_children(gate);
    if (status != EX_OK)
        return status;
    enforce_init(&gate->enforcement, gate->keeper, gate->children);
    test_run_init(&gate->test_run, gate->loop, gate->children, gate->verbs, &gate->enforcement, gate->conf);
    enforce_pursue(&gate->enforcement, &testing); /* the gate is closed before anything else happens */
    gate_others_start(gate);
    r = children_configure(gate->children, gate->conf);
    if (r == 0)
        return EX_OK;
    log_error("children cannot be started: %s", strerror(-r));
    return EX_OSERR;
}

/* Blocking: rules first. OnStop=open: the redirect stays until nobody listens behind it. */
static void stop(struct gate *gate)
{
    bool block = gate->keep_closed || gate->conf->on_stop == CONF_STOP_BLOCK;
    log_notice("stopping; web traffic will be %s", gate->keep_closed ? "blocked until the next start"
                                                   : block           ? "blocked (OnStop=block)"
                                                                     : "open (OnStop=open)");
    notify_stopping();
    if (block)
        keeper_stop(gate->keeper, block);
    control_free(gate->control);
    gate->control = NULL;
    children_free(gate->children);
    gate->children = NULL;
    if (!block)
        keeper_stop(gate->keeper, block);
}

static struct gate *gate_new(const struct gate_options *options, struct conf *conf)
{
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return NULL;
    gate->options = options;
    gate->conf = conf;
    gate->loop = ev_default_loop(EVFLAG_NOENV);
    gate->started = time(NULL);
    notify_init(&gate->notify, gate->loop);
    return gate;
}

static void gate_free(struct gate *gate)
{
    if (gate->test_run.loop)
        test_run_fini(&gate->test_run);
    gate_others_stop(gate);
    ev_signal_stop(gate->loop, &gate->terminate);
    ev_signal_stop(gate->loop, &gate->interrupt);
    ev_signal_stop(gate->loop, &gate->hangup);
    ev_signal_stop(gate->loop, &gate->closing);
    notify_fini(&gate->notify);
    control_free(gate->control);
    verbs_free(gate->verbs);
    children_free(gate->children);
    netwatch_free(gate->netwatch);
    keeper_free(gate->keeper);
    conf_free(gate->new_conf);
    conf_free(gate->conf);
    free(gate);
}

int gate_main(const struct gate_options *options, struct conf *conf)
{
    struct gate *gate = gate_new(options, conf);
    int status;
    if (!gate) {
        log_error("out of memory");
        conf_free(conf);
        return EX_OSERR;
    }
    watch_signals(gate);
    status = start(gate);
    if (status == EX_OK) {
        ev_run(gate->loop, 0);
        stop(gate);
    }
    gate_free(gate);
    return status;
}
