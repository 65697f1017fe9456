/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/keys.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/conf/header.h"
#include "model/conf/value.h"
#include "model/hostname.h"
#include "model/punycode.h"

#define SECOND 1000u
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

/* conf_key_set() writes enums through an unsigned. */
static_assert(sizeof(enum conf_stop) == sizeof(unsigned) && sizeof(enum log_level) == sizeof(unsigned),
              "an enum is an unsigned");

static const struct conf_word versions[] = {{"1.2", CONF_TLS_1_2}, {"1.3", CONF_TLS_1_3}, {NULL, 0}};
static const struct conf_word http[] = {{"request", CONF_HTTP_REQUEST}, {"tunnel", CONF_HTTP_TUNNEL}, {NULL, 0}};
static const struct conf_word names[] = {
    {"prefer", CONF_NAMES_PREFER}, {"require", CONF_NAMES_REQUIRE}, {"ignore", CONF_NAMES_IGNORE}, {NULL, 0}};
static const struct conf_word quic[] = {{"reject", CONF_QUIC_REJECT}, {"pass", CONF_QUIC_PASS}, {NULL, 0}};
static const struct conf_word unavailable[] = {
    {"block", CONF_UNAVAILABLE_BLOCK}, {"direct", CONF_UNAVAILABLE_DIRECT}, {NULL, 0}};
static const struct conf_word stop[] = {{"open", CONF_STOP_OPEN}, {"block", CONF_STOP_BLOCK}, {NULL, 0}};
static const struct conf_word on_error[] = {{"block", CONF_ON_ERROR_BLOCK}, {"open", CONF_ON_ERROR_OPEN}, {NULL, 0}};
static const struct conf_word levels[] = {{"error", LOG_LEVEL_ERROR},   {"warning", LOG_LEVEL_WARNING},
                                          {"notice", LOG_LEVEL_NOTICE}, {"info", LOG_LEVEL_INFO},
                                          {"debug", LOG_LEVEL_DEBUG},   {NULL, 0}};

#define FIELD(field)       .offset = offsetof(struct conf, field)
#define LIST(field, limit) FIELD(field), .count_offset = offsetof(struct conf, n_##field), .high = (limit)
#define KEY(section, name, kind, ...)                                                                                  \
    {                                                                                                                  \
        section, name, CONF_KIND_##kind, __VA_ARGS__                                                                   \
    }

