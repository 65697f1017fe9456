/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looks for rules of other programs that let no redirected connection arrive: chains for what leaves or comes in that
 * drop what they do not know, and rules that drop packets whose source is not this host's, which answers of a relay
 * look like. Reads, changes nothing. */
#ifndef PENSTOCK_GATE_RULES_OBSTACLE_H
#define PENSTOCK_GATE_RULES_OBSTACLE_H

#include "model/conf/conf.h"
#include "model/text.h"

/* Always a sentence: with the table, the chain and what to add there; or that none was found (rules of iptables-legacy
 * cannot be seen). Synchronous, bounded to 5 s. */
void obstacle_find(const struct conf *conf, char ret_text[static DETAIL_MAX]);

#endif
