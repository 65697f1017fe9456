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

static const char usage_text[] =
    "Usage: penstock [-S SOCKET] VERB [OPTIONS]\n"
    "\n"
    "  status [--json] [--watch]    the status page; --watch repaints it every second\n"
    "  test [--json] [-c FILE]      run the connectivity tests now; with -c alone, without the daemon\n"
    "  sessions [--json]            open sessions: who, where to, by which route\n"
    "  check [--json] [FILE]        check a configuration\n"
    "  config [--json] [--secrets]  print the daemon's configuration; headers only with --secrets\n"
    "  reload [--json]              make the daemon read its configuration again\n"
    "\n"
    "  -S, --socket=SOCKET          control socket; else $PENSTOCK_CONTROL or " CLI_CONTROL_PATH "\n"
    "  -h, --help                   this text\n"
    "  -V, --version                the version\n"
    "\n"
    "Exit status of status and test: 0 Connected (Secure Channel), 3 Connected (Non-secure), 4 Blocked,\n"
    "5 testing or no network, 1 no answer or another error, 64 usage, 78 configuration. See penstock(1).\n";

static int config(const struct cli_options *options)
{
    json_t *answer = cli_ask(options, options->secrets ? "config secrets" : "config", CLI_STATUS_WAIT_S);
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
    json_t *answer = cli_ask(options, "reload", CLI_TEST_WAIT_S);
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

static const struct verb {
    const char *name;
    int (*run)(const struct cli_options *options); /* NULL: not in this version */
    bool takes_watch, takes_conf, takes_file, takes_secrets;
} verbs[] = {
    {.name = "status", .run = cli_status, .takes_watch = true},
    {.name = "test", .run = test, .takes_conf = true},
    {.name = "sessions", .run = cli_sessions},
    {.name = "check", .run = cli_check, .takes_file = true},
    {.name = "config", .run = config, .takes_secrets = true},
    {.name = "reload", .run = reload},
    {.name = "explain"},
    {.name = "metrics"},
};

static int usage(const char *problem, const char *what)
{
    if (problem)
        cli_problem(problem[0] ? "%s: %s" : "%s%s", problem, what);
    fputs("Try 'penstock --help'.\n", stderr);
    return CLI_EXIT_USAGE;
}

static int run_verb(struct cli_options *options, char **args)
{
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(args[0], verbs[i].name) == 0)
            verb = &verbs[i];
    if (!verb)
        return usage("unknown verb", args[0]);
    if (!verb->run) {
        cli_problem("%s is not supported by this version", verb->name);
        return CLI_EXIT_USAGE;
    }
    if (options->watch && !verb->takes_watch)
        return usage(verb->name, "there is no --watch");
    if (options->secrets && !verb->takes_secrets)
        return usage(verb->name, "there is no --secrets");
    if (options->conf_path && !verb->takes_conf)
        return usage(verb->name, "there is no -c");
    if (args[1] && verb->takes_file)
        options->conf_path = *++args;
    if (args[1])
        return usage("unexpected argument", args[1]);
    return verb->run(options);
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"conf", required_argument, NULL, 'c'},   {"help", no_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},         {"secrets", no_argument, NULL, 's'},
        {"socket", required_argument, NULL, 'S'}, {"version", no_argument, NULL, 'V'},
        {"watch", no_argument, NULL, 'w'},        {0},
    };
    const char *control = getenv("PENSTOCK_CONTROL");
    struct cli_options options = {.control_path = control && *control ? control : CLI_CONTROL_PATH};
    int option, result;
    setlocale(LC_ALL, "");
    while ((option = getopt_long(argc, argv, "c:hS:V", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            options.conf_path = optarg;
            break;
        case 'h':
            fputs(usage_text, stdout);
            return CLI_EXIT_OK;
        case 'j':
            options.json = true;
            break;
        case 's':
            options.secrets = true;
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
    if (optind == argc) {
        fputs(usage_text, stderr);
        return CLI_EXIT_USAGE;
    }
    result = run_verb(&options, argv + optind);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return result;
    cli_problem("writing to standard output failed");
    return CLI_EXIT_FAILED;
}
