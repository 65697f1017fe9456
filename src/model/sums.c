/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/sums.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct sum *find(struct sums *sums, enum sum_by by, const char *key)
{
    for (size_t i = 0; i < sums->n[by]; i++)
        if (!sums->list[by][i].others && strcmp(sums->list[by][i].key, key) == 0)
            return &sums->list[by][i];
    return NULL;
}

static void add(struct sum *sum, uint64_t sessions, uint64_t failed, uint64_t up, uint64_t down)
{
    sum->sessions += sessions;
    sum->failed += failed;
    sum->up += up;
    sum->down += down;
}

static struct sum *find_least(struct sum *list, size_t from)
{
    struct sum *least = &list[from];
    for (size_t i = from + 1; i < SUMS_MAX; i++)
        if (list[i].up + list[i].down < least->up + least->down)
            least = &list[i];
    return least;
}

/* The first place becomes the others', and has what counts least. */
static void begin_others(struct sum *list)
{
    struct sum *least = find_least(list, 0), moved = *least;
    *least = list[0];
    moved.others = true;
    moved.key[0] = '\0';
    list[0] = moved;
}

/* The room of the one that counts least; its figures go to the others. */
static struct sum *make_room(struct sums *sums, enum sum_by by)
{
    struct sum *list = sums->list[by], *least;
    if (!list[0].others)
        begin_others(list);
    least = find_least(list, 1);
    add(&list[0], least->sessions, least->failed, least->up, least->down);
    return least;
}

void sums_add(struct sums *sums, enum sum_by by, const char *key, bool failed, uint64_t up, uint64_t down)
{
    char cut[NAME_SIZE];
    struct sum *sum;
    assert(by < SUM_BY_COUNT);
    snprintf(cut, sizeof cut, "%s", key ? key : "");
    sum = find(sums, by, cut);
    if (!sum) {
        sum = sums->n[by] < SUMS_MAX ? &sums->list[by][sums->n[by]++] : make_room(sums, by);
        *sum = (struct sum){.by = (uint8_t)by};
        memcpy(sum->key, cut, sizeof cut);
    }
    add(sum, 1, failed, up, down);
}

const struct sum *sums_at(const struct sums *sums, size_t index)
{
    for (int by = 0; by < SUM_BY_COUNT; by++) {
        if (index < sums->n[by])
            return &sums->list[by][index];
        index -= sums->n[by];
    }
    return NULL;
}

const char *sum_by_text(enum sum_by by)
{
    static const char *const texts[] = {[SUM_BY_USER] = "user", [SUM_BY_UNIT] = "unit", [SUM_BY_NAME] = "name"};
    assert(by < SUM_BY_COUNT);
    return texts[by];
}
