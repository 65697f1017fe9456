/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connectivity test: all servers and addresses in parallel, TCP then mutual authentication on the same connection,
 * then AuthURL; the plain port only when nothing else may decide. Also run alone by `penstock test -c`. */
#ifndef PENSTOCK_CHANNEL_PROBER_PROBER_H
#define PENSTOCK_CHANNEL_PROBER_PROBER_H

#include <ev.h>

#include "model/conf/conf.h"
#include "model/report.h"

struct prober;

/* All addresses that the test has found so far; nothing is dialled until prober_allow() has the id that it returns, or
 * a larger one. */
typedef uint64_t prober_named_cb(const struct addr *addrs, size_t n, void *data);

/* After every stage that ended, and once with report->complete. Never inside a prober_ call. */
typedef void prober_cb(const struct test_report *report, void *data);

/* Loads keys and CAs. conf must outlive the prober. A failure of the TLS files is kept and becomes the detail of every
 * mutual authentication test: without them no channel can be trusted. NULL: out of memory. */
struct prober *prober_new(struct ev_loop *loop, const struct conf *conf, prober_cb *cb, void *data);
/* Before the first test: named_cb is asked, with the data of the other callback. Without it the prober asks nobody. */
void prober_ask(struct prober *prober, prober_named_cb *named_cb);
void prober_allow(struct prober *prober, uint64_t id);
/* Abandons a test that is running. */
void prober_start(struct prober *prober, uint64_t test_id);
void prober_free(struct prober *prober); /* takes NULL; also from the callback */

/* What is wrong with the TLS files; NULL: nothing, or no secure channel is configured. */
const char *prober_tls_error(const struct prober *prober);

/* As tls_context_client_expires(); 0 also without TLS. */
int64_t prober_client_expires(const struct prober *prober);

/* The prober process: speaks ipc.h on IPC_FD until the gate is gone. Returns the exit status. */
int prober_main(void);

#endif
