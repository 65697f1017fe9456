/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "penstock check": the configuration, and whether this host can work with it: keys and certificates, the kernel's
 * nf_tables, redirects of other programs. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/forwarding.h"
#include "cli/cli.h"
#include "cli/prober.h"
#include "cli/text.h"
#include "gate/rules/foreign.h"
#include "gate/rules/modules.h"
#include "model/conf/conf.h"
#include "model/conflicts.h"

#define SERVICE_USER    "penstock"
#define CREDENTIALS_DIR "/run/credentials/"
#define DAY             86400
#define SOON            14 /* days */
#define CHECK_WAIT_S    30 /* for the prober to load all files */

struct findings {
    bool json;
    json_t *errors, *warnings; /* with json */
    bool wrong;                /* there is an error */
};

static void error_cb(const char *text, void *data)
{
    struct findings *findings = data;
    findings->wrong = true;
    if (findings->json)
        json_array_append_new(findings->errors, cli_json_text(text));
    else
        cli_mistake(text);
}

static void warn(struct findings *findings, const char *text)
{
    char line[TEXT_MAX];
    if (findings->json) {
        json_array_append_new(findings->warnings, cli_json_text(text));
        return;
    }
    snprintf(line, sizeof line, "warning: %s", text);
    cli_mistake(line);
}

/* ---- keys and certificates ---- */

/* The service's files are read as its user: root can read everything. */
static void become_service(void)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(SERVICE_USER) : NULL;
    /* When this fails the files are read as root, which finds less. */
    if (user && initgroups(SERVICE_USER, user->pw_gid) == 0 && setegid(user->pw_gid) == 0 && seteuid(user->pw_uid) < 0)
        (void)!setegid(0);
}

static void become_root_again(void)
{
    if (getuid() == 0 && seteuid(0) == 0)
        (void)!setegid(0);
}

static void check_expiry(struct findings *findings, const struct conf *conf, int64_t expires)
{
    int64_t left = expires - (int64_t)time(NULL);
    char text[TEXT_MAX], date[32];
    struct tm tm;
    if (!conf->certificate || expires == 0 || left > (int64_t)SOON * DAY)
        return;
    gmtime_r(&(time_t){expires}, &tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    if (left <= 0)
        snprintf(text, sizeof text, "%s: this certificate expired on %s; the proxy will refuse it", conf->certificate,
                 date);
    else
        snprintf(text, sizeof text, "%s: this certificate expires on %s", conf->certificate, date);
    warn(findings, text);
}

static bool is_credential(const char *path)
{
    return path && strncmp(path, CREDENTIALS_DIR, strlen(CREDENTIALS_DIR)) == 0;
}

/* Credentials of the service exist while it runs, and for its user alone. */
static bool is_absent_credential(const char *path)
{
    return is_credential(path) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 &&
           (errno == ENOENT || errno == EACCES);
}

static bool absent_credential(const struct conf *conf)
{
    return is_absent_credential(conf->certificate) || is_absent_credential(conf->private_key);
}

static void check_files(struct findings *findings, const struct conf *conf, bool as_service)
{
    struct cli_prober prober;
    struct ipc_conf_done done;
    bool answered, absent;
    if (!conf->secure)
        return;
    if (as_service)
        become_service();
    answered = cli_prober_open(&prober, conf, CHECK_WAIT_S, &done);
    absent = absent_credential(conf);
    if (as_service)
        become_root_again();
    cli_prober_close(&prober);
    if (!answered)
        findings->wrong = true;
    else if (done.detail[0] && absent)
        warn(findings, done.detail);
    else if (done.detail[0])
        error_cb(done.detail, findings);
    else
        check_expiry(findings, conf, done.client_expires);
}

/* ---- users ---- */

static void check_users(struct findings *findings, struct conf *conf)
{
    struct conf_user *user = NULL;
    char text[TEXT_MAX];
    while ((user = conf_next_unknown_user(conf, user))) {
        if (cli_look_up_user(user))
            continue;
        snprintf(text, sizeof text, CONF_UNKNOWN_USER_FORMAT, CONF_UNKNOWN_USER_ARGS(user));
        warn(findings, text);
    }
}

/* ---- what cancels itself ---- */

static void check_conflicts(struct findings *findings, const struct conf *conf)
{
    struct texts texts = {0};
    conflicts_find(conf, &texts);
    for (size_t i = 0; i < texts.n; i++)
        warn(findings, texts.lines[i]);
    texts_clear(&texts);
}

/* ---- the kernel ---- */

static void check_kernel(struct findings *findings, const struct conf *conf)
{
    char text[TABLE_ERROR_MAX], parts[MODULES_TEXT_MAX];
    int r = modules_missing(parts);
    if (r > 0)
        error_cb(parts, findings);
    r = foreign_redirects(conf, text);
    if (r != 0 && r != -EPERM) /* which only root and the service may ask */
        warn(findings, text);
}

static void check_forwarding(struct findings *findings)
{
    char text[DETAIL_MAX];
    if (forwarding_warning(text))
        warn(findings, text);
}

/* ---- the verb ---- */

static void put(const struct findings *findings, const char *path)
{
    char clean[TEXT_MAX];
    json_t *result;
    if (!findings->json) {
        if (!findings->wrong)
            printf("%s: no errors\n", text_clean(path, text_locale_is_utf8(), clean, sizeof clean));
        return;
    }
    result = json_pack("{s:o, s:b, s:O, s:O}", "file", cli_json_text(path), "ok", !findings->wrong, "errors",
                       findings->errors, "warnings", findings->warnings);
    cli_put_json(result);
    json_decref(result);
}

int cli_check(const struct cli_options *options)
{
    struct findings findings = {.json = options->json, .errors = json_array(), .warnings = json_array()};
    struct conf *conf = NULL;
    if (conf_load(options->conf_path, error_cb, &findings, &conf) == 0) {
        check_files(&findings, conf, !options->conf_path);
        check_users(&findings, conf);
        check_conflicts(&findings, conf);
        check_kernel(&findings, conf);
        check_forwarding(&findings);
    }
    put(&findings, options->conf_path ? options->conf_path : CONF_DEFAULT_PATH);
    conf_free(conf);
    json_decref(findings.errors);
    json_decref(findings.warnings);
    return findings.wrong ? CLI_EXIT_CONFIG : CLI_EXIT_OK;
}
