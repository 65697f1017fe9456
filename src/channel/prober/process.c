/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The prober process: the gate on one side, a prober on the other. */
#include "config.h"

#include <assert.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gate_link.h"
#include "base/log.h"
#include "channel/net/resolve.h"
#include "channel/prober/prober.h"
#include "model/conf/conf.h"

struct process {
    struct ev_loop *loop;
    struct gate_link *gate;
    struct conf *conf; /* of the prober; NULL: none yet */
    struct prober *prober;
    uint64_t named_id; /* the last one */
};

/* A report that does not fit is followed by others that hold all it says: only the last one has to arrive. */
static void report_cb(const struct test_report *report, void *data)
{
    struct process *process = data;
    struct ipc_message message;
    message.type = IPC_REPORT;
    message.report = *report;
    gate_link_send(process->gate, &message);
}

/* The ids go on over all configurations: a late permission is none for what another one names. */
static uint64_t named_cb(const struct addr *addrs, size_t n, void *data)
{
    struct process *process = data;
    struct ipc_message message;
    static_assert(CONF_SERVERS_MAX * RESOLVE_ADDRS_MAX <= IPC_ADDRESSES_MAX, "all addresses fit");
    ipc_begin(&message, IPC_NAMED);
    message.named.id = ++process->named_id;
    message.named.n = (uint32_t)n;
    memcpy(message.named.addrs, addrs, n * sizeof *addrs);
    gate_link_send(process->gate, &message);
    return process->named_id;
}

/* A new configuration whose TLS files are bad is refused when there is an older one to go on with. At the start there
 * is none: then it is taken, and every mutual authentication test fails with what is wrong. */
static bool configure_cb(struct conf *conf, uint32_t index, struct ipc_conf_done *ret_done, void *data)
{
    struct process *process = data;
    struct prober *prober = prober_new(process->loop, conf, report_cb, process);
    const char *tls_error = prober ? prober_tls_error(prober) : "out of memory";
    conf_drop_files(conf); /* the private key, too */
    if (tls_error)
        snprintf(ret_done->detail, sizeof ret_done->detail, "%s", tls_error);
    if (!prober || (tls_error && process->prober)) {
        prober_free(prober);
        conf_free(conf);
        return false;
    }
    prober_ask(prober, named_cb);
    prober_free(process->prober);
    conf_free(process->conf);
    process->prober = prober;
    process->conf = conf;
    ret_done->client_expires = prober_client_expires(prober);
    log_set_level(conf->log_level);
    return true;
}

static void message_cb(const struct ipc_message *message, void *data)
{
    struct process *process = data;
    if (message->type == IPC_TEST && process->prober)
        prober_start(process->prober, message->test.test_id);
    else if (message->type == IPC_ALLOWED && process->prober)
        prober_allow(process->prober, message->request.id);
}

int prober_main(void)
{
    static const struct gate_link_cbs cbs = {.configure = configure_cb, .message = message_cb};
    struct process process = {.loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV)};
    int status = EXIT_FAILURE;
    log_init("prober", LOG_LEVEL_INFO);
    if (!process.loop) {
        log_error("out of memory");
        return status;
    }
    process.gate = gate_link_new(process.loop, FILTER_PROBER, &cbs, &process);
    if (process.gate)
        status = gate_link_run(process.gate);
    prober_free(process.prober);
    conf_free(process.conf);
    gate_link_free(process.gate);
    ev_loop_destroy(process.loop);
    return status;
}
