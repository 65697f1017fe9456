/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of plain HTTP share: requests.c (listening and asking), answering.c (the answer's way), ending.c (what
 * goes wrong). Nobody else includes this. */
#ifndef PENSTOCK_RELAY_HTTP_PRIVATE_H
#define PENSTOCK_RELAY_HTTP_PRIVATE_H

#include "relay/http/requests.h"
#include "relay/session/session.h"
#include "relay/session/sniff.h"

/* What comes after one step. */
enum step {
    STEP_ON,
    STEP_WAIT, /* for what was noted */
    /* To be told to the owner, by the event of that name. */
    STEP_WANT_LINK,
    STEP_WANT_TUNNEL,
    STEP_NO_ANSWER,
    STEP_OVER,
};

/* True: the lane waits for something, which is noted. Of the lane up the client is the source. */
bool requests_note_wait(struct requests *requests, const struct lane *lane, enum lane_status status);

/* ---- answering.c ---- */

enum step answer_read_head(struct requests *requests);
enum step answer_pass(struct requests *requests); /* a head and its body to the client */

/* ---- ending.c: each fills requests->failure ---- */

enum step requests_end(struct requests *requests, enum reason reason, const char *detail);
enum step requests_end_no_memory(struct requests *requests);
enum step requests_end_bad(struct requests *requests, int http_status, const char *why);
enum step requests_end_client(struct requests *requests, const struct lane *lane); /* the lane failed on its side */
/* The proxy's side of the lane down has ended or failed: inside an answer, or before it. */
enum step requests_end_proxy(struct requests *requests, enum lane_status status);
enum step requests_unanswered(struct requests *requests, enum lane_status status);

#endif
