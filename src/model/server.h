/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of each server, see server.def; pure functions of its part of a report. */
#ifndef PENSTOCK_MODEL_SERVER_H
#define PENSTOCK_MODEL_SERVER_H

#include <time.h>

#include "model/report.h"

enum server_state {
#define SERVER_STATE(name, slug, text) SERVER_##name,
#include "model/server.def"
#undef SERVER_STATE
    SERVER_STATE_COUNT
};

struct server_status {
    struct server_report report; /* the last that says something; its name also before any */
    enum server_state state;
    time_t since;     /* of the state */
    time_t tested_at; /* 0: never */
};

enum server_state server_state_of(const struct server_report *report);
/* The stage whose failure makes the state, NULL: none failed. */
const struct test_stage *server_failure(const struct server_report *report);
/* Of the port that the state is about; port 0: not known. */
const struct addr *server_address(const struct server_report *report);

/* Static strings. */
const char *server_state_slug(enum server_state state);
const char *server_state_text(enum server_state state);
/* SERVER_STATE_COUNT for NULL and for what this version does not know. */
enum server_state server_state_named(const char *slug);

#endif
