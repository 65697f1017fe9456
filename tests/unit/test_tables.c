/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The .def tables: slugs that programs can rely on, and manuals that name every one of them. The list of causes in
 * penstock(1) and that of reasons in penstockd(8) are written from their tables by UPDATE_MAN=1. */
#include "config.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cause.h"
#include "model/reason.h"
#include "model/report.h"
#include "model/server.h"
#include "model/target.h"
#include "model/verb.h"
#include "model/verdict.h"

/* The caller frees it. */
static char *read_page(const char *name)
{
    char path[512], *text = NULL;
    size_t size = 0;
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", TOP_DIR, name);
    file = fopen(path, "r");
    ck_assert_msg(file, "%s is missing", path);
    ck_assert_int_ge(getdelim(&text, &size, '\0', file), 0);
    fclose(file);
    return text;
}

static void check_named(const char *page, const char *what)
{
    char *text = read_page(page);
    ck_assert_msg(strstr(text, what), "%s does not name \"%s\"", page, what);
    free(text);
}

static void check_slug(const char *slug, const char *letters)
{
    ck_assert_ptr_nonnull(slug);
    ck_assert_uint_gt(strlen(slug), 0);
    ck_assert_uint_eq(strspn(slug, letters), strlen(slug));
}

#define SLUG "abcdefghijklmnopqrstuvwxyz-"

/* ---- causes ---- */

START_TEST(a_cause_has_a_slug_and_a_cure_of_its_own)
{
    enum cause cause = (enum cause)_i;
    check_slug(cause_slug(cause), SLUG);
    ck_assert_int_eq(cause_of(cause_slug(cause)), cause);
    ck_assert_ptr_nonnull(cause_what(cause));
    ck_assert_ptr_nonnull(cause_cure(cause));
    ck_assert_int_eq(cause_what(cause)[strlen(cause_what(cause)) - 1], '.');
    for (int other = CAUSE_NONE + 1; other < _i; other++)
        ck_assert_str_ne(cause_what(cause), cause_what((enum cause)other));
}
END_TEST

START_TEST(no_cause_is_none)
{
    ck_assert_ptr_null(cause_slug(CAUSE_NONE));
    ck_assert_ptr_null(cause_cure(CAUSE_NONE));
    ck_assert_int_eq(cause_of(NULL), CAUSE_NONE);
    ck_assert_int_eq(cause_of(""), CAUSE_NONE);
    ck_assert_int_eq(cause_of("of-the-next-version"), CAUSE_NONE);
}
END_TEST

START_TEST(a_cause_that_is_none_of_ours_is_our_own_bug)
{
    cause_slug(CAUSE_COUNT);
}
END_TEST

/* mdoc wants a line for each sentence. */
static void put_sentences(FILE *out, const char *text)
{
    for (size_t column = 0; *text; text++) {
        bool ends = column > 0 && text[-1] == '.' && *text == ' ' && text[1] >= 'A' && text[1] <= 'Z';
        putc(ends || (column > 70 && *text == ' ') ? '\n' : *text, out);
        column = ends || (column > 70 && *text == ' ') ? 0 : column + 1;
    }
    putc('\n', out);
}

static void put_causes(FILE *out)
{
    for (int cause = CAUSE_NONE + 1; cause < CAUSE_COUNT; cause++) {
        fprintf(out, ".It Li %s\n", cause_slug((enum cause)cause));
        put_sentences(out, cause_what((enum cause)cause));
        put_sentences(out, cause_cure((enum cause)cause));
    }
}

static void put_reasons(FILE *out)
{
    static const char *const counted[] = {[REASON_COUNT_ENDED] = "",
                                          [REASON_COUNT_CLIENT] = " (client_ended)",
                                          [REASON_COUNT_REFUSED] = " (refused)",
                                          [REASON_COUNT_FAILED] = " (failed)"};
    for (int reason = 0; reason < REASON_COUNT; reason++)
        fprintf(out, ".It Li %s\n%s%s\n", reason_slug((enum reason)reason), reason_text((enum reason)reason),
                counted[reason_counts_as((enum reason)reason)]);
}

static void put_targets(FILE *out)
{
    for (int target = TARGET_NONE + 1; target < TARGET_COUNT; target++)
        fprintf(out, ".It Li %s\n%s\n", target_slug((enum target)target), target_text((enum target)target));
}

static void put_servers(FILE *out)
{
    for (int state = 0; state < SERVER_STATE_COUNT; state++)
        fprintf(out, ".It Li %s\n%s\n", server_state_slug((enum server_state)state),
                server_state_text((enum server_state)state));
}

static const struct {
    const char *page, *name;
    void (*put)(FILE *out);
} lists[] = {{"man/penstock.1", "causes", put_causes},
             {"man/penstock.1", "servers", put_servers},
             {"man/penstockd.8", "reasons", put_reasons},
             {"man/penstock.1", "targets", put_targets}};