/* In the order of penstock.conf(5), which is the order of printing. */
static const struct conf_key keys[] = {
    KEY("Proxy", "Servers", HOSTS, LIST(servers, CONF_SERVERS_MAX)),
    KEY("Proxy", "SecurePort", PORT, FIELD(secure_port), .low = 1),
    KEY("Proxy", "Port", PORT, FIELD(port), .low = 1, .initial = "8080"),
    KEY("Proxy", "Select", REFUSED, .high = 0),
    KEY("Proxy", "SwitchBack", REFUSED, .high = 0),
    KEY("Proxy", "Header", HEADERS, LIST(headers, CONF_HEADERS_MAX)),
    KEY("Proxy", "IdentityOnPlain", BOOL, FIELD(identity_on_plain), .initial = "no"),
    KEY("SecureChannel", "Enabled", BOOL, FIELD(secure), .initial = "yes"),
    KEY("SecureChannel", "AllowFallback", BOOL, FIELD(allow_fallback), .initial = "no"),
    KEY("SecureChannel", "ServerName", HOST, FIELD(server_name)),
    KEY("SecureChannel", "AuthURL", URL, FIELD(auth_url), .initial = "https://mcp.wgcs.skyhigh.cloud/"),
    KEY("SecureChannel", "TrustedCA", TRUST, LIST(ca_paths, CONF_CA_PATHS_MAX), .initial = "system"),
    KEY("SecureChannel", "Certificate", PATH, FIELD(certificate),
        .initial = PENSTOCK_SYSCONFDIR "/penstock/tls/client.pem"),
    KEY("SecureChannel", "PrivateKey", PATH, FIELD(private_key),
        .initial = PENSTOCK_SYSCONFDIR "/penstock/tls/client.key"),
    KEY("SecureChannel", "MinimumVersion", WORD, FIELD(minimum_version), .words = versions, .expected = "1.2 or 1.3",
        .initial = "1.2"),
    KEY("SecureChannel", "CRL", REFUSED, .high = 0),
    KEY("SecureChannel", "Multiplex", REFUSED, .high = 0),
    KEY("SecureChannel", "WarmConnections", REFUSED, .high = 0),
    KEY("Test", "Interval", SPAN, FIELD(interval_ms), .low = SECOND / 10, .high = HOUR, .initial = "30s"),
    KEY("Test", "ConnectTimeout", SPAN, FIELD(connect_timeout_ms), .low = SECOND / 10, .high = MINUTE, .initial = "3s"),
    KEY("Test", "HandshakeTimeout", SPAN, FIELD(handshake_timeout_ms), .low = SECOND / 10, .high = MINUTE,
        .initial = "5s"),
    KEY("Test", "RetryMax", SPAN, FIELD(retry_max_ms), .low = SECOND, .high = HOUR, .initial = "30s"),
    KEY("Test", "Target", TARGET, FIELD(test_target)),
    KEY("Redirect", "Ports", PORTS, LIST(ports, CONF_PORTS_MAX), .initial = "80 443"),
    KEY("Redirect", "Intercept", INTERCEPT, .high = 0),
    KEY("Redirect", "ForwardedFrom", REFUSED, .high = 0),
    KEY("Redirect", "HTTP", WORD, FIELD(http), .words = http, .expected = "request or tunnel", .initial = "request"),
    KEY("Redirect", "Names", WORD, FIELD(names), .words = names, .expected = "prefer, require or ignore",
        .initial = "prefer"),
    KEY("Redirect", "QUIC", WORD, FIELD(quic), .words = quic, .expected = "reject or pass", .initial = "reject"),
    /* The relays, which listen there, have no privilege. */
    KEY("Redirect", "ListenPort", PORT, FIELD(listen_port), .low = 1024, .initial = "15443"),
    KEY("Redirect", "ProtectProxies", BOOL, FIELD(protect_proxies), .initial = "yes"),
    KEY("Bypass", "Networks", NETWORKS, LIST(bypass_networks, CONF_NETWORKS_MAX)),
    KEY("Bypass", "LocalNetworks", BOOL, FIELD(local_networks), .initial = "yes"),
    KEY("Bypass", "Ports", PORTS, LIST(bypass_ports, CONF_PORTS_MAX)),
    KEY("Bypass", "Users", USERS, LIST(bypass_users, CONF_USERS_MAX)),
    KEY("Bypass", "Units", REFUSED, .high = 0),
    KEY("Bypass", "Domains", REFUSED, .high = 0),
    KEY("Block", "Networks", NETWORKS, LIST(block_networks, CONF_NETWORKS_MAX)),
    KEY("Block", "Ports", PORTS, LIST(block_ports, CONF_PORTS_MAX)),
    KEY("Block", "Users", USERS, LIST(block_users, CONF_USERS_MAX)),
    KEY("Block", "Units", REFUSED, .high = 0),
    KEY("Block", "Domains", DOMAINS, LIST(block_domains, CONF_DOMAINS_MAX)),
    KEY("Failure", "OnUnavailable", WORD, FIELD(on_unavailable), .words = unavailable, .expected = "block or direct",
        .initial = "block"),
    KEY("Failure", "OnStop", WORD, FIELD(on_stop), .words = stop, .expected = "open or block", .initial = "open"),
    KEY("Failure", "OnError", WORD, FIELD(on_error), .words = on_error, .expected = "block or open",
        .initial = "block"),
    KEY("Failure", "Scope", REFUSED, .high = 0),
    KEY("Location", "Inside", REFUSED, .high = 0),

    KEY("Portal", "Detect", REFUSED, .high = 0),
    KEY("Portal", "Probe", REFUSED, .high = 0),
    KEY("Portal", "Open", REFUSED, .high = 0),
    KEY("Portal", "Limit", REFUSED, .high = 0),
    KEY("Names", "Synthesize", REFUSED, .high = 0),
    KEY("Names", "Range4", REFUSED, .high = 0),
    KEY("Names", "Range6", REFUSED, .high = 0),
    KEY("Limits", "SessionsPerUser", NUMBER, FIELD(sessions_per_user), .low = 1, .high = 1000000, .initial = "4096"),
    KEY("Limits", "LogRate", NUMBER, FIELD(log_rate), .low = 1, .high = 100000, .initial = "50"),
    KEY("Log", "Level", WORD, FIELD(log_level), .words = levels, .expected = "error, warning, notice, info or debug",
        .initial = "info"),
    KEY("Log", "Sessions", BOOL, FIELD(log_sessions), .initial = "yes"),
    KEY("Relay", "Processes", NUMBER, FIELD(relays), .high = CONF_RELAYS_MAX, .initial = "0"),
};

