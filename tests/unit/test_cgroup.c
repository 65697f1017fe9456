/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A tree of directories is as good as one of control groups: both are asked by the numbers of their inodes. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cgroup.h"

static char root[] = "/tmp/test_cgroup.XXXXXX";
static struct cgroup_map *map;

static const struct {
    const char *path, *unit, *system_unit; /* NULL: none */
} groups[] = {
    {"system.slice", "system.slice", "system.slice"},
    {"system.slice/nginx.service", "nginx.service", "nginx.service"},
    {"system.slice/docker.service", "docker.service", "docker.service"},
    {"system.slice/docker.service/inner", "docker.service", "docker.service"},
    {"system.slice/docker.service/inner/deep", "docker.service", "docker.service"},
    {"user.slice", "user.slice", "user.slice"},
    {"user.slice/user-1000.slice", "user-1000.slice", "user-1000.slice"},
    {"user.slice/user-1000.slice/session-3.scope", "session-3.scope", "session-3.scope"},
    {"user.slice/user-1000.slice/user@1000.service", "user@1000.service", "user@1000.service"},
    {"user.slice/user-1000.slice/user@1000.service/app.slice", "app.slice", "user@1000.service"},
    {"user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-12.scope", "app-firefox-12.scope",
     "user@1000.service"},
    /* Whoever a group is delegated to calls those below it as he likes. */
    {"user.slice/user-1000.slice/user@1000.service/nginx.service", "nginx.service", "user@1000.service"},
    {"docker", NULL, NULL},
    {"docker/0123abc", NULL, NULL},
    {"docker/0123abc/system.slice", "system.slice", NULL},
    {"docker/0123abc/system.slice/nginx.service", "nginx.service", NULL},
    {"_cpu.service", "cpu.service", "cpu.service"},
    {"nounit.services", NULL, NULL},
};

#define LENGTH(array) (sizeof array / sizeof((array)[0]))

static uint64_t id_of(const char *path)
{
    char whole[256];
    struct stat status;
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    ck_assert_int_eq(stat(whole, &status), 0);
    return status.st_ino;
}

static void setup(void)
{
    char whole[256];
    strcpy(root + sizeof root - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (size_t i = 0; i < LENGTH(groups); i++) {
        snprintf(whole, sizeof whole, "%s/%s", root, groups[i].path);
        ck_assert_int_eq(mkdir(whole, 0755), 0);
    }
    snprintf(whole, sizeof whole, "%s/cgroup.procs.service", root);
    fclose(fopen(whole, "w"));
    map = cgroup_map_read(root);
    ck_assert_ptr_nonnull(map);
}

static void teardown(void)
{
    char command[128];
    cgroup_map_free(map);
    snprintf(command, sizeof command, "rm -rf %s", root);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_group_is_of_the_innermost_unit_around_it)
{
    ck_assert_pstr_eq(cgroup_map_unit(map, id_of(groups[_i].path)), groups[_i].unit);
}
END_TEST

START_TEST(the_system_vouches_for_the_outermost_one)
{
    ck_assert_pstr_eq(cgroup_map_system_unit(map, id_of(groups[_i].path)), groups[_i].system_unit);
}
END_TEST

START_TEST(ids_that_are_no_groups_have_no_unit)
{
    ck_assert_ptr_null(cgroup_map_unit(map, id_of("")));
    ck_assert_ptr_null(cgroup_map_unit(map, id_of("cgroup.procs.service")));
    ck_assert_ptr_null(cgroup_map_unit(map, 0));
    ck_assert_ptr_null(cgroup_map_system_unit(map, 0));
    ck_assert_ptr_null(cgroup_map_unit(map, UINT64_MAX));
}
END_TEST

/* More than the first allocation holds. */
START_TEST(many_groups_are_found)
{
    char whole[256], name[64];
    struct cgroup_map *many;
    for (int i = 0; i < 300; i++) {
        snprintf(whole, sizeof whole, "%s/system.slice/s%d.service", root, i);
        ck_assert_int_eq(mkdir(whole, 0755), 0);
    }
    many = cgroup_map_read(root);
    ck_assert_ptr_nonnull(many);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "system.slice/s%d.service", i);
        ck_assert_str_eq(cgroup_map_unit(many, id_of(name)), name + strlen("system.slice/"));
    }
    cgroup_map_free(many);
}
END_TEST

START_TEST(an_empty_tree_and_none_at_all)
{
    char whole[256];
    struct cgroup_map *empty;
    snprintf(whole, sizeof whole, "%s/docker/0123abc/system.slice", root);
    empty = cgroup_map_read(whole);
    ck_assert_ptr_nonnull(empty);
    ck_assert_ptr_null(cgroup_map_unit(empty, id_of("docker/0123abc/system.slice")));
    cgroup_map_free(empty);
    strcat(whole, "/nowhere");
    ck_assert_ptr_null(cgroup_map_read(whole));
    ck_assert_int_eq(errno, ENOENT);
    cgroup_map_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tests = tcase_create("tree");
    SRunner *runner;
    int failed;
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_group_is_of_the_innermost_unit_around_it, 0, (int)LENGTH(groups));
    tcase_add_loop_test(tests, the_system_vouches_for_the_outermost_one, 0, (int)LENGTH(groups));
    tcase_add_test(tests, ids_that_are_no_groups_have_no_unit);
    tcase_add_test(tests, many_groups_are_found);
    tcase_add_test(tests, an_empty_tree_and_none_at_all);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
