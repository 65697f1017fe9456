/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A field of Header=: "Name: value", whose value may have specifiers as in systemd's units. Pure functions. */
#ifndef PENSTOCK_MODEL_CONF_HEADER_H
#define PENSTOCK_MODEL_CONF_HEADER_H

#include <stdbool.h>
#include <stddef.h>

/* Of who made a connection: the user's name and number, and the unit. */
#define HEADER_WHO "uUn"

/* "Name: value" (RFC 9110 sections 5.1 and 5.5) as one line; NULL, or what is wrong with it, which shows nothing of the
 * value. */
const char *header_problem(const char *header);

/* The next specifier at or behind *at, "%%" too: its letter, with *at at its percent sign. NUL: there is none, and *at
 * is the end. */
char header_next(const char **at);

/* Has it one of these letters? */
bool header_has(const char *header, const char *letters);

/* Specifiers in it, but for "%%". */
size_t header_count(const char *header);

#endif
