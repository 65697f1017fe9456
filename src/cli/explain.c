/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "penstock explain": which rule decides about a destination, and which way it would go now. The rules are those of the
 * configuration's files, the way is asked of the daemon. */
#include "config.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "model/conf/conf.h"
#include "model/conf/value.h"
#include "model/hostname.h"
#include "model/policy.h"
#include "model/verdict.h"

#define SERVICE_USER  "penstock"
#define PORT          443 /* of who says none */
#define ADDRESSES_MAX 16
#define LABEL_COLUMNS 10

struct question {
    const struct conf *conf;
    const json_t *status; /* NULL: the daemon does not answer */
    char host[HOSTNAME_SIZE];
    char name[HOSTNAME_SIZE]; /* the same, as names are compared; empty: it is an address */
    uint16_t port;
    struct addr addrs[ADDRESSES_MAX];
    size_t n_addrs;
    bool has_uid, own_user;
    uid_t uid;
};

/* ---- what is asked ---- */

/* HOST, HOST:PORT, [v6], [v6]:PORT, v6. */
static bool take_target(struct question *question, const char *text)
{
    const char *host = text;
    size_t length = strlen(text);
    question->port = PORT;
    if (!conf_value_host(text, length) && !conf_value_target(text, &host, &length, &question->port)) {
        cli_problem("%s: expected HOST or HOST:PORT", text);
        return false;
    }
    if (host[0] == '[') {
        host++;
        length -= 2;
    }
    memcpy(question->host, host, length);
    question->host[length] = '\0';
    (void)hostname_parse(host, length, question->name);
    return true;
}

static bool take_user(struct question *question, const char *user)
{
    const struct passwd *entry;
    if (!user)
        return true;
    question->has_uid = true;
    if (!conf_value_user(user, &question->uid)) {
        cli_problem("%s: expected a user's name or number", user);
        return false;
    }
    if (question->uid == CONF_UID_UNKNOWN && (entry = getpwnam(user)))
        question->uid = entry->pw_uid;
    if (question->uid == CONF_UID_UNKNOWN) {
        cli_problem("%s: no such user", user);
        return false;
    }
    entry = getpwnam(SERVICE_USER);
    question->own_user = entry && entry->pw_uid == question->uid;
    return true;
}

/* What /etc/passwd does not have, the host's other sources may; the daemon asks them, too. */
static void look_up_users(struct conf *conf)
{
    struct conf_user *user = NULL;
    while ((user = conf_next_unknown_user(conf, user)))
        (void)cli_look_up_user(user);
}

static void add_address(struct question *question, const struct addr *addr)
{
    for (size_t i = 0; i < question->n_addrs; i++)
        if (addr_equal_host(&question->addrs[i], addr))
            return;
    if (question->n_addrs < ADDRESSES_MAX) {
        question->addrs[question->n_addrs] = *addr;
        addr_set_port(&question->addrs[question->n_addrs++], question->port);
    }
}

static bool find_addresses(struct question *question)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct addr addr;
    int r = getaddrinfo(question->host, NULL, &hints, &list);
    for (const struct addrinfo *info = list; r == 0 && info; info = info->ai_next)
        if (addr_from_sockaddr(info->ai_addr, info->ai_addrlen, &addr))
            add_address(question, &addr);
    if (list)
        freeaddrinfo(list);
    if (question->n_addrs == 0)
        cli_problem("%s: %s", question->host, r != 0 ? gai_strerror(r) : "no address");
    return question->n_addrs > 0;
}

/* ---- the facts of this host ---- */

static bool is_of_this_host(const struct addr *addr)
{
    struct ifaddrs *list, *one;
    struct addr own;
    bool found = false;
    if (getifaddrs(&list) < 0)
        return false;
    for (one = list; one && !found; one = one->ifa_next)
        found = one->ifa_addr && addr_from_sockaddr(one->ifa_addr, sizeof own, &own) && addr_equal_host(&own, addr);
    freeifaddrs(list);
    return found;
}

static bool mode_of(const json_t *status, enum verdict_mode *ret_mode)
{
    return verdict_mode_of(json_string_value(json_object_get(status, "mode")), ret_mode);
}

static bool is_text_of(const char *text, const struct addr *addr)
{
    struct addr other;
    return text && addr_parse(text, 0, &other) && addr_equal_host(&other, addr);
}

/* As far as it is known without DNS: what the configuration says, and where the daemon was. */
static bool is_proxy(const struct question *question, const struct addr *addr)
{
    const json_t *servers = json_object_get(question->status, "servers"), *server;
    size_t i;
    for (i = 0; i < question->conf->n_servers; i++)
        if (is_text_of(question->conf->servers[i], addr))
            return true;
    json_array_foreach(servers, i, server)
    {
        if (is_text_of(json_string_value(json_object_get(server, "address")), addr))
            return true;
    }
    return is_text_of(json_string_value(json_object_get(json_object_get(question->status, "proxy"), "address")), addr);
}

