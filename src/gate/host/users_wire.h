/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gate and the process that looks up users say to each other: one question, an answer for each. */
#ifndef PENSTOCK_GATE_HOST_USERS_WIRE_H
#define PENSTOCK_GATE_HOST_USERS_WIRE_H

#include <stdint.h>

#include "model/conf/conf.h"

#define USERS_UIDS_MAX 64

struct users_question {
    uint32_t n_uids;
    uint32_t uids[USERS_UIDS_MAX];
    uint32_t n;
    char names[CONF_UNKNOWN_USERS_MAX][CONF_USER_NAME_SIZE];
};

/* To a name: only if it was found; to "@group" for each member, and once more with CONF_UID_UNKNOWN when that was all.
 * To a number: in the order of the question; an empty name says that there is no such user, or with failed, that nobody
 * knows now. */
struct users_answer {
    char name[CONF_USER_NAME_SIZE];
    uint32_t uid;
    uint32_t failed;
};

#endif
