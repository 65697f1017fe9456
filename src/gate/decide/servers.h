/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every server by itself: a mistrusted or dead one shows, also while another works. What is known stays until a later
 * test says more. Embedded; all zero is a valid start. */
#ifndef PENSTOCK_GATE_DECIDE_SERVERS_H
#define PENSTOCK_GATE_DECIDE_SERVERS_H

#include <stddef.h>

#include "model/conf/conf.h"
#include "model/server.h"
#include "model/texts.h"
#include "model/verdict.h"

struct servers {
    struct server_status list[CONF_SERVERS_MAX]; /* in the order of Servers= */
    size_t n;
};

/* At the start and at a reload; what is known of a server that stays is kept. */
void servers_set_conf(struct servers *servers, const struct conf *conf);
/* A report of the test that runs. What has changed is logged, with the verdict in force beside it. */
void servers_take(struct servers *servers, const struct test_report *report, const struct conf *conf,
                  const struct verdict *in_force);
/* One sentence for each mistrusted server while another one is used. */
void servers_warnings(const struct servers *servers, const struct verdict *in_force, struct texts *warnings);

#endif
