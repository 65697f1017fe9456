/* SPDX-License-Identifier: GPL-2.0-or-later */
/* OnError=: a penstockd that cannot start, or cannot go on, leaves web traffic refused. */
#ifndef PENSTOCK_GATE_FAIL_CLOSED_H
#define PENSTOCK_GATE_FAIL_CLOSED_H

/* Puts the table of last resort (rules/encode/closing.h) in place and logs one line, unless OnError=open is configured
 * or the configuration that was found names no server: an unconfigured package changes nothing. conf_path as for
 * conf_load(); what cannot be read of it counts as OnError=block, and as a server. why: half a sentence, for the log
 * and the rules' comments. Where another penstockd answers at control_path, its rules stay. Without CAP_NET_ADMIN it
 * can only say so. */
void fail_closed(const char *conf_path, const char *control_path, const char *why);

#endif
