/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's main: options, identity, then the gate. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "gate/control/server.h"
#include "gate/fail_closed.h"
#include "gate/gate.h"
#include "gate/host/users.h"
#include "model/conf/conf.h"

#define DEFAULT_USER "penstock"

struct options {
    const char *conf_path;
    const char *user;
    const char *control_path;
    bool test;
};

static void print_usage(FILE *stream)
{
    fputs("Usage: penstockd [-c FILE] [-u USER] [-S PATH] [-t]\n"
          "  -c, --conf=FILE    configuration (default: " CONF_DEFAULT_PATH "), with the drop-ins of FILE.d/\n"
          "  -u, --user=USER    user to become when started as root (default: " DEFAULT_USER ")\n"
          "  -S, --socket=PATH  control socket (default: $PENSTOCK_CONTROL or " CONTROL_DEFAULT_PATH ")\n"
          "  -t, --test         test the configuration and exit\n"
          "  -V, --version      print the version\n"
          "  -h, --help         print this help\n"
          "See penstockd(8).\n",
          stream);
}

/* Fills ret_options; or returns an exit status >= 0 with which the program ends now. */
static int parse_options(int argc, char **argv, struct options *ret_options)
{
    static const struct option long_options[] = {{"conf", required_argument, NULL, 'c'},
                                                 {"user", required_argument, NULL, 'u'},
                                                 {"socket", required_argument, NULL, 'S'},
                                                 {"test", no_argument, NULL, 't'},
                                                 {"version", no_argument, NULL, 'V'},
                                                 {"help", no_argument, NULL, 'h'},
                                                 {0}};
    const char *control = getenv("PENSTOCK_CONTROL");
    struct options options = {.control_path = control && *control ? control : CONTROL_DEFAULT_PATH};
    for (int option; (option = getopt_long(argc, argv, "c:u:S:tVh", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            options.conf_path = optarg;
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'S':
            options.control_path = optarg;
            break;
        case 't':
            options.test = true;
            break;
        case 'V':
            puts("penstockd " PACKAGE_VERSION);
            return EX_OK;
        case 'h':
            print_usage(stdout);
            return EX_OK;
        default:
            print_usage(stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "penstockd: unexpected argument %s\n", argv[optind]);
        print_usage(stderr);
        return EX_USAGE;
    }
    *ret_options = options;
    return -1;
}

static void print_conf_error(const char *text, void *data)
{
    fprintf(stderr, "%s\n", text);
}

static void log_conf_error(const char *text, void *data)
{
    log_error("%s", text);
}

static int test_configuration(const char *path)
{
    struct conf *conf;
    if (conf_load(path, print_conf_error, NULL, &conf) < 0)
        return EX_CONFIG;
    conf_free(conf);
    return EX_OK;
}

/* Root only: the user that the gate becomes; 0 or an exit status. */
static int find_user(const char *name, const struct passwd **ret_user)
{
    const struct passwd *user;
    errno = 0;
    user = getpwnam(name);
    if (!user) {
        log_error("user \"%s\" does not exist; create it, or name another one with -u USER", name);
        return EX_NOUSER;
    }
    if (user->pw_uid == 0) {
        log_error("-u %s: penstockd cannot run as root, because what root sends to the proxies would be exempt", name);
        return EX_USAGE;
    }
    *ret_user = user;
    return EX_OK;
}

/* As root: the socket's directory for the user, then becomes that user. Else: keeps CAP_NET_ADMIN alone. */
static int become_gate(const struct options *options, uid_t *ret_uid)
{
    const char *name = options->user;
    if (geteuid() == 0) {
        const struct passwd *user;
        char error[CONTROL_ERROR_MAX];
        int status;

        name = name ? name : DEFAULT_USER;
        status = find_user(name, &user);
        if (status != EX_OK)
            return status;
        if (control_make_directory(options->control_path, user->pw_uid, user->pw_gid, error) < 0) {
            log_error("%s", error);
            return EX_CANTCREAT;
        }
    }

    int r = sandbox_become_gate(name, ret_uid);
    if (r == 0)
        return EX_OK;
    if (r == -EPERM && geteuid() != 0)
        log_error("CAP_NET_ADMIN is missing, which the rules need; start penstockd as root or give it the capability");
    else if (r == -ENOENT)
        log_error("user \"%s\" does not exist", name);
    else
        log_error("cannot run as user %s: %s", name ? name : "of this process", strerror(-r));
    return EX_NOPERM;
}

/* A closed standard descriptor would be reused by the next socket, and a library's message would go into it. */
static bool prepare_descriptors(void)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0)
        return false;
    while (null < STDERR_FILENO) {
        null = dup(null);
        if (null < 0)
            return false;
    }
    if (null > STDERR_FILENO && dup2(null, STDIN_FILENO) >= 0)
        return close(null) == 0;
    return dup2(null, STDIN_FILENO) >= 0;
}

/* Until the gate runs. An exit status; *ret_why: half a sentence about it. */
static int run_gate(const struct options *options, const char **ret_why)
{
    struct gate_options gate = {.conf_path = options->conf_path, .control_path = options->control_path};
    struct conf *conf;
    int status;
    *ret_why = "the configuration cannot be used";
    if (conf_load(options->conf_path, log_conf_error, NULL, &conf) < 0)
        return EX_CONFIG;
    conf_free(conf);
    *ret_why = "penstockd cannot become its user with its privilege";
    status = become_gate(options, &gate.own_uid);
    if (status != EX_OK)
        return status;
    *ret_why = "the user of penstockd cannot read the configuration";
    /* Once more as the user that will read it at a reload: a missing permission shows now and not then. */
    if (conf_load(options->conf_path, log_conf_error, NULL, &conf) < 0) {
        log_error("the user of penstockd must be able to read its configuration");
        return EX_CONFIG;
    }
    log_set_level(conf->log_level);
    *ret_why = NULL; /* from here on the gate closes itself */
    return gate_main(&gate, conf);
}

static int run_daemon(const struct options *options)
{
    const char *why = "the system refused what the start needs";
    int status = EX_OSERR;
    log_init("gate", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    umask(027);
    if (prepare_descriptors())
        status = run_gate(options, &why);
    else
        log_error("/dev/null: %s", strerror(errno));
    if (status != EX_OK && why)
        fail_closed(options->conf_path, options->control_path, why);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    int status;
    if (argc > 1 && strcmp(argv[1], "--child=users") == 0)
        return users_main();

    status = parse_options(argc, argv, &options);
    if (status >= 0)
        return status;
    return options.test ? test_configuration(options.conf_path) : run_daemon(&options);
}