static void update_page(const char *name, const char *page, const char *begin, const char *end, const char *list)
{
    char path[512];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", TOP_DIR, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "%.*s%s%s", (int)(begin - page), page, list, end);
    ck_assert_int_eq(fclose(file), 0);
}

/* Between two comments. */
START_TEST(a_manual_lists_the_whole_table)
{
    char *page = read_page(lists[_i].page), *list = NULL, first[64], last[64];
    const char *begin, *end;
    size_t size;
    FILE *out = open_memstream(&list, &size);
    snprintf(first, sizeof first, ".\\\" %s, by tests/unit/test_tables\n", lists[_i].name);
    snprintf(last, sizeof last, ".\\\" end of %s\n", lists[_i].name);
    fprintf(out, "%s.Bl -tag -width Ds\n", first);
    lists[_i].put(out);
    fprintf(out, ".El\n%s", last);
    ck_assert_int_eq(fclose(out), 0);
    begin = strstr(page, first);
    end = strstr(page, last);
    ck_assert_msg(begin && end, "%s has no list of %s", lists[_i].page, lists[_i].name);
    end += strlen(last);
    if (getenv("UPDATE_MAN"))
        update_page(lists[_i].page, page, begin, end, list);
    else
        ck_assert_msg((size_t)(end - begin) == size && memcmp(begin, list, size) == 0,
                      "the list of %s in %s is an old one: UPDATE_MAN=1 tests/unit/test_tables", lists[_i].name,
                      lists[_i].page);
    free(list);
    free(page);
}
END_TEST

/* ---- the journal ---- */

/* Each word that command prints is in page. */
static void check_words(const char *command, const char *page, unsigned at_least)
{
    FILE *words = popen(command, "r");
    char word[128];
    unsigned n = 0;
    ck_assert_ptr_nonnull(words);
    for (; fgets(word, sizeof word, words); n++) {
        word[strcspn(word, "\n")] = '\0';
        check_named(page, word);
    }
    ck_assert_int_eq(pclose(words), 0);
    ck_assert_uint_ge(n, at_least);
}

START_TEST(every_message_id_has_an_entry_in_the_catalog)
{
    check_words("sed -n 's/.*\"\\([0-9a-f]\\{32\\}\\)\"$/\\1/p' " TOP_DIR "/src/model/message_id.h",
                "systemd/penstock.catalog", 15);
}
END_TEST

START_TEST(every_field_of_the_journal_is_documented)
{
    check_words("cd " TOP_DIR "/src && grep -rhoE '[{]\"PENSTOCK_[A-Z_]+\",' . | tr -d '{\",' | sort -u",
                "man/penstockd.8", 15);
}
END_TEST

/* ---- verdicts, stages, reasons, targets ---- */

START_TEST(a_target_has_a_slug_and_a_text_of_its_own)
{
    enum target target = (enum target)_i;
    check_slug(target_slug(target), SLUG);
    ck_assert_ptr_nonnull(target_text(target));
    for (int other = TARGET_NONE + 1; other < _i; other++) {
        ck_assert_str_ne(target_slug(target), target_slug((enum target)other));
        ck_assert_str_ne(target_text(target), target_text((enum target)other));
    }
    ck_assert_ptr_null(target_slug(TARGET_NONE));
    ck_assert(!target_is_name(TARGET_NONE));
}
END_TEST

START_TEST(a_verdict_has_a_slug_of_its_own)
{
    enum verdict_kind kind = (enum verdict_kind)_i;
    check_slug(verdict_slug(kind), SLUG);
    ck_assert_int_eq(verdict_of(verdict_slug(kind)), kind);
    for (int other = 0; other < _i; other++)
        ck_assert_str_ne(verdict_status(kind), verdict_status((enum verdict_kind)other));
    check_named("man/penstock.1", verdict_slug(kind));
    check_named("man/penstock.1", verdict_connection_status(kind));
    check_named("man/penstockd.8", verdict_status(kind));
    ck_assert(!verdict_reason(kind) == !verdict_cure(kind));
}
END_TEST

START_TEST(what_is_no_verdict_is_none)
{
    enum verdict_mode mode = VERDICT_MODE_PLAIN;
    ck_assert_int_eq(verdict_of(NULL), VERDICT_COUNT);
    ck_assert_int_eq(verdict_of("Blocked - Testing"), VERDICT_COUNT);
    ck_assert(!verdict_mode_of(NULL, &mode));
    ck_assert(!verdict_mode_of("closed", &mode));
    ck_assert_int_eq(mode, VERDICT_MODE_PLAIN);
    ck_assert(verdict_mode_of("direct", &mode));
    ck_assert_int_eq(mode, VERDICT_MODE_DIRECT);
    ck_assert(verdict_mode_of("open", &mode));
    ck_assert_int_eq(mode, VERDICT_MODE_OPEN);
}
END_TEST