const struct conf_key *conf_keys(size_t *ret_count)
{
    *ret_count = sizeof keys / sizeof keys[0];
    return keys;
}

const struct conf_key *conf_keys_find(const char *section, const char *name)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

const char *conf_keys_section(const char *section)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(keys[i].section, section) == 0)
            return keys[i].section;
    }
    return NULL;
}

/* ---- saying why ---- */

__attribute__((format(printf, 3, 4))) static bool problem(char why[static CONF_WHY_MAX], const char *value,
                                                          const char *format, ...)
{
    const bool cut = strlen(value) > 80;
    int length = snprintf(why, CONF_WHY_MAX, "%.80s%s: ", value, cut ? "…" : "");
    va_list args;
    va_start(args, format);
    vsnprintf(why + length, CONF_WHY_MAX - (size_t)length, format, args);
    va_end(args);
    return false;
}

static bool out_of_memory(char why[static CONF_WHY_MAX])
{
    snprintf(why, CONF_WHY_MAX, ": out of memory");
    return false;
}

/* ---- single values ---- */

static void *field(struct conf *conf, size_t offset)
{
    return (char *)conf + offset;
}

static bool set_word(const struct conf_key *key, struct conf *conf, const char *value, char why[static CONF_WHY_MAX])
{
    for (const struct conf_word *w = key->words; w->word; w++) {
        if (strcmp(w->word, value) == 0) {
            *(unsigned *)field(conf, key->offset) = w->value;
            return true;
        }
    }
    return problem(why, value, "expected %s", key->expected);
}

static bool set_span(const struct conf_key *key, struct conf *conf, const char *value, char why[static CONF_WHY_MAX])
{
    char low[CONF_SPAN_TEXT_MAX], high[CONF_SPAN_TEXT_MAX];
    uint32_t ms;
    if (!conf_value_span(value, &ms))
        return problem(why, value, "expected a time span such as 500ms, 5s or 2min");
    if (ms < key->low || ms > key->high)
        return problem(why, value, "expected a time span from %s to %s", conf_value_span_text(key->low, low),
                       conf_value_span_text(key->high, high));
    *(uint32_t *)field(conf, key->offset) = ms;
    return true;
}

static bool replace_string(char **string, const char *value, size_t length, char why[static CONF_WHY_MAX])
{
    char *copy = length > 0 ? strndup(value, length) : NULL;
    if (length > 0 && !copy)
        return out_of_memory(why);
    free(*string);
    *string = copy;
    return true;
}

/* Of "[v6]" the inner part. */
static void strip_brackets(const char **text, size_t *length)
{
    if ((*text)[0] == '[') {
        (*text)++;
        *length -= 2;
    }
}

static bool set_host(const struct conf_key *key, struct conf *conf, const char *value, char why[static CONF_WHY_MAX])
{
    size_t length = strlen(value);
    if (length > 0 && !conf_value_host(value, length))
        return problem(why, value, "expected a host name or an address, without a port");
    strip_brackets(&value, &length);
    return replace_string(field(conf, key->offset), value, length, why);
}

static bool set_path(const struct conf_key *key, struct conf *conf, const char *value, char why[static CONF_WHY_MAX])
{
    if (value[0] != '/')
        return problem(why, value, "expected an absolute path");
    return replace_string(field(conf, key->offset), value, strlen(value), why);
}

static bool set_endpoint(const struct conf_key *key, struct conf *conf, const char *value,
                         char why[static CONF_WHY_MAX])
{
    struct conf_endpoint *endpoint = field(conf, key->offset);
    bool url = key->kind == CONF_KIND_URL;
    const char *host = "";
    size_t length = 0;
    uint16_t port = 0;
    if (*value != '\0' && !(url ? conf_value_https_url : conf_value_target)(value, &host, &length, &port))
        return problem(why, value, url ? "expected https://HOST[:PORT]/" : "expected HOST:PORT");
    if (!replace_string(&endpoint->text, value, strlen(value), why) ||
        !replace_string(&endpoint->host, host, length, why))
        return false;
    endpoint->port = port;
    return true;
}

/* ---- lists ---- */

static bool has_room(const struct conf_key *key, size_t count, const char *value, char why[static CONF_WHY_MAX])
{
    return count < key->high || problem(why, value, "at most %u entries are possible", key->high);
}

