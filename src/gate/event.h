/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the gate tell it: from the loop, never inside a call to the part. gate.c takes all of it in one
 * function; what has to be known of a part's state beside that is asked of the part. */
#ifndef PENSTOCK_GATE_EVENT_H
#define PENSTOCK_GATE_EVENT_H

#include <stdbool.h>

struct child;
struct ipc_message;
struct ipc_user;

enum event_type {
    /* child said message: of what ipc.h lists, IPC_CONF_DONE, what ipc_may_say() tells and, once for all relays,
     * IPC_SESSIONS_END (child is NULL then). */
    EVENT_MESSAGE,
    EVENT_CHILD_LOST,      /* child died or is about to be killed; it starts again, unless it was retired */
    EVENT_RULES_LOST,      /* the table is not what was set, and repairing it failed or has to wait */
    EVENT_RULES_RETRY,     /* the time to try keeper_set() again, after it failed or the rules were lost */
    EVENT_TABLES_CHANGED,  /* by somebody else: ours, foreign ones or both; after lost events: they may have been */
    EVENT_NETWORK_CHANGED, /* addresses, links or routes; 200 ms after the last of them, at most 1 s after the first */
    EVENT_RESUMED,         /* the host slept for at least a few seconds */
    EVENT_REDIRECT_TRIED,  /* whether it arrives, or why it does not, has changed: see trial.h */
    EVENT_FILES_CHANGED,   /* those that [SecureChannel] names */
    EVENT_USERS_KNOWN,     /* users of the configuration in force have got their uid */
    EVENT_USER_NAMED,      /* what a user is called who was asked for, is known now, or that it cannot be */
};

struct event {
    enum event_type type;
    struct child *child;
    const struct ipc_message *message;
    const struct ipc_user *user;
    bool ours, foreign;
    const char
        *culprit; /* who changed ours, "nft (pid 1234)", "unknown" where the kernel does not say; NULL: lost events */
};

struct event_sink {
    void (*event_cb)(const struct event *event, void *data);
    void *data;
};

#endif