static struct subject subject_of(const struct question *question, const struct addr *addr)
{
    const struct conf *conf = question->conf;
    const bool proxy = is_proxy(question, addr);
    const bool plain_port = proxy && question->port == conf->port;
    enum verdict_mode mode;
    return (struct subject){
        .destination = *addr,
        .name = question->name[0] ? question->name : NULL,
        .protocol = IPPROTO_TCP,
        .has_uid = question->has_uid,
        .uid = question->uid,
        .own_user = question->own_user,
        .own = question->own_user && (plain_port || (proxy && conf->secure && question->port == conf->secure_port)),
        .plain_proxy = plain_port && !(mode_of(question->status, &mode) && mode == VERDICT_MODE_PLAIN),
        .local = is_of_this_host(addr),
    };
}

/* ---- the answer ---- */

static const char *decision_word(enum policy_decision decision)
{
    switch (decision) {
    case POLICY_PROXY:
        return "proxy";
    case POLICY_DIRECT:
        return "bypass";
    case POLICY_REFUSED:
        return "block";
    case POLICY_UNTOUCHED:
        break;
    }
    return "untouched";
}

/* NULL: not known. */
static const char *route_word(const struct question *question, enum policy_decision decision, bool by_relay)
{
    enum verdict_mode mode;
    bool known = mode_of(question->status, &mode);
    if (known && mode == VERDICT_MODE_OPEN)
        return "direct"; /* there are no rules */
    if (known && mode == VERDICT_MODE_DIRECT && by_relay)
        return "direct"; /* which no relay sees */
    if (decision == POLICY_REFUSED)
        return "none";
    if (decision != POLICY_PROXY)
        return "direct";
    if (!known)
        return NULL;
    return mode == VERDICT_MODE_BLOCKED ? "none" : verdict_mode_text(mode);
}

/* {"rule": …, "file": …, "line": …}; what no key makes has no file, and neither has a default. */
static json_t *rule_object(const struct conf *conf, const struct policy_rule *rule)
{
    char text[POLICY_RULE_TEXT_MAX];
    const char *file;
    unsigned line;
    if (!policy_rule_origin(conf, rule, &file, &line))
        return json_pack("{s:o, s:n, s:n}", "rule", cli_json_text(policy_rule_text(conf, rule, text)), "file", "line");
    return json_pack("{s:o, s:o, s:i}", "rule", cli_json_text(policy_rule_text(conf, rule, text)), "file",
                     cli_json_text(file), "line", (int)line);
}

static json_t *losers_of(const struct conf *conf, const struct subject *subject, struct policy_rule rule)
{
    json_t *list = json_array();
    while (rule.row != POLICY_ROW_DEFAULT) {
        policy_decide_without(conf, subject, &rule);
        if (rule.row != POLICY_ROW_DEFAULT)
            json_array_append_new(list, rule_object(conf, &rule));
    }
    return list;
}

static json_t *explain_address(const struct question *question, const struct addr *addr)
{
    const struct subject subject = subject_of(question, addr);
    struct policy_rule rule;
    const enum policy_decision decision = policy_decide(question->conf, &subject, &rule);
    const bool by_relay = rule.row != POLICY_ROW_DEFAULT && !policy_row_is_kernels(rule.row);
    const char *route = route_word(question, decision, by_relay);
    const char *by = by_relay ? "relay" : rule.row == POLICY_ROW_DEFAULT ? "default" : "kernel";
    char host[ADDR_TEXT_MAX];
    json_t *object = json_pack("{s:s, s:s, s:s, s:o, s:o}", "address", addr_host_text(addr, host), "decision",
                               decision_word(decision), "by", by, "lost", losers_of(question->conf, &subject, rule),
                               "route", route ? json_string(route) : json_null());
    json_t *named = rule_object(question->conf, &rule);
    json_object_update(object, named);
    json_decref(named);
    return object;
}

/* The first address is the one that a program would try first; it stands for all when they are alike. */
static json_t *explain(const struct question *question)
{
    json_t *each = json_array(), *addresses = json_array(), *object;
    bool alike = true;
    for (size_t i = 0; i < question->n_addrs; i++) {
        json_t *one = explain_address(question, &question->addrs[i]);
        json_array_append_new(addresses, json_incref(json_object_get(one, "address")));
        json_array_append_new(each, one);
        alike = alike && json_equal(json_object_get(one, "rule"), json_object_get(json_array_get(each, 0), "rule"));
    }
    object = json_pack("{s:o, s:i, s:o}", "host", cli_json_text(question->host), "port", (int)question->port,
                       "addresses", addresses);
    json_object_update(object, json_array_get(each, 0));
    json_object_del(object, "address");
    if (!alike)
        json_object_set(object, "each", each);
    json_decref(each);
    return object;
}