static bool add_string(const struct conf_key *key, struct conf *conf, const char *text, size_t length,
                       char why[static CONF_WHY_MAX])
{
    char **list = field(conf, key->offset);
    size_t *count = field(conf, key->count_offset);
    for (size_t i = 0; i < *count; i++) {
        if (strlen(list[i]) == length && memcmp(list[i], text, length) == 0)
            return true;
    }
    if (!has_room(key, *count, key->kind == CONF_KIND_HEADERS ? "" : text, why))
        return false;
    list[*count] = strndup(text, length);
    if (!list[*count])
        return out_of_memory(why);
    (*count)++;
    return true;
}

static bool add_host(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    size_t length = strlen(word);
    if (!conf_value_host(word, length))
        return problem(why, word, "expected a host name or an address, without a port");
    strip_brackets(&word, &length);
    return add_string(key, conf, word, length, why);
}

static bool add_domain(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    char name[HOSTNAME_SIZE];
    const char *problem_text = conf_value_domain_problem(word, name);
    char labels[HOSTNAME_SIZE];
    if (problem_text && punycode_name(word, labels) && strcasecmp(labels, word) != 0)
        return problem(why, word, "an internationalized domain must be written as its A-labels: %s", labels);
    if (problem_text)
        return problem(why, word, "%s", problem_text);
    return add_string(key, conf, name, strlen(name), why);
}

static bool add_header(const struct conf_key *key, struct conf *conf, const char *value, char why[static CONF_WHY_MAX])
{
    const char *text = header_problem(value);
    /* The value may be a password: it must not reach a log. */
    if (text)
        return problem(why, "", "%s", text);
    return add_string(key, conf, value, strlen(value), why);
}

static bool add_trust(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    if (strcmp(word, "system") == 0) {
        conf->system_ca = true;
        return true;
    }
    if (word[0] != '/')
        return problem(why, word, "expected \"system\" or an absolute path");
    return add_string(key, conf, word, strlen(word), why);
}

static bool add_port(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    uint16_t *ports = field(conf, key->offset);
    size_t *count = field(conf, key->count_offset);
    uint32_t port;
    if (!conf_value_number(word, 1, UINT16_MAX, &port))
        return problem(why, word, "expected a port from 1 to 65535");
    for (size_t i = 0; i < *count; i++) {
        if (ports[i] == port)
            return true;
    }
    if (!has_room(key, *count, word, why))
        return false;
    ports[(*count)++] = (uint16_t)port;
    return true;
}

static bool add_network(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    struct prefix *prefixes = field(conf, key->offset), prefix;
    size_t *count = field(conf, key->count_offset);
    if (!prefix_parse(word, &prefix))
        return problem(why, word, "expected an address or a network such as 192.0.2.0/24, its host bits zero");
    for (size_t i = 0; i < *count; i++) {
        if (prefixes[i].length == prefix.length && addr_equal(&prefixes[i].base, &prefix.base))
            return true;
    }
    if (!has_room(key, *count, word, why))
        return false;
    prefixes[(*count)++] = prefix;
    return true;
}

static bool add_user(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX])
{
    struct conf_user *users = field(conf, key->offset);
    size_t *count = field(conf, key->count_offset);
    uid_t uid = CONF_UID_UNKNOWN;
    if (word[0] == '@' ? !conf_value_group(word + 1) : !conf_value_user(word, &uid))
        return problem(why, word, "expected a user's name or number, or @ and a group's");
    for (size_t i = 0; i < *count; i++) {
        if (uid == CONF_UID_UNKNOWN ? strcmp(users[i].name, word) == 0 : users[i].uid == uid)
            return true;
    }
    if (!has_room(key, *count, word, why))
        return false;
    users[*count] = (struct conf_user){.name = strdup(word), .uid = uid};
    if (word[0] == '@')
        users[*count].group = conf_group_new();
    (*count)++;
    if (!users[*count - 1].name || (word[0] == '@' && !users[*count - 1].group))
        return out_of_memory(why);
    if (word[0] == '@')
        conf_group_read(users[*count - 1].group, word + 1);
    return true;
}

typedef bool add_fn(const struct conf_key *key, struct conf *conf, const char *word, char why[static CONF_WHY_MAX]);

