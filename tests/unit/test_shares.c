/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "base/shares.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct shares *shares;
static int fd;

static void setup(void)
{
    ck_assert_int_eq(shares_create(&fd, &shares), 0);
}

static void teardown(void)
{
    shares_unmap(shares);
    close(fd);
}

static struct shares_row *row(unsigned index)
{
    if (shares->rows[index].used == 0)
        shares_begin_row(&shares->rows[index], 100);
    return &shares->rows[index];
}

static unsigned enter(unsigned index, uint32_t uid, unsigned times)
{
    unsigned share = 0;
    for (unsigned i = 0; i < times; i++)
        share = shares_enter(row(index), uid);
    return share;
}

static uint32_t greediest(unsigned index, bool *ret_beside)
{
    unsigned share;
    ck_assert(shares_greediest(shares, row(index), &share, ret_beside));
    return row(index)->users[share].uid;
}

START_TEST(a_user_is_counted_over_all_relays)
{
    unsigned share = enter(0, 1000, 3);
    enter(1, 1001, 1);
    enter(1, 1000, 4);
    ck_assert_uint_eq(shares_total(shares, 1000), 7);
    ck_assert_uint_eq(shares_total(shares, 1001), 1);
    ck_assert_uint_eq(shares_total(shares, 1002), 0);
    shares_leave(row(0), share);
    ck_assert_uint_eq(shares_total(shares, 1000), 6);
}
END_TEST

START_TEST(another_process_sees_the_same_and_cannot_shrink_it)
{
    struct shares *other;
    ck_assert_int_eq(shares_map(fd, &other), 0);
    enter(0, 1000, 3);
    ck_assert_uint_eq(shares_total(other, 1000), 3);
    ck_assert_int_lt(ftruncate(fd, 0), 0);
    shares_unmap(other);
    shares_unmap(NULL);
}
END_TEST

START_TEST(what_a_dead_relay_held_is_given_back)
{
    enter(0, 1000, 3);
    enter(1, 1000, 4);
    ck_assert(shares_has_room_beside(shares, row(0)));
    shares_clear_row(row(1));
    ck_assert_uint_eq(shares_total(shares, 1000), 3);
    ck_assert(!shares_has_room_beside(shares, &shares->rows[0]));
}
END_TEST

START_TEST(a_relay_knows_whether_another_has_room)
{
    shares_begin_row(&shares->rows[0], 10);
    shares_begin_row(&shares->rows[1], 10);
    shares_set_open(row(1), 10);
    ck_assert(!shares_has_room_beside(shares, row(0)));
    ck_assert(shares_has_room_beside(shares, row(1)));
    shares_set_open(row(1), 9);
    ck_assert(shares_has_room_beside(shares, row(0)));
}
END_TEST

START_TEST(full_relays_are_counted)
{
    unsigned full, relays;
    shares_begin_row(&shares->rows[0], 10);
    shares_begin_row(&shares->rows[3], 10);
    shares_set_open(row(3), 11);
    shares_count_full(shares, &full, &relays);
    ck_assert_uint_eq(full, 1);
    ck_assert_uint_eq(relays, 2);
}
END_TEST

START_TEST(the_greediest_is_who_has_the_most_in_all)
{
    bool beside;
    enter(0, 1000, 3);
    enter(0, 1001, 2);
    enter(1, 1001, 2);
    ck_assert_uint_eq(greediest(0, &beside), 1001);
    ck_assert(!beside);
    ck_assert_uint_eq(greediest(1, &beside), 1001);
    ck_assert(!beside);
}
END_TEST

START_TEST(a_greedier_one_in_another_relay_is_seen)
{
    bool beside;
    unsigned none;
    enter(0, 1000, 3);
    enter(1, 1001, 4);
    ck_assert_uint_eq(greediest(0, &beside), 1000);
    ck_assert(beside);
    ck_assert_uint_eq(greediest(1, &beside), 1001);
    ck_assert(!beside);
    ck_assert(!shares_greediest(shares, row(2), &none, &beside));
}
END_TEST

START_TEST(a_share_is_used_again_and_the_list_is_bounded)
{
    unsigned first = enter(0, 5000, 1), last = 0;
    for (uint32_t uid = 0; uid < 2 * SHARES_USERS; uid++)
        last = enter(0, uid, 1);
    /* The unknown one's, with all that have no room. */
    ck_assert_uint_eq(last, 0);
    ck_assert_uint_eq(shares_total(shares, SHARES_UNKNOWN), 2 * SHARES_USERS - (SHARES_USERS - 2));
    shares_leave(row(0), first);
    ck_assert_uint_eq(enter(0, 7000, 1), first);
    ck_assert_uint_eq(shares_total(shares, 7000), 1);
    ck_assert_uint_eq(shares_total(shares, 5000), 0);
}
END_TEST

START_TEST(who_was_refused_lately_is_known_with_all_that_he_has)
{
    struct share users[4];
    unsigned a = enter(0, 1000, 3), b = enter(1, 1000, 2);
    shares_refuse(row(0), a, 500);
    shares_refuse(row(1), b, 510);
    shares_refuse(row(1), enter(1, 1001, 1), 400);
    ck_assert_uint_eq(shares_refused(shares, 511, users, 4), 1);
    ck_assert_uint_eq(users[0].uid, 1000);
    ck_assert_uint_eq(users[0].open, 5);
    ck_assert_uint_eq(users[0].refused, 2);
    ck_assert_int_eq(users[0].refused_at, 510);
    ck_assert_uint_eq(shares_refused(shares, 510 + SHARES_RECENT_S, users, 4), 0);
    ck_assert_uint_eq(shares_refused(shares, 430, users, 1), 1);
}
END_TEST

/* By a relay that was taken over. */
START_TEST(no_number_in_it_leads_outside)
{
    bool beside;
    unsigned share, full, relays;
    struct share users[4];
    memset(shares, 0xff, sizeof *shares);
    ck_assert_uint_lt(shares_enter(&shares->rows[0], 1000), SHARES_USERS);
    memset(shares, 0xee, sizeof *shares);
    ck_assert_uint_lt(shares_enter(&shares->rows[CONF_RELAYS_MAX - 1], 1000), SHARES_USERS);
    ck_assert(shares_greediest(shares, &shares->rows[CONF_RELAYS_MAX - 1], &share, &beside));
    ck_assert_uint_lt(share, SHARES_USERS);
    ck_assert_uint_le(shares_refused(shares, 1000, users, 4), 4);
    shares_count_full(shares, &full, &relays);
    ck_assert_uint_eq(relays, CONF_RELAYS_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shares");
    TCase *tcase = tcase_create("shares");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_user_is_counted_over_all_relays);
    tcase_add_test(tcase, another_process_sees_the_same_and_cannot_shrink_it);
    tcase_add_test(tcase, what_a_dead_relay_held_is_given_back);
    tcase_add_test(tcase, a_relay_knows_whether_another_has_room);
    tcase_add_test(tcase, full_relays_are_counted);
    tcase_add_test(tcase, the_greediest_is_who_has_the_most_in_all);
    tcase_add_test(tcase, a_greedier_one_in_another_relay_is_seen);
    tcase_add_test(tcase, a_share_is_used_again_and_the_list_is_bounded);
    tcase_add_test(tcase, who_was_refused_lately_is_known_with_all_that_he_has);
    tcase_add_test(tcase, no_number_in_it_leads_outside);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
