/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How many sessions each user has in each relay, in memory that the gate makes and all relays map: so a relay can limit
 * a user over all of them, and knows who has the most, without a message and in the moment of accept. A row has one
 * writer, its relay, and the gate clears it after that one's end, so nothing is left of what a dead relay held and
 * there is nothing to lock; a sum over rows may be older than the last connection by that one. A relay that was taken
 * over can write what it likes: others would refuse connections, as it could itself, for all accept from the same
 * sockets. What is read here is therefore only ever compared and printed. */
#ifndef PENSTOCK_BASE_SHARES_H
#define PENSTOCK_BASE_SHARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/conf/conf.h"

#define SHARES_USERS    256        /* of one relay at once; the others are counted as one, with those not known */
#define SHARES_UNKNOWN  UINT32_MAX /* the uid of a connection of which the kernel tells none */
#define SHARES_RECENT_S 60         /* so long it is said that a user was refused */

struct share {
    uint32_t uid, open;
    uint64_t refused;   /* connections that were refused, and sessions that were ended for another user's */
    int64_t refused_at; /* seconds of CLOCK_MONOTONIC; 0: never */
};

struct shares_row {
    uint32_t open, max;               /* of all users; max 0: no relay */
    uint32_t used;                    /* shares from there on never were */
    struct share users[SHARES_USERS]; /* the first is SHARES_UNKNOWN */
};

struct shares {
    struct shares_row rows[CONF_RELAYS_MAX];
};

/* Sealed. 0 or -errno. */
int shares_create(int *ret_fd, struct shares **ret_shares);
int shares_map(int fd, struct shares **ret_shares);
void shares_unmap(struct shares *shares); /* takes NULL */

/* ---- the relay's own row ---- */

void shares_begin_row(struct shares_row *row, uint32_t max);
/* A session of uid begins: the index of its share, to be left with its end. */
unsigned shares_enter(struct shares_row *row, uint32_t uid);
void shares_leave(struct shares_row *row, unsigned index);
void shares_set_open(struct shares_row *row, size_t open);
void shares_refuse(struct shares_row *row, unsigned index, int64_t now);

/* ---- all rows ---- */

/* The relay has ended: it holds nothing any more. */
void shares_clear_row(struct shares_row *row);
uint64_t shares_total(const struct shares *shares, uint32_t uid);
/* Another relay than that of row has room. */
bool shares_has_room_beside(const struct shares *shares, const struct shares_row *row);
/* Of the users in that row the one who has the most in all: the index of the share. *ret_beside: in another row there
 * is one who has more. False: there is nobody in the row. */
bool shares_greediest(const struct shares *shares, const struct shares_row *row, unsigned *ret_index, bool *ret_beside);
/* Users who were refused a connection or lost a session within the last SHARES_RECENT_S, with the sums over all rows;
 * at most max of them. How many. */
size_t shares_refused(const struct shares *shares, int64_t now, struct share *ret_users, size_t max);
/* Relays that have no room, of all. */
void shares_count_full(const struct shares *shares, unsigned *ret_full, unsigned *ret_relays);

#endif
