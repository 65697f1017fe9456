/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

/* Applies rules for the tests, without the daemon: one command a line on standard input, one answer a line.
 *   apply secure|plain|blocked|direct STATUS TEXT   close WHY   missing   verify   remove   conf FILE   proxies
 * ADDRESS…   portid Answers: "ok", "ok owned", "same", "differs", "error TEXT". The end of input ends it and leaves the
 * rules. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate/rules/modules.h"
#include "gate/rules/table.h"

struct helper {
    struct table *netfilter;
    struct conf *conf;
    uid_t own_uid;
    struct addr proxies[8];
    size_t n_proxies;
};

static void print_mistake(const char *text, void *data)
{
    fprintf(stderr, "%s\n", text);
}

static bool load(struct helper *helper, const char *path)
{
    struct conf *conf;
    if (conf_load(path, print_mistake, NULL, &conf) < 0)
        return false;
    conf_free(helper->conf);
    helper->conf = conf;
    return true;
}

static enum verdict_mode mode_of(const char *text)
{
    static const enum verdict_mode modes[] = {VERDICT_MODE_SECURE, VERDICT_MODE_PLAIN, VERDICT_MODE_BLOCKED,
                                              VERDICT_MODE_DIRECT};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(text, verdict_mode_text(modes[i])) == 0)
            return modes[i];
    fprintf(stderr, "unknown mode %s\n", text);
    exit(64);
}

static void apply(struct helper *helper, char *mode)
{
    char error[TABLE_ERROR_MAX];
    char *status = strchr(mode, ' ');
    struct ruleset_spec spec = {.conf = helper->conf,
                                .own_uid = helper->own_uid,
                                .status = "",
                                .proxies = helper->proxies,
                                .n_proxies = helper->n_proxies};
    if (status) {
        *status = '\0';
        spec.status = status + 1;
    }
    spec.mode = mode_of(mode);
    if (table_apply(helper->netfilter, &spec, error) < 0)
        printf("error %s\n", error);
    else
        printf(table_owned(helper->netfilter) ? "ok owned\n" : "ok\n");
}

static bool take_proxies(struct helper *helper, char *addresses)
{
    char *at = NULL;
    helper->n_proxies = 0;
    for (char *word = strtok_r(addresses, " ", &at); word; word = strtok_r(NULL, " ", &at))
        if (helper->n_proxies == 8 || !addr_parse(word, 0, &helper->proxies[helper->n_proxies++]))
            return false;
    return true;
}

static void answer(struct helper *helper, char *command)
{
    char error[TABLE_ERROR_MAX];
    if (strncmp(command, "apply ", 6) == 0) {
        apply(helper, command + 6);
    } else if (strncmp(command, "close ", 6) == 0) {
        printf(table_close(helper->netfilter, helper->conf, command + 6, error) < 0 ? "error %s\n" : "ok\n", error);
    } else if (strncmp(command, "proxies ", 8) == 0) {
        printf(take_proxies(helper, command + 8) ? "ok\n" : "error addresses\n");
    } else if (strncmp(command, "conf ", 5) == 0) {
        printf(load(helper, command + 5) ? "ok\n" : "error configuration\n");
    } else if (strcmp(command, "verify") == 0) {
        int r = table_verify(helper->netfilter, error);

        if (r == -EAGAIN)
            printf("unknown\n");
        else if (r < 0)
            printf("error %s\n", error);
        else
            printf(r == 1 ? "same\n" : "differs\n");
    } else if (strcmp(command, "missing") == 0) {
        char text[MODULES_TEXT_MAX] = "";

        printf("%d %s\n", modules_missing(text), text);
    } else if (strcmp(command, "remove") == 0) {
        if (table_remove(helper->netfilter, error) < 0)
            printf("error %s\n", error);
        else
            printf("ok\n");
    } else if (strcmp(command, "portid") == 0) {
        printf("%u\n", table_portid(helper->netfilter));
    } else {
        printf("error unknown command\n");
    }
}

int main(int argc, char *argv[])
{
    struct helper helper = {0};
    char error[TABLE_ERROR_MAX], line[1024];
    if (argc != 4) {
        fprintf(stderr, "usage: ruleset_apply owned|plain UID CONFIGURATION\n");
        return 64;
    }
    helper.own_uid = (uid_t)atoi(argv[2]);
    if (!load(&helper, argv[3]))
        return 78;
    setvbuf(stdout, NULL, _IOLBF, 0);
    helper.netfilter = table_new(strcmp(argv[1], "owned") == 0);
    bool ready = table_open(helper.netfilter, error) == 0;
    printf(ready ? "ready\n" : "error %s\n", error);
    while (ready && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        answer(&helper, line);
    }
    table_free(helper.netfilter);
    conf_free(helper.conf);
    return 0;
}
