/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the gate share: gate.c (start, stop, who calls whom), gate_answers.c, reload.c. */
#ifndef PENSTOCK_GATE_GATE_PRIVATE_H
#define PENSTOCK_GATE_GATE_PRIVATE_H

#include <ev.h>
#include <stdbool.h>
#include <time.h>

#include "gate/children/children.h"
#include "gate/control/server.h"
#include "gate/control/verbs.h"
#include "gate/decide/enforce.h"
#include "gate/decide/test_run.h"
#include "gate/gate.h"
#include "gate/host/netwatch.h"
#include "gate/host/notify.h"
#include "gate/rules/keeper.h"
#include "model/conf/conf.h"

struct gate {
    const struct gate_options *options;
    struct conf *conf;     /* in force */
    struct conf *new_conf; /* of a reload, while the prober tries it; else NULL */
    struct ev_loop *loop;
    struct keeper *keeper;
    struct netwatch *netwatch;
    struct children *children;
    struct verbs *verbs;
    struct control *control;
    struct notify notify;
    struct enforcement enforcement;

    struct test_run test_run;
    time_t started;
    struct status_texts conf_warnings; /* of the children, about the configuration in force */
    bool keep_closed;                  /* whatever OnStop says: a restart or the host's shutdown is under way */
    ev_signal terminate, interrupt, hangup, closing;
    ev_timer others;
};

/* For the verbs of the control socket; data is the gate. */
extern const struct verbs_ops gate_verbs_ops;

/* Reads the configuration again and lets the prober try it. False: it stays as it is, ret_errors says why (logged too).
 * True: verbs_on_reloaded() or verbs_on_reload_refused() follows. */
bool gate_reload(struct status_texts *ret_errors, void *data);
/* What the prober said: then it is in force everywhere, or nowhere. */
void gate_on_conf_tried(bool ok, const char *detail, void *data);

/* Looks for redirects of other programs, at once and from time to time. */
void gate_others_start(struct gate *gate);
void gate_others_stop(struct gate *gate);

#endif
