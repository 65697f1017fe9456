/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rm -rf without another program, which no filter lets a test run. */
#ifndef PENSTOCK_TESTS_REMOVE_TREE_H
#define PENSTOCK_TESTS_REMOVE_TREE_H

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>

static int remove_one_cb(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    return remove(path);
}

static inline bool remove_tree(const char *path)
{
    return nftw(path, remove_one_cb, 8, FTW_DEPTH | FTW_PHYS) == 0;
}

#endif
