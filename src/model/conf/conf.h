/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration (penstock.conf(5)): read once, checked whole, then only read.
 * All strings belong to the struct; conf_free() frees everything. */
#ifndef PENSTOCK_MODEL_CONF_CONF_H
#define PENSTOCK_MODEL_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "model/addr.h"
#include "model/conf/group.h"
#include "model/conf/origin.h"
#include "model/log_level.h"

#define CONF_DEFAULT_PATH      PENSTOCK_SYSCONFDIR "/penstock/penstock.conf"
#define CONF_SERVERS_MAX       16
#define CONF_HEADERS_MAX       32
#define CONF_HEADERS_BYTES_MAX 8192 /* all of them, each with its line's end */
#define CONF_SPECIFIERS_MAX    16   /* of all of them */
#define CONF_PORTS_MAX         64
#define CONF_USERS_MAX         64
#define CONF_UNKNOWN_USERS_MAX (2 * CONF_USERS_MAX) /* of all lists together */
#define CONF_USER_NAME_SIZE    256
#define CONF_NETWORKS_MAX      1024
#define CONF_DOMAINS_MAX       1024
#define CONF_CA_PATHS_MAX      16
#define CONF_RELAYS_MAX        64
#define CONF_HOST_NAME_SIZE    65
#define CONF_MACHINE_ID_SIZE   33 /* machine-id(5): 32 hexadecimal digits */

enum conf_unavailable { CONF_UNAVAILABLE_BLOCK, CONF_UNAVAILABLE_DIRECT };
enum conf_stop { CONF_STOP_OPEN, CONF_STOP_BLOCK };
enum conf_on_error { CONF_ON_ERROR_BLOCK, CONF_ON_ERROR_OPEN };
enum conf_http { CONF_HTTP_REQUEST, CONF_HTTP_TUNNEL };
enum conf_quic { CONF_QUIC_REJECT, CONF_QUIC_PASS };
enum conf_names { CONF_NAMES_PREFER, CONF_NAMES_REQUIRE, CONF_NAMES_IGNORE };
enum conf_tls_version { CONF_TLS_1_2, CONF_TLS_1_3 };

struct conf_files;

/* No user has it: the largest number means "none" to the kernel. */
#define CONF_UID_UNKNOWN ((uid_t)-1)

struct conf_user {
    char *name;               /* as written */
    uid_t uid;                /* CONF_UID_UNKNOWN: no number, and not in /etc/passwd; it matches nothing then */
    struct conf_group *group; /* of "@name", which has no uid; else NULL */
};

/* Of https://HOST[:PORT]/… only host and port matter; or HOST:PORT. */
struct conf_endpoint {
    char *text; /* as written; NULL: no such test */
    char *host; /* without brackets */
    uint16_t port;
};

struct conf {
    /* [Proxy] */
    char *servers[CONF_SERVERS_MAX]; /* name or numeric address without brackets */
    size_t n_servers;
    uint16_t secure_port; /* 0: not set */
    uint16_t port;
    char *headers[CONF_HEADERS_MAX]; /* as header.h has it, without a problem */
    size_t n_headers;
    bool identity_on_plain;

    /* [SecureChannel] */
    bool secure;
    bool allow_fallback;
    char *server_name; /* NULL: the server's own name */
    struct conf_endpoint auth_url;
    bool system_ca;
    char *ca_paths[CONF_CA_PATHS_MAX];
    size_t n_ca_paths;
    char *certificate;
    char *private_key;
    enum conf_tls_version minimum_version;

    /* [Test], milliseconds */
    uint32_t interval_ms;
    uint32_t connect_timeout_ms;
    uint32_t handshake_timeout_ms;
    uint32_t retry_max_ms;
    struct conf_endpoint test_target;

    /* [Redirect] */
    uint16_t ports[CONF_PORTS_MAX];
    size_t n_ports;
    enum conf_http http;
    enum conf_names names;
    enum conf_quic quic;
    uint16_t listen_port;
    bool protect_proxies;

    /* [Bypass] */
    struct prefix bypass_networks[CONF_NETWORKS_MAX]; /* without LocalNetworks */
    size_t n_bypass_networks;
    bool local_networks;
    uint16_t bypass_ports[CONF_PORTS_MAX];
    size_t n_bypass_ports;
    struct conf_user bypass_users[CONF_USERS_MAX];
    size_t n_bypass_users;

