/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tree of control groups is the test's. */
#include "config.h"

#include "gate/host/unit_names.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

struct cgroup_map {
    uint64_t known;
};

static struct {
    const char *root;
    uint64_t known; /* ids up to this are units now */
    bool broken;
    int reads, maps;
} t;

const char *cgroup_root(void)
{
    return t.root;
}

struct cgroup_map *cgroup_map_read(const char *root)
{
    ck_assert_ptr_eq(root, t.root);
    t.reads++;
    struct cgroup_map *map = t.broken ? NULL : calloc(1, sizeof *map);
    if (map) {
        map->known = t.known;
        t.maps++;
    }
    return map;
}

void cgroup_map_free(struct cgroup_map *map)
{
    if (map)
        t.maps--;
    free(map);
}

const char *cgroup_map_unit(const struct cgroup_map *map, uint64_t id)
{
    return id <= map->known ? "some.service" : NULL;
}

const char *cgroup_map_system_unit(const struct cgroup_map *map, uint64_t id)
{
    return id <= map->known ? "system.service" : NULL;
}

static struct unit_names names;

/* NULL: not now. */
static const char *find(uint64_t cgroup)
{
    static struct ipc_unit unit;
    if (!unit_names_find(&names, cgroup, &unit))
        return NULL;
    ck_assert_uint_eq(unit.cgroup, cgroup);
    ck_assert_str_eq(unit.system_unit, unit.unit[0] ? "system.service" : "");
    return unit.unit;
}

static void setup(void)
{
    t.root = "/cgroup";
    t.known = 5;
    t.broken = false;
    t.reads = t.maps = 0;
    names = (struct unit_names){0};
}

static void teardown(void)
{
    unit_names_fini(&names);
    ck_assert_int_eq(t.maps, 0);
}

static void a_second_later(void)
{
    names.read_at -= UNIT_NAMES_READ_MS;
}

START_TEST(the_tree_is_read_for_what_is_new_but_not_all_the_time)
{
    ck_assert_str_eq(find(5), "some.service");
    ck_assert_str_eq(find(1), "some.service");
    ck_assert_int_eq(t.reads, 1);
    t.known = 6;
    ck_assert_ptr_null(find(6));
    ck_assert_int_eq(t.reads, 1);
    a_second_later();
    ck_assert_str_eq(find(6), "some.service");
    ck_assert_int_eq(t.reads, 2);
}
END_TEST

START_TEST(without_a_tree_nothing_is_known)
{
    t.broken = true;
    ck_assert_str_eq(find(1), "");
    ck_assert_ptr_null(find(1));
    ck_assert_int_eq(t.reads, 1);
    t.root = NULL;
    ck_assert_str_eq(find(1), "");
    ck_assert_int_eq(t.reads, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unit_names");
    TCase *tcase = tcase_create("unit_names");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_tree_is_read_for_what_is_new_but_not_all_the_time);
    tcase_add_test(tcase, without_a_tree_nothing_is_known);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
