/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Single values of penstock.conf(5), from text. Plain functions without memory of their own; each says in its
 * comment what it takes. Outputs are untouched when the text is not that. */
#ifndef PENSTOCK_MODEL_CONF_VALUE_H
#define PENSTOCK_MODEL_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/hostname.h"

/* yes, no and what systemd takes besides: true false on off 1 0, in any case. */
bool conf_value_bool(const char *text, bool *ret_value);

/* Decimal digits alone, low <= value <= high. */
bool conf_value_number(const char *text, uint32_t low, uint32_t high, uint32_t *ret_value);

/* systemd.time(7): "500ms", "5s", "1min 30s", "1.5h"; a number without unit counts seconds. Days are not taken. */
bool conf_value_span(const char *text, uint32_t *ret_ms);

#define CONF_SPAN_TEXT_MAX 16
/* The same back, in the largest unit that loses nothing; returns buf. */
const char *conf_value_span_text(uint32_t ms, char buf[static CONF_SPAN_TEXT_MAX]);

/* A name (hostname.h) without a final dot, or a numeric address; length bytes of text. */
bool conf_value_host(const char *text, size_t length);

/* https://HOST[:PORT][/...]: where the host is in text, and its port. */
bool conf_value_https_url(const char *text, const char **ret_host, size_t *ret_length, uint16_t *ret_port);

/* HOST:PORT, IPv6 in brackets; the same. */
bool conf_value_target(const char *text, const char **ret_host, size_t *ret_length, uint16_t *ret_port);

/* A name that stands for itself and all under it, as hostname_parse() gives it; NULL, or what is wrong with it. */
const char *conf_value_domain_problem(const char *text, char ret_name[static HOSTNAME_SIZE]);

/* A number, or what can be the name of a user. Its uid is taken from /etc/passwd alone and is CONF_UID_UNKNOWN when it
 * is not there: to ask further (NSS) can take long and reads the network. */
bool conf_value_user(const char *text, uid_t *ret_uid);

/* What can be the name or the number of a group. */
bool conf_value_group(const char *text);

/* Optimal string alignment of at most 2 edits, or equal but for case: worth suggesting. */
bool conf_value_similar(const char *a, const char *b);

#endif
