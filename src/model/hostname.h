/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a host name is, here and everywhere: in the configuration, in a client's first bytes, in a request to the proxy.
 *
 * Labels of 1 to 63 letters, digits, '-' and '_', joined by dots, 253 bytes together (RFC 1035 section 2.3.4, RFC 1123
 * section 2.1); one final dot is no part of it. '_' and a '-' at a label's end are against RFC 1123, but are in use,
 * and resolvers look them up; a name that begins with '-' none does (glibc's res_hnok), a program took it for an
 * option. An A-label (xn--…) is a label like any other; bytes beyond ASCII are none: who speaks IDNA has translated
 * them. A name whose last label is a number, decimal or with 0x, is an address to somebody, "127.1" and "0x7f.1" too
 * (WHATWG URL, "ends in a number"), and no top-level domain is one: it is no name. */
#ifndef PENSTOCK_MODEL_HOSTNAME_H
#define PENSTOCK_MODEL_HOSTNAME_H

#include <stdbool.h>
#include <stddef.h>

#define HOSTNAME_MAX  253
#define HOSTNAME_SIZE (HOSTNAME_MAX + 1)

/* length bytes of text as a name: *ret_name is it in lower case, without the final dot, so that equal names are equal
 * texts. False: it is none, also when it is an address; ret_name is untouched then. */
bool hostname_parse(const char *text, size_t length, char ret_name[static HOSTNAME_SIZE]);

#endif
