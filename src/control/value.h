/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the JSON that the daemon makes; never NULL but for want of memory. */
#ifndef PENSTOCK_CONTROL_VALUE_H
#define PENSTOCK_CONTROL_VALUE_H

#include <jansson.h>
#include <stdint.h>

/* What is not UTF-8 becomes question marks. */
json_t *value_of_text(const char *text);
json_t *value_of_text_or_null(const char *text); /* null also for an empty one */
json_t *value_of_time(int64_t when);             /* null for 0 */

#endif