static bool add_words(const struct conf_key *key, struct conf *conf, const char *value, add_fn *add,
                      char why[static CONF_WHY_MAX])
{
    char *copy = strdup(value), *at = NULL;
    bool good = true;
    if (!copy)
        return out_of_memory(why);
    for (char *word = strtok_r(copy, " \t", &at); good && word; word = strtok_r(NULL, " \t", &at))
        good = add(key, conf, word, why);
    free(copy);
    return good;
}

static void wipe(char *text)
{
    explicit_bzero(text, strlen(text));
    free(text);
}

static void free_user(struct conf_user *user)
{
    free(user->name);
    conf_group_free(user->group);
}

bool conf_key_is_list(const struct conf_key *key)
{
    return key->kind >= CONF_KIND_HOSTS && key->kind <= CONF_KIND_DOMAINS;
}

size_t conf_key_entries(const struct conf_key *key, const struct conf *conf)
{
    return conf_key_is_list(key) ? *(const size_t *)((const char *)conf + key->count_offset) : 0;
}

void conf_key_clear(const struct conf_key *key, struct conf *conf)
{
    size_t *count = field(conf, key->count_offset);
    char **strings = field(conf, key->offset);
    struct conf_user *users = field(conf, key->offset);
    assert(conf_key_is_list(key));
    if (key->kind == CONF_KIND_TRUST)
        conf->system_ca = false;
    for (size_t i = 0; i < *count; i++) {
        if (key->kind == CONF_KIND_HEADERS)
            wipe(strings[i]);
        else if (key->kind == CONF_KIND_HOSTS || key->kind == CONF_KIND_TRUST || key->kind == CONF_KIND_DOMAINS)
            free(strings[i]);
        else if (key->kind == CONF_KIND_USERS)
            free_user(&users[i]);
    }
    *count = 0;
}

static bool set_list(const struct conf_key *key, struct conf *conf, const char *value, bool fresh, add_fn *add,
                     char why[static CONF_WHY_MAX])
{
    if (fresh || *value == '\0')
        conf_key_clear(key, conf);
    if (key->kind == CONF_KIND_HEADERS)
        return *value == '\0' || add(key, conf, value, why);
    return add_words(key, conf, value, add, why);
}

bool conf_key_set(const struct conf_key *key, struct conf *conf, const char *value, bool fresh,
                  char why[static CONF_WHY_MAX])
{
    uint32_t number;
    switch (key->kind) {
    case CONF_KIND_BOOL:
        return conf_value_bool(value, field(conf, key->offset)) || problem(why, value, "expected yes or no");
    case CONF_KIND_WORD:
        return set_word(key, conf, value, why);
    case CONF_KIND_NUMBER:
        if (!conf_value_number(value, key->low, key->high, &number))
            return problem(why, value, "expected a number from %u to %u", key->low, key->high);
        *(unsigned *)field(conf, key->offset) = number;
        return true;
    case CONF_KIND_PORT:
        if (!conf_value_number(value, key->low, UINT16_MAX, &number))
            return problem(why, value, "expected a port from %u to 65535", key->low);
        *(uint16_t *)field(conf, key->offset) = (uint16_t)number;
        return true;
    case CONF_KIND_SPAN:
        return set_span(key, conf, value, why);
    case CONF_KIND_HOST:
        return set_host(key, conf, value, why);
    case CONF_KIND_PATH:
        return set_path(key, conf, value, why);
    case CONF_KIND_URL:
    case CONF_KIND_TARGET:
        return set_endpoint(key, conf, value, why);
    case CONF_KIND_HOSTS:
        return set_list(key, conf, value, fresh, add_host, why);
    case CONF_KIND_HEADERS:
        return set_list(key, conf, value, fresh, add_header, why);
    case CONF_KIND_TRUST:
        return set_list(key, conf, value, fresh, add_trust, why);
    case CONF_KIND_PORTS:
        return set_list(key, conf, value, fresh, add_port, why);
    case CONF_KIND_NETWORKS:
        return set_list(key, conf, value, fresh, add_network, why);
    case CONF_KIND_USERS:
        return set_list(key, conf, value, fresh, add_user, why);
    case CONF_KIND_DOMAINS:
        return set_list(key, conf, value, fresh, add_domain, why);
    case CONF_KIND_INTERCEPT:
        if (strcmp(value, "local") == 0)
            return true;
        snprintf(why, CONF_WHY_MAX, "%.80s is not supported by this version", value);
        return false;
    case CONF_KIND_REFUSED:
        snprintf(why, CONF_WHY_MAX, " is not supported by this version");
        return false;
    }
    assert(false);
}