/* ---- for people ---- */

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void put_line(const char *label, const char *text)
{
    char clean[TEXT_MAX];
    printf("  %-*s %s\n", LABEL_COLUMNS, label, text_clean(text, text_locale_is_utf8(), clean, sizeof clean));
}

static const char *says(const char *decision)
{
    if (strcmp(decision, "proxy") == 0)
        return "goes to the proxy";
    if (strcmp(decision, "bypass") == 0)
        return "goes past the proxy";
    return strcmp(decision, "block") == 0 ? "is refused" : "is left alone";
}

/* "[Block] Ports=25 (/etc/penstock/penstock.conf:12)" */
static const char *rule_line(const json_t *object, char buf[static TEXT_MAX])
{
    const char *file = text_at(object, "file");
    if (file[0] != '\0')
        snprintf(buf, TEXT_MAX, "%s (%.600s:%d)", text_at(object, "rule"), file,
                 (int)json_integer_value(json_object_get(object, "line")));
    else
        snprintf(buf, TEXT_MAX, "%s", text_at(object, "rule"));
    return buf;
}

static void put_decision(const struct question *question, const json_t *object, const char *address)
{
    char line[TEXT_MAX], clean[TEXT_MAX];
    const bool v6 = strchr(question->host, ':');
    const json_t *lost = json_object_get(object, "lost"), *loser;
    const char *label = "Lost", *by = text_at(object, "by"), *route = text_at(object, "route");
    size_t i;
    snprintf(line, sizeof line, "%s%s%s:%u%s%s %s", v6 ? "[" : "", question->host, v6 ? "]" : "", question->port,
             address[0] ? " at " : "", address, says(text_at(object, "decision")));
    puts(text_clean(line, text_locale_is_utf8(), clean, sizeof clean));
    put_line("Rule", rule_line(object, line));
    json_array_foreach(lost, i, loser)
    {
        put_line(label, rule_line(loser, line));
        label = "";
    }
    if (strcmp(by, "default") != 0)
        put_line("Decided by", by);
    put_line("Route now", route[0] ? route : "not known: the daemon does not answer");
}

static void put_page(const struct question *question, const json_t *object)
{
    const json_t *each = json_object_get(object, "each"), *one;
    char line[TEXT_MAX] = "";
    size_t i, at = 0;
    if (!each)
        put_decision(question, object, "");
    json_array_foreach(each, i, one)
    {
        put_decision(question, one, text_at(one, "address"));
    }
    if (each)
        return;
    json_array_foreach(json_object_get(object, "addresses"), i, one)
    {
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%s", i > 0 ? ", " : "", json_string_value(one));
    }
    put_line("Addresses", line);
}

/* ---- the verb ---- */

static void error_cb(const char *text, void *data)
{
    cli_mistake(text);
}

/* NULL: it does not answer, which is no problem here. */
static json_t *ask_quietly(const struct cli_options *options, enum verb verb)
{
    struct cli_client client;
    json_t *object = NULL;
    if (cli_client_open(&client, options->control_path, verb, CLI_STATUS_WAIT_S, -1))
        (void)cli_client_next(&client, &object);
    cli_client_close(&client);
    return object;
}

/* Only root may know. */
static void warn_of_changes(const struct cli_options *options, const struct conf *conf)
{
    json_t *answer = ask_quietly(options, VERB_CONFIG);
    const char *in_force = json_string_value(json_object_get(answer, "config"));
    char *text = NULL;
    size_t size;
    FILE *stream = in_force ? open_memstream(&text, &size) : NULL;
    if (stream) {
        conf_print_without_secrets(conf, stream);
        if (fclose(stream) == 0 && strcmp(text, in_force) != 0)
            cli_problem(
                "the files differ from the configuration in force, of which this does not tell (penstock reload)");
        free(text);
    }
    json_decref(answer);
}

int cli_explain(const struct cli_options *options)
{
    struct question question = {0};
    struct conf *conf = NULL;
    json_t *status, *object;
    if (!take_target(&question, options->target) || !take_user(&question, options->user))
        return CLI_EXIT_USAGE;
    if (conf_load(options->conf_path, error_cb, NULL, &conf) < 0)
        return CLI_EXIT_CONFIG;
    look_up_users(conf);
    if (!options->conf_path)
        warn_of_changes(options, conf);
    if (!find_addresses(&question)) {
        conf_free(conf);
        return CLI_EXIT_FAILED;
    }
    status = ask_quietly(options, VERB_STATUS);
    question.conf = conf;
    question.status = status;
    object = explain(&question);
    if (options->json)
        cli_put_json(object);
    else
        put_page(&question, object);
    json_decref(object);
    json_decref(status);
    conf_free(conf);
    return CLI_EXIT_OK;
}
