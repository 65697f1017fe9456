/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The example configuration, which is cut out of penstock.conf(5): it is up to date, it names every key, what it shows
 * as a default is one, and it is valid once the servers are filled in. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conf/conf.h"
#include "model/conf/keys.h"

#define EXAMPLE_MAX 16384

static void read_all(FILE *stream, char buf[static EXAMPLE_MAX])
{
    size_t n;
    ck_assert_ptr_nonnull(stream);
    n = fread(buf, 1, EXAMPLE_MAX - 1, stream);
    ck_assert_uint_lt(n, EXAMPLE_MAX - 1);
    buf[n] = '\0';
}

static void read_example(char buf[static EXAMPLE_MAX])
{
    FILE *file = fopen(TOP_DIR "/data/penstock.conf.example", "r");
    read_all(file, buf);
    fclose(file);
}

/* As make install leaves it. */
static void read_installed_example(char buf[static EXAMPLE_MAX])
{
    FILE *sed =
        popen("sed 's|/etc/penstock|" PENSTOCK_SYSCONFDIR "/penstock|' " TOP_DIR "/data/penstock.conf.example", "r");

    read_all(sed, buf);
    ck_assert_int_eq(pclose(sed), 0);
}

static void on_mistake(const char *text, void *data)
{
    ck_abort_msg("%s", text);
}

/* The effective configuration of text, with servers filled in. */
static char *effective(const char *text)
{
    char filled[EXAMPLE_MAX + 64], *result = NULL;
    const char *servers = strstr(text, "\nServers=\n");
    struct conf *conf;
    size_t size;
    FILE *in, *out = open_memstream(&result, &size);
    ck_assert_ptr_nonnull(servers);
    snprintf(filled, sizeof filled, "%.*s\nServers=gw.example%s", (int)(servers - text), text,
             servers + strlen("\nServers="));
    in = fmemopen(filled, strlen(filled), "r");
    ck_assert_int_eq(conf_read(in, "example", on_mistake, NULL, &conf), 0);
    conf_print(conf, out);
    conf_free(conf);
    fclose(in);
    fclose(out);
    return result;
}

START_TEST(it_is_what_the_manual_page_has)
{
    char example[EXAMPLE_MAX], cut[EXAMPLE_MAX];
    FILE *script = popen(TOP_DIR "/scripts/example-conf", "r");
    read_all(script, cut);
    ck_assert_int_eq(pclose(script), 0);
    read_example(example);
    ck_assert_str_eq(example, cut);
}
END_TEST

START_TEST(it_is_valid_and_its_comments_are_the_defaults)
{
    char example[EXAMPLE_MAX], uncommented[EXAMPLE_MAX];
    char *as_it_is, *all_set, *to = uncommented;
    read_installed_example(example);
    for (const char *from = example; *from; from++)
        if (*from != '#' || from[1] == ' ' || strncmp(from, "#Header=", 8) == 0)
            *to++ = *from;
    *to = '\0';
    as_it_is = effective(example);
    all_set = effective(uncommented);
    ck_assert_str_eq(as_it_is, all_set);
    free(as_it_is);
    free(all_set);
}
END_TEST

START_TEST(it_has_every_key_that_is_supported)
{
    char example[EXAMPLE_MAX], line[128];
    size_t count;
    const struct conf_key *keys = conf_keys(&count);
    read_example(example);
    for (size_t i = 0; i < count; i++) {
        const char *section, *end, *set, *comment;

        snprintf(line, sizeof line, "\n[%s]\n", keys[i].section);
        section = strstr(example, line);
        end = section ? strstr(section + 2, "\n[") : NULL;
        snprintf(line, sizeof line, "\n%s=", keys[i].name);
        set = section ? strstr(section, line) : NULL;
        snprintf(line, sizeof line, "\n#%s=", keys[i].name);
        comment = section ? strstr(section, line) : NULL;
        set = set ? set : comment;
        ck_assert_msg((set && (!end || set < end)) == (keys[i].kind != CONF_KIND_REFUSED), "[%s] %s=", keys[i].section,
                      keys[i].name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("example");
    TCase *tcase = tcase_create("example");
    SRunner *runner;
    int failed;
    tcase_add_test(tcase, it_is_what_the_manual_page_has);
    tcase_add_test(tcase, it_is_valid_and_its_comments_are_the_defaults);
    tcase_add_test(tcase, it_has_every_key_that_is_supported);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
