/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of numbers (users by uid, units by control group), as far as the gate has told: a relay may not open files.
 * Embedded; names_fini() at the end. */
#ifndef PENSTOCK_RELAY_NAMES_H
#define PENSTOCK_RELAY_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_MAX        256
#define NAMES_PATIENCE_S 1.   /* an answer is worth waiting for so long */
#define NAMES_REPEAT_S   0.25 /* an answer that does not come is asked for again */
#define NAMES_NONE_S     5.   /* what has no name may get one */

enum names_result {
    NAMES_AWAITED, /* it has been asked for a moment ago */
    NAMES_NONE,    /* there is none, or it cannot be known in time */
    NAMES_KNOWN,
};

/* Asks the gate; the answer goes to names_take(). */
typedef void names_ask_cb(uint64_t id, void *data);

struct names {
    struct names_entry {
        double since;       /* first asked for; 0: free */
        double asked_at;    /* last */
        double answered_at; /* 0: not yet */
        uint64_t id;
        char *name; /* NULL: none, or not known (yet) */
    } entries[NAMES_MAX];
    size_t next;          /* to be overwritten */
    double keep_s;        /* then a name is asked for again; 0: never */
    names_ask_cb *ask_cb; /* NULL: nobody can be asked */
    void *data;
};

void names_init(struct names *names, double keep_s, names_ask_cb *ask_cb, void *data);
void names_fini(struct names *names);

/* *ret_name, of NAMES_KNOWN alone, is good until the next call. now: any clock of seconds, greater than zero. */
enum names_result names_find(struct names *names, uint64_t id, double now, const char **ret_name);

/* name "": there is none. What nobody has asked for is not kept. */
void names_take(struct names *names, uint64_t id, const char *name, double now);

#endif
