/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate and the process that looks up names of users say to each other: one question, an answer per name. */
#ifndef PENSTOCK_GATE_HOST_USERS_WIRE_H
#define PENSTOCK_GATE_HOST_USERS_WIRE_H

#include <stdint.h>

#include "model/conf/conf.h"

struct users_question {
    uint32_t n;
    char names[CONF_UNKNOWN_USERS_MAX][CONF_USER_NAME_SIZE];
};

/* Only for those that were found. */
struct users_answer {
    char name[CONF_USER_NAME_SIZE];
    uint32_t uid;
};

#endif
