/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One reading of the configuration with its TLS context, shared by the sessions that began under it: after a reload
 * the old one lives until its last session has ended. */
#ifndef PENSTOCK_RELAY_SETTINGS_H
#define PENSTOCK_RELAY_SETTINGS_H

#include "channel/tls/tls.h"
#include "model/conf/conf.h"

struct settings {
    unsigned references;
    struct conf *conf;
    struct tls_context *tls; /* NULL: the secure channel is off, or its files are bad */
    struct error tls_error;  /* why they are; empty: they are not */
};

/* Takes conf over, reads the TLS files when the secure channel is on. NULL: out of memory (conf is freed then). */
struct settings *settings_new(struct conf *conf);
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings); /* takes NULL */

#endif
