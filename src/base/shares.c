/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/shares.h"

#include <assert.h>
#include <string.h>

#include "base/sealed.h"

#define LOAD(value)         __atomic_load_n(&(value), __ATOMIC_RELAXED)
#define STORE(value, other) __atomic_store_n(&(value), (other), __ATOMIC_RELAXED)

int shares_create(int *ret_fd, struct shares **ret_shares)
{
    void *memory;
    int result = sealed_create("penstock-shares", sizeof(struct shares), ret_fd, &memory);
    if (result == 0)
        *ret_shares = memory;
    return result;
}

int shares_map(int fd, struct shares **ret_shares)
{
    void *memory;
    int result = sealed_map(fd, sizeof(struct shares), &memory);
    if (result == 0)
        *ret_shares = memory;
    return result;
}

void shares_unmap(struct shares *shares)
{
    sealed_unmap(shares, sizeof *shares);
}

/* Whatever is written there, no index is outside. */
static unsigned used_of(const struct shares_row *row)
{
    unsigned used = LOAD(row->used);
    return used < SHARES_USERS ? used : SHARES_USERS;
}

/* ---- the relay's own row ---- */

void shares_begin_row(struct shares_row *row, uint32_t max)
{
    STORE(row->users[0].uid, SHARES_UNKNOWN);
    STORE(row->used, 1);
    STORE(row->max, max);
}

/* Whose share is free and was told of the longest ago; 0: none is. */
static unsigned find_free(const struct shares_row *row)
{
    unsigned found = 0;
    for (unsigned i = 1; i < SHARES_USERS; i++)
        if (row->users[i].open == 0 && (found == 0 || row->users[i].refused_at < row->users[found].refused_at))
            found = i;
    return found;
}

static unsigned find_or_make(struct shares_row *row, uint32_t uid)
{
    unsigned used = used_of(row);
    for (unsigned i = 0; i < used; i++)
        if (row->users[i].uid == uid)
            return i;
    unsigned index = used < SHARES_USERS ? used : find_free(row);
    if (index == 0)
        return 0;
    STORE(row->users[index].refused, 0);
    STORE(row->users[index].refused_at, 0);
    STORE(row->users[index].uid, uid);
    if (index == used)
        STORE(row->used, index + 1);
    return index;
}

unsigned shares_enter(struct shares_row *row, uint32_t uid)
{
    unsigned index = find_or_make(row, uid);
    STORE(row->users[index].open, row->users[index].open + 1);
    return index;
}

void shares_leave(struct shares_row *row, unsigned index)
{
    assert(index < SHARES_USERS);
    STORE(row->users[index].open, row->users[index].open - 1);
}

void shares_set_open(struct shares_row *row, size_t open)
{
    STORE(row->open, (uint32_t)open);
}

void shares_refuse(struct shares_row *row, unsigned index, int64_t now)
{
    STORE(row->users[index].refused, row->users[index].refused + 1);
    STORE(row->users[index].refused_at, now);
}

/* ---- all rows ---- */

void shares_clear_row(struct shares_row *row)
{
    memset(row, 0, sizeof *row);
}

uint64_t shares_total(const struct shares *shares, uint32_t uid)
{
    uint64_t total = 0;
    for (unsigned r = 0; r < CONF_RELAYS_MAX; r++) {
        const struct shares_row *row = &shares->rows[r];
        for (unsigned i = 0, used = used_of(row); i < used; i++)
            if (LOAD(row->users[i].uid) == uid)
                total += LOAD(row->users[i].open);
    }
    return total;
}

bool shares_has_room_beside(const struct shares *shares, const struct shares_row *row)
{
    for (unsigned r = 0; r < CONF_RELAYS_MAX; r++)
        if (&shares->rows[r] != row && LOAD(shares->rows[r].open) < LOAD(shares->rows[r].max))
            return true;
    return false;
}

/* Of whom that row alone has the most; 0: nobody known. */
static uint64_t most_of(const struct shares *shares, const struct shares_row *row)
{
    uint32_t most = 0, uid = SHARES_UNKNOWN;
    for (unsigned i = 0, used = used_of(row); i < used; i++) {
        uint32_t open = LOAD(row->users[i].open);
        if (open > most) {
            most = open;
            uid = LOAD(row->users[i].uid);
        }
    }
    return most > 0 ? shares_total(shares, uid) : 0;
}

bool shares_greediest(const struct shares *shares, const struct shares_row *row, unsigned *ret_index, bool *ret_beside)
{
    uint64_t most = 0;
    unsigned index = 0;
    bool beside = false;
    for (unsigned i = 0, used = used_of(row); i < used; i++) {
        uint64_t total = LOAD(row->users[i].open) > 0 ? shares_total(shares, LOAD(row->users[i].uid)) : 0;
        if (total > most) {
            most = total;
            index = i;
        }
    }
    if (most == 0)
        return false;
    for (unsigned r = 0; r < CONF_RELAYS_MAX && !beside; r++)
        beside = &shares->rows[r] != row && most_of(shares, &shares->rows[r]) > most;
    *ret_index = index;
    *ret_beside = beside;
    return true;
}

static struct share sum_of(const struct shares *shares, uint32_t uid)
{
    struct share sum = {.uid = uid};
    for (unsigned r = 0; r < CONF_RELAYS_MAX; r++) {
        const struct shares_row *row = &shares->rows[r];
        for (unsigned i = 0, used = used_of(row); i < used; i++) {
            const struct share *share = &row->users[i];
            if (LOAD(share->uid) != uid)
                continue;
            int64_t refused_at = LOAD(share->refused_at);
            sum.open += LOAD(share->open);
            sum.refused += LOAD(share->refused);
            sum.refused_at = refused_at > sum.refused_at ? refused_at : sum.refused_at;
        }
    }
    return sum;
}

static bool has_user(const struct share *shares, size_t n, uint32_t uid)
{
    for (size_t i = 0; i < n; i++)
        if (shares[i].uid == uid)
            return true;
    return false;
}

size_t shares_refused(const struct shares *shares, int64_t now, struct share *ret_users, size_t max)
{
    size_t n = 0;
    for (unsigned r = 0; r < CONF_RELAYS_MAX; r++) {
        const struct shares_row *row = &shares->rows[r];
        for (unsigned i = 0, used = used_of(row); i < used && n < max; i++) {
            uint32_t uid = LOAD(row->users[i].uid);
            int64_t at = LOAD(row->users[i].refused_at);
            if (at > 0 && now - at < SHARES_RECENT_S && !has_user(ret_users, n, uid))
                ret_users[n++] = sum_of(shares, uid);
        }
    }
    return n;
}

void shares_count_full(const struct shares *shares, unsigned *ret_full, unsigned *ret_relays)
{
    unsigned full = 0, relays = 0;
    for (unsigned r = 0; r < CONF_RELAYS_MAX; r++) {
        uint32_t max = LOAD(shares->rows[r].max);
        relays += max > 0;
        full += max > 0 && LOAD(shares->rows[r].open) >= max;
    }
    *ret_full = full;
    *ret_relays = relays;
}