START_TEST(only_connected_verdicts_redirect)
{
    ck_assert(verdict_redirects(VERDICT_SECURE));
    ck_assert(verdict_redirects(VERDICT_PLAIN));
    ck_assert(!verdict_redirects(VERDICT_TESTING));
    ck_assert(!verdict_redirects(VERDICT_NO_PROXY_DIRECT));
    ck_assert(!verdict_redirects(VERDICT_NOT_ENFORCED));
    ck_assert_str_eq(route_mode_text(verdict_mode_route(VERDICT_MODE_SECURE)), "secure");
    ck_assert_str_eq(route_mode_text(verdict_mode_route(VERDICT_MODE_PLAIN)), "plain");
    ck_assert_ptr_null(route_mode_text(ROUTE_CLOSED));
}
END_TEST

START_TEST(a_stage_has_a_key_of_its_own)
{
    struct server_report server = {0};
    enum stage stage = (enum stage)_i;
    check_slug(stage_key(stage), "abcdefghijklmnopqrstuvwxyz_");
    ck_assert_int_eq(stage_of(stage_key(stage)), stage);
    check_named("man/penstock.1", stage_key(stage));
    ck_assert_ptr_eq(stage_address(&server, stage),
                     stage == STAGE_PLAIN_TCP ? &server.plain_address : &server.secure_address);
}
END_TEST

START_TEST(what_is_no_stage_is_none)
{
    ck_assert_int_eq(stage_of(NULL), STAGE_COUNT);
    ck_assert_int_eq(stage_of("tls"), STAGE_COUNT);
    ck_assert_int_eq(outcome_of(NULL), TEST_NOT_DONE);
    ck_assert_int_eq(outcome_of("Passed"), TEST_NOT_DONE);
    for (int outcome = TEST_NOT_DONE; outcome <= TEST_FAILED; outcome++)
        ck_assert_int_eq(outcome_of(outcome_text((enum test_outcome)outcome)), outcome);
}
END_TEST

/* ---- verbs ---- */

START_TEST(a_verb_is_known_everywhere)
{
    enum verb verb = (enum verb)_i;
    check_slug(verb_word(verb), SLUG " ");
    ck_assert_int_eq(verb_of(verb_word(verb)), verb);
    ck_assert_str_ne(verb_help(verb), "");
    check_named("man/penstock.1", verb_word(verb));
    if (strchr(verb_word(verb), ' '))
        return; /* a request of the socket alone */
    check_named("data/penstock.bash", verb_word(verb));
    check_named("data/_penstock", verb_word(verb));
}
END_TEST

START_TEST(what_is_no_verb_is_none)
{
    ck_assert_int_eq(verb_of(""), VERB_COUNT);
    ck_assert_int_eq(verb_of("Status"), VERB_COUNT);
    ck_assert_int_eq(verb_of("status "), VERB_COUNT);
    ck_assert_int_eq(verb_right(VERB_STATUS), VERB_FOR_ALL);
    ck_assert_int_eq(verb_right(VERB_RELOAD), VERB_FOR_ROOT);
    ck_assert_int_eq(verb_right(VERB_CHECK), VERB_LOCAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tables");
    TCase *causes = tcase_create("causes"), *others = tcase_create("others");
    SRunner *runner;
    int failed;
    tcase_add_loop_test(causes, a_cause_has_a_slug_and_a_cure_of_its_own, CAUSE_NONE + 1, CAUSE_COUNT);
    tcase_add_test(causes, no_cause_is_none);
    tcase_add_test_raise_signal(causes, a_cause_that_is_none_of_ours_is_our_own_bug, SIGABRT);
    suite_add_tcase(suite, causes);
    tcase_add_loop_test(others, a_verdict_has_a_slug_of_its_own, 0, VERDICT_COUNT);
    tcase_add_loop_test(others, a_target_has_a_slug_and_a_text_of_its_own, TARGET_NONE + 1, TARGET_COUNT);
    tcase_add_test(others, every_message_id_has_an_entry_in_the_catalog);
    tcase_add_test(others, every_field_of_the_journal_is_documented);
    tcase_add_test(others, what_is_no_verdict_is_none);
    tcase_add_test(others, only_connected_verdicts_redirect);
    tcase_add_loop_test(others, a_stage_has_a_key_of_its_own, 0, STAGE_COUNT);
    tcase_add_test(others, what_is_no_stage_is_none);
    tcase_add_loop_test(others, a_verb_is_known_everywhere, 0, VERB_COUNT);
    tcase_add_test(others, what_is_no_verb_is_none);
    tcase_add_loop_test(others, a_manual_lists_the_whole_table, 0, sizeof lists / sizeof lists[0]);
    suite_add_tcase(suite, others);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
