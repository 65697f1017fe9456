/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "model/conf/conf.h"
#include "model/verb.h"

static int config(const struct cli_options *options)
{
    json_t *answer = cli_ask(options, options->secrets ? VERB_CONFIG_SECRETS : VERB_CONFIG, CLI_STATUS_WAIT_S);
    const char *text = json_string_value(json_object_get(answer, "config"));
    if (text && options->json)
        cli_put_json(answer);
    else if (text)
        text_write(stdout, text, text_locale_is_utf8());
    else if (answer)
        cli_problem("the daemon's answer is not understood");
    json_decref(answer);
    return text ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static void put_texts(const json_t *texts)
{
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *text = json_string_value(json_array_get(texts, i));

        cli_mistake(text ? text : "message without a text");
    }
}

static int reload(const struct cli_options *options)
{
    json_t *answer = cli_ask(options, VERB_RELOAD, CLI_TEST_WAIT_S);
    const json_t *ok = json_object_get(answer, "ok");
    int result = json_is_true(ok) ? CLI_EXIT_OK : json_is_false(ok) ? CLI_EXIT_CONFIG : CLI_EXIT_FAILED;
    if (options->json && answer)
        cli_put_json(answer);
    put_texts(json_object_get(answer, "errors"));
    put_texts(json_object_get(answer, "warnings"));
    if (json_is_false(ok))
        cli_problem("the configuration in force stays as it was");
    else if (answer && !json_is_true(ok))
        cli_problem("the daemon's answer is not understood");
    json_decref(answer);
    return result;
}

static int test(const struct cli_options *options)
{
    return options->conf_path ? cli_test_alone(options) : cli_test(options);
}

static int help(const struct cli_options *options);

static int version(const struct cli_options *options)
{
    if (options->json)
        puts("{\"version\":\"" PACKAGE_VERSION "\"}");
    else
        puts("penstock " PACKAGE_VERSION);
    return CLI_EXIT_OK;
}

static const struct {
    int (*run)(const struct cli_options *options);
    bool takes_watch, takes_conf, takes_file, takes_secrets, takes_target, takes_check, takes_sort, takes_by;
} verbs[VERB_COUNT] = {
    [VERB_STATUS] = {.run = cli_status, .takes_watch = true, .takes_check = true},
    [VERB_TEST] = {.run = test, .takes_conf = true},
    [VERB_SESSIONS] = {.run = cli_sessions, .takes_sort = true},
    [VERB_TOP] = {.run = cli_top, .takes_by = true},
    [VERB_HISTORY] = {.run = cli_history},
    [VERB_MONITOR] = {.run = cli_monitor},
    [VERB_CHECK] = {.run = cli_check, .takes_file = true},
    [VERB_EXPLAIN] = {.run = cli_explain, .takes_conf = true, .takes_target = true},
    [VERB_CONFIG] = {.run = config, .takes_secrets = true},
    [VERB_RELOAD] = {.run = reload},
    [VERB_HELP] = {.run = help},
    [VERB_VERSION] = {.run = version},
};

static void put_usage(FILE *out)
{
    fputs("Usage: penstock [-S SOCKET] [VERB] [OPTIONS]      (none: status)\n\n", out);
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        char words[64];
        if (!verbs[verb].run)
            continue;
        snprintf(words, sizeof words, "%s %s", verb_word((enum verb)verb), verb_arguments((enum verb)verb));
        fprintf(out, strlen(words) > 28 ? "  %s\n%31s%s\n" : "  %-28s%1s%s\n", words, "", verb_help((enum verb)verb));
    }
    fputs("\n"
          "  -S, --socket=SOCKET          control socket; else $PENSTOCK_CONTROL or " CLI_CONTROL_PATH "\n"
          "  -h, --help                   this text\n"
          "  -V, --version                the version\n"
          "\n"
          "Exit status of status and test: 0 Connected (Secure Channel), 3 Connected (Non-secure), 4 Blocked,\n"
          "5 testing or no network, 6 Direct, 7 Not enforced, 1 no answer or another error, 64 usage,\n"
          "78 configuration; of status --check: 0, 1 warning, 2 critical, 3 unknown. See penstock(1).\n",
          out);
}

