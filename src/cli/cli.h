/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: what its verbs share, and the client of the control socket. Every wait has a limit, every answer a
 * largest size; whatever the other end sends, the worst is an error text. */
#ifndef PENSTOCK_CLI_CLI_H
#define PENSTOCK_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/conf/conf.h"
#include "model/error.h"
#include "model/verb.h"

#define CLI_CONTROL_PATH  "/run/penstock/control.sock"
#define CLI_ANSWER_MAX    (16U << 20) /* bytes of one answer */
#define CLI_STATUS_WAIT_S 10
#define CLI_TEST_WAIT_S   60
#define CLI_JSON_FLAGS    (JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

enum cli_exit {
    CLI_EXIT_SECURE = 0,
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1,
    CLI_EXIT_PLAIN = 3,
    CLI_EXIT_BLOCKED = 4,
    CLI_EXIT_UNDECIDED = 5, /* testing, or no network */
    CLI_EXIT_DIRECT = 6,
    CLI_EXIT_OPEN = 7,
    CLI_EXIT_USAGE = 64,
    CLI_EXIT_CONFIG = 78,
};

struct cli_options {
    const char *control_path;
    const char *conf_path; /* -c FILE, or NULL */
    const char *target;    /* of explain: HOST[:PORT] */
    const char *user;      /* of explain: NULL for nobody in particular */
    const char *sort;      /* --sort KEY, or NULL */
    const char *by;        /* --by KEY, or NULL */
    bool json, watch, secrets, check;
};

/* The verbs; each returns the exit status. */
int cli_status(const struct cli_options *options);
int cli_test(const struct cli_options *options);
int cli_test_alone(const struct cli_options *options);
int cli_sessions(const struct cli_options *options);
int cli_top(const struct cli_options *options);
int cli_history(const struct cli_options *options);
int cli_monitor(const struct cli_options *options);
int cli_explain(const struct cli_options *options);
int cli_check(const struct cli_options *options); /* conf_path NULL: the service's own */

/* "penstock: …" on standard error, cleaned of control characters. */
void cli_problem(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A mistake in a configuration, "FILE:LINE: message", on standard error as it is: editors jump there. */
void cli_mistake(const char *text);
/* A string, cleaned so that it is always one. */
json_t *cli_json_text(const char *text);
/* One object, one line, on standard output. */
void cli_put_json(const json_t *object);
/* What a status object says: the exit status of status and test; CLI_EXIT_FAILED when it makes no sense. */
int cli_exit_of(const json_t *status);
/* The same; that it makes no sense has been written. */
int cli_conclude(const json_t *status);

/* By all that the host knows; false: it does not know that user, or group. */
bool cli_look_up_user(struct conf_user *user);

/* ---- the control socket ---- */

enum cli_answer { CLI_ANSWER_OBJECT, CLI_ANSWER_END, CLI_ANSWER_ERROR, CLI_ANSWER_STOPPED };

struct cli_client {
    int fd;
    int stop_fd; /* readable: give up; -1: none */
    int64_t deadline_ms;
    char *buf;
    size_t start, end, size; /* of what has arrived and was not taken yet */
    size_t total;
    bool gone;          /* after cli_client_open() was false: nobody listens there */
    struct error error; /* after CLI_ANSWER_ERROR, or when cli_client_open() was false */
};

/* Connects and sends the request. False: error is filled. cli_client_close() is needed either way. */
bool cli_client_open(struct cli_client *client, const char *path, enum verb verb, unsigned wait_s, int stop_fd);
/* The next object of the answer; the caller's to json_decref(). An {"error": …} is CLI_ANSWER_ERROR with its text. */
enum cli_answer cli_client_next(struct cli_client *client, json_t **ret_object);
void cli_client_close(struct cli_client *client);

/* For answers of one object: opens, reads, closes. NULL: the problem has been written. */
json_t *cli_ask(const struct cli_options *options, enum verb verb, unsigned wait_s);

/* What the daemon answers to VERB_SESSIONS or VERB_TOP, users, units and processes added to each session. NULL: the
 * problem has been written. */
json_t *cli_fetch_sessions(const struct cli_options *options, enum verb verb);

#endif
