/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel decides in the order of the policy. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/encode/chains.h"

static struct conf *conf;

static void read_conf(void)
{
    char text[] = "[Proxy]\nServers=192.0.2.1\nSecurePort=8081\n";
    FILE *stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
}

static void forget(void)
{
    conf_free(conf);
}

/* The rows of the rules of a chain, in their order, each once where it repeats. */
struct rows {
    enum policy_row items[64];
    size_t count;
};

static struct rows rows_of(enum step_chain kind, enum step_side side, enum verdict_mode mode)
{
    struct chain chain = {.kind = kind, .side = side};
    struct ruleset_spec spec = {.mode = mode, .status = "", .conf = conf};
    struct rows rows = {0};
    size_t n_steps;
    const struct step *steps = ruleset_steps(&n_steps);
    for (size_t i = 0; i < n_steps; i++) {
        if (!ruleset_step_applies(&steps[i], &chain, &spec))
            continue;
        if (rows.count == 0 || rows.items[rows.count - 1] != steps[i].row)
            rows.items[rows.count++] = steps[i].row;
    }
    return rows;
}

static bool redirects(enum verdict_mode mode)
{
    return mode == VERDICT_MODE_SECURE || mode == VERDICT_MODE_PLAIN;
}

/* What a chain must carry out: all that the kernel decides, in the policy's order. Nobody owns what is forwarded. */
static struct rows expected(enum step_chain kind, enum step_side side, enum verdict_mode mode)
{
    struct rows rows = {0};
    for (enum policy_row row = 0; row < POLICY_ROW_COUNT; row++) {
        bool owners = row == POLICY_ROW_OWN || row == POLICY_ROW_OWN_ELSEWHERE || row == POLICY_ROW_BYPASS_USERS ||
                      row == POLICY_ROW_BLOCK_USERS;
        bool webs = row == POLICY_ROW_PORTS || row == POLICY_ROW_QUIC;
        if (!policy_row_is_kernels(row) || (owners && side == STEP_FORWARDED))
            continue;
        /* The redirect is for TCP, and not while nothing is redirected; the guard needs no word for what stays here. */
        if (kind == STEP_REDIRECT && webs && (row == POLICY_ROW_QUIC || !redirects(mode)))
            continue;
        if (row == POLICY_ROW_PROXIES && (kind == STEP_REDIRECT || mode == VERDICT_MODE_PLAIN))
            continue;
        if (row == POLICY_ROW_SOURCE_ROUTE && mode == VERDICT_MODE_DIRECT)
            continue;
        if (kind == STEP_GUARD && side == STEP_FORWARDED && row == POLICY_ROW_HOST)
            continue;
        rows.items[rows.count++] = row;
    }
    return rows;
}

START_TEST(chains_follow_the_order_of_the_policy)
{
    static const enum step_chain kinds[] = {STEP_REDIRECT, STEP_GUARD};
    static const enum step_side sides[] = {STEP_LOCAL, STEP_FORWARDED};
    for (size_t k = 0; k < 2; k++) {
        for (size_t s = 0; s < 2; s++) {
            struct rows rows = rows_of(kinds[k], sides[s], (enum verdict_mode)_i);
            struct rows wanted = expected(kinds[k], sides[s], (enum verdict_mode)_i);
            ck_assert_uint_eq(rows.count, wanted.count);
            for (size_t i = 0; i < rows.count; i++)
                ck_assert_msg(rows.items[i] == wanted.items[i], "kind %u side %u: row %d in place %zu, not row %d",
                              kinds[k], sides[s], rows.items[i], i, wanted.items[i]);
        }
    }
}
END_TEST

/* A row that is exempt from one and not from the other would be redirected and then let through, or the other way. */
START_TEST(what_is_exempt_is_so_in_both_kinds_of_chains)
{
    size_t n_steps;
    const struct step *steps = ruleset_steps(&n_steps);
    for (size_t i = 0; i < n_steps; i++) {
        ck_assert_int_eq(steps[i].verdict == STEP_EXEMPT, steps[i].chains == (STEP_REDIRECT | STEP_GUARD));
        ck_assert_int_eq(!steps[i].first_counter, (steps[i].chains & STEP_REDIRECT) == 0);
        ck_assert_int_eq(!steps[i].packet_counter, (steps[i].chains & ~(unsigned)STEP_REDIRECT) == 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chains");
    TCase *tcase = tcase_create("chains");
    tcase_add_checked_fixture(tcase, read_conf, forget);
    tcase_add_loop_test(tcase, chains_follow_the_order_of_the_policy, VERDICT_MODE_SECURE, VERDICT_MODE_DIRECT + 1);
    tcase_add_test(tcase, what_is_exempt_is_so_in_both_kinds_of_chains);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