static int help(const struct cli_options *options)
{
    put_usage(stdout);
    return CLI_EXIT_OK;
}

/* Not in this version. */
static bool is_to_come(const char *word)
{
    static const char *const words[] = {"metrics", "pause", "resume", "report"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], word) == 0)
            return true;
    return false;
}

static int usage(const char *problem, const char *what)
{
    if (problem)
        cli_problem(problem[0] ? "%s: %s" : "%s%s", problem, what);
    fputs("Try 'penstock --help'.\n", stderr);
    return CLI_EXIT_USAGE;
}

static int run_verb(struct cli_options *options, char **args)
{
    enum verb verb = verb_of(args[0]);
    if (verb == VERB_COUNT && is_to_come(args[0])) {
        cli_problem("%s is not supported by this version", args[0]);
        return CLI_EXIT_USAGE;
    }
    if (verb == VERB_COUNT || !verbs[verb].run)
        return usage("unknown verb", args[0]);
    if (options->watch && !verbs[verb].takes_watch)
        return usage(args[0], "there is no --watch");
    if (options->check && !verbs[verb].takes_check)
        return usage(args[0], "there is no --check");
    if (options->check && options->watch)
        return usage(args[0], "--check looks once, --watch all the time");
    if (options->sort && !verbs[verb].takes_sort)
        return usage(args[0], "there is no --sort");
    if (options->by && !verbs[verb].takes_by)
        return usage(args[0], "there is no --by");
    if (options->secrets && !verbs[verb].takes_secrets)
        return usage(args[0], "there is no --secrets");
    if (options->conf_path && !verbs[verb].takes_conf)
        return usage(args[0], "there is no -c");
    if (options->user && !verbs[verb].takes_target)
        return usage(args[0], "there is no --user");
    if (!args[1] && verbs[verb].takes_target)
        return usage(args[0], "of which HOST[:PORT]?");
    if (verbs[verb].takes_target)
        options->target = *++args;
    if (args[1] && verbs[verb].takes_file)
        options->conf_path = *++args;
    if (args[1])
        return usage("unexpected argument", args[1]);
    return verbs[verb].run(options);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"by", required_argument, NULL, 'b'},
        {"check", no_argument, NULL, 'k'},
        {"sort", required_argument, NULL, 'o'},
        {"conf", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},
        {"secrets", no_argument, NULL, 's'},
        {"socket", required_argument, NULL, 'S'},
        {"unit", required_argument, NULL, 'n'},
        {"user", required_argument, NULL, 'u'},
        {"version", no_argument, NULL, 'V'},
        {"watch", no_argument, NULL, 'w'},
        {0},
    };
    const char *control = getenv("PENSTOCK_CONTROL");
    struct cli_options options = {.control_path = control && *control ? control : CLI_CONTROL_PATH};
    char *bare[] = {(char[]){"status"}, NULL};
    int option, result;
    setlocale(LC_ALL, "");
    while ((option = getopt_long(argc, argv, "c:hS:V", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            options.conf_path = optarg;
            break;
        case 'b':
            options.by = optarg;
            break;
        case 'k':
            options.check = true;
            break;
        case 'o':
            options.sort = optarg;
            break;
        case 'h':
            put_usage(stdout);
            return CLI_EXIT_OK;
        case 'j':
            options.json = true;
            break;
        case 's':
            options.secrets = true;
            break;
        case 'n':
            cli_problem("--unit: rules for units are not supported by this version");
            return CLI_EXIT_USAGE;
        case 'u':
            options.user = optarg;
            break;
        case 'S':
            options.control_path = optarg;
            break;
        case 'V':
            puts("penstock " PACKAGE_VERSION);
            return CLI_EXIT_OK;
        case 'w':
            options.watch = true;
            break;
        default: /* getopt has said what is wrong */
            return usage(NULL, NULL);
        }
    }
    result = run_verb(&options, optind < argc ? argv + optind : bare);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return result;
    cli_problem("writing to standard output failed");
    return CLI_EXIT_FAILED;
}