    /* [Block] */
    struct prefix block_networks[CONF_NETWORKS_MAX];
    size_t n_block_networks;
    uint16_t block_ports[CONF_PORTS_MAX];
    size_t n_block_ports;
    struct conf_user block_users[CONF_USERS_MAX];
    size_t n_block_users;
    char *block_domains[CONF_DOMAINS_MAX]; /* as hostname_parse() gives them */
    size_t n_block_domains;

    /* [Failure] */
    enum conf_unavailable on_unavailable;
    enum conf_stop on_stop;
    enum conf_on_error on_error;

    /* [Limits], [Log], [Relay] */
    unsigned sessions_per_user; /* over all relays */
    unsigned log_rate;          /* lines a second */
    enum log_level log_level;
    bool log_sessions;
    unsigned relays; /* 0: one per CPU */

    /* Of this host, for specifiers; empty: not known, and in who has not got them with the configuration (handover.h).
     */
    char host_name[CONF_HOST_NAME_SIZE];
    char machine_id[CONF_MACHINE_ID_SIZE];

    bool unread; /* a file that is there, or a line, could not be read */
    struct conf_origins origins;

    struct conf_files *files; /* of [SecureChannel], when they came with it (files.h); NULL: they did not */
};

/* Called once per mistake, in reading order; text is "FILE:LINE: message" or "FILE: message". */
typedef void conf_error_cb(const char *text, void *data);

/* FILE, then FILE.d/(any).conf in order of their names (path NULL: CONF_DEFAULT_PATH and its
 * penstock.conf.d). 0, or -EINVAL after every mistake has been reported; *ret_conf untouched then. */
int conf_load(const char *path, conf_error_cb *error_cb, void *data, struct conf **ret_conf);

/* For one who must go on without conf_load(): the values that are good, and the defaults for the rest. At least one
 * port is named, perhaps no server. NULL: out of memory. */
struct conf *conf_load_partly(const char *path);

/* One stream in the same syntax, no drop-ins: what conf_print() wrote. Does not close the stream. */
int conf_read(FILE *stream, const char *name, conf_error_cb *error_cb, void *data, struct conf **ret_conf);

/* Where a key's value was set; of a list, where that entry was (bypass_networks[i] is entry i). The file is as long as
 * conf is. False: it is the default, or conf was printed and read again. */
bool conf_origin(const struct conf *conf, const char *section, const char *name, size_t entry, const char **ret_file,
                 unsigned *ret_line);

/* The user, or a member of the group. */
bool conf_user_has(const struct conf_user *user, uid_t uid);

/* The first user of any list, or the next after one, whose uid is not known, or a group whose members are not; NULL:
 * there is none (more). */
struct conf_user *conf_next_unknown_user(struct conf *conf, const struct conf_user *after);

/* "user NAME cannot be looked up …", or of a group. */
#define CONF_UNKNOWN_USER_FORMAT     "%s %s cannot be looked up: no rule for it until it can be"
#define CONF_UNKNOWN_USER_ARGS(user) (user)->group ? "group" : "user", (user)->name

/* There is a rule for it: it is known, or was in the configuration before. */
bool conf_user_counts(const struct conf_user *user);
/* Takes over what old knows about them: a reload must not forget for a while what took time to be looked up. A group is
 * looked up again, and its list of before counts until then. */
void conf_keep_users(struct conf *conf, struct conf *old);

/* The effective configuration, every key, in the syntax that conf_read() takes. Contains the headers' values. */
void conf_print(const struct conf *conf, FILE *stream);
/* For people to look at: "(hidden)" in the place of every header's value. */
void conf_print_without_secrets(const struct conf *conf, FILE *stream);

/* Once they are loaded; they are wiped. */
void conf_drop_files(struct conf *conf);

/* Takes NULL; wipes the headers (they may carry credentials). */
void conf_free(struct conf *conf);

/* The networks of LocalNetworks=yes; *ret_count entries of static storage. */
const struct prefix *conf_local_networks(size_t *ret_count);

#endif
