/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/conf/conf.h"
#include "model/conf/keys.h"
#include "model/conf/value.h"
#include "seed.h"

#define MINIMAL "[Proxy]\nServers=gw.example\nSecurePort=8081\n"

/* ---- helpers ---- */

static char errors[65536]; /* of the last reading, one per line */

static void collect(const char *text, void *data)
{
    size_t length = strlen(errors);
    ck_assert_uint_lt(length + strlen(text) + 2, sizeof errors);
    snprintf(errors + length, sizeof errors - length, "%s\n", text);
}

static int read_bytes(const char *bytes, size_t size, struct conf **ret_conf)
{
    FILE *stream = fmemopen((void *)bytes, size, "r");
    int result;
    ck_assert_ptr_nonnull(stream);
    errors[0] = '\0';
    result = conf_read(stream, "f", collect, NULL, ret_conf);
    fclose(stream);
    ck_assert((result == 0) == (errors[0] == '\0'));
    return result;
}

static struct conf *good(const char *text)
{
    struct conf *conf;
    ck_assert_msg(read_bytes(text, strlen(text), &conf) == 0, "%s", errors);
    return conf;
}

/* Exactly these complaints. */
static void bad(const char *text, const char *expected)
{
    struct conf *conf = (void *)1;
    ck_assert_int_eq(read_bytes(text, strlen(text), &conf), -EINVAL);
    ck_assert_ptr_eq(conf, (void *)1);
    ck_assert_str_eq(errors, expected);
}

/* ---- what is read ---- */

START_TEST(the_defaults_are_the_documented_ones)
{
    struct conf *conf = good(MINIMAL);
    ck_assert_uint_eq(conf->n_servers, 1);
    ck_assert_str_eq(conf->servers[0], "gw.example");
    ck_assert_uint_eq(conf->secure_port, 8081);
    ck_assert_uint_eq(conf->port, 8080);
    ck_assert_uint_eq(conf->n_headers, 0);
    ck_assert(conf->secure && !conf->allow_fallback && conf->system_ca);
    ck_assert_ptr_null(conf->server_name);
    ck_assert_str_eq(conf->auth_url.text, "https://mcp.wgcs.skyhigh.cloud/");
    ck_assert_str_eq(conf->auth_url.host, "mcp.wgcs.skyhigh.cloud");
    ck_assert_uint_eq(conf->auth_url.port, 443);
    ck_assert_uint_eq(conf->n_ca_paths, 0);
    ck_assert_str_eq(conf->certificate, PENSTOCK_SYSCONFDIR "/penstock/tls/client.pem");
    ck_assert_str_eq(conf->private_key, PENSTOCK_SYSCONFDIR "/penstock/tls/client.key");
    ck_assert_int_eq(conf->minimum_version, CONF_TLS_1_2);
    ck_assert_uint_eq(conf->interval_ms, 30000);
    ck_assert_uint_eq(conf->connect_timeout_ms, 3000);
    ck_assert_uint_eq(conf->handshake_timeout_ms, 5000);
    ck_assert_uint_eq(conf->retry_max_ms, 30000);
    ck_assert_uint_eq(conf->n_ports, 2);
    ck_assert(conf->ports[0] == 80 && conf->ports[1] == 443);
    ck_assert_int_eq(conf->http, CONF_HTTP_REQUEST);
    ck_assert_int_eq(conf->quic, CONF_QUIC_REJECT);
    ck_assert_int_eq(conf->names, CONF_NAMES_PREFER);
    ck_assert_uint_eq(conf->listen_port, 15443);
    ck_assert(conf->protect_proxies);
    ck_assert(conf->local_networks);
    ck_assert_uint_eq(conf->n_bypass_networks + conf->n_bypass_ports + conf->n_bypass_users, 0);
    ck_assert_uint_eq(conf->n_block_networks + conf->n_block_ports + conf->n_block_users, 0);
    ck_assert_int_eq(conf->on_unavailable, CONF_UNAVAILABLE_BLOCK);
    ck_assert_int_eq(conf->on_stop, CONF_STOP_OPEN);
    ck_assert_int_eq(conf->on_error, CONF_ON_ERROR_BLOCK);
    ck_assert_int_eq(conf->log_level, LOG_LEVEL_INFO);
    ck_assert(conf->log_sessions);
    ck_assert_uint_eq(conf->sessions_per_user, 4096);
    ck_assert_uint_eq(conf->log_rate, 50);
    ck_assert_uint_eq(conf->relays, 0);
    conf_free(conf);
    conf_free(NULL);
}
END_TEST

START_TEST(every_key_is_taken)
{
    struct conf *conf = good(
        "[Proxy]\nServers=gw1.example [2001:db8::1] 192.0.2.7 2001:db8::2\nSecurePort=9443\nPort=3128\n"
        "Header=X-One: 1\nHeader=X-Two: a b\n"
        "[SecureChannel]\nEnabled=yes\nAllowFallback=yes\nServerName=name.example\n"
        "AuthURL=https://[2001:db8::9]:8443/path?x=1\nTrustedCA=/etc/a.pem system /etc/b\n"
        "Certificate=/c with space\nPrivateKey=/k\nMinimumVersion=1.3\n"
        "[Test]\nInterval=2min\nConnectTimeout=500ms\nHandshakeTimeout=7\nRetryMax=1min 30s\n"
        "[Redirect]\nPorts=80 443 8000\nIntercept=local\nHTTP=tunnel\nQUIC=pass\nListenPort=1024\nProtectProxies=no\n"
        "[Bypass]\nNetworks=192.0.2.0/24 2001:db8::/32\nLocalNetworks=no\nPorts=22\nUsers=root 4242\n"
        "[Block]\nNetworks=198.51.100.0/24\nPorts=25 465\nUsers=daemon\nDomains=A.Example. b.example a.example\n"
        "[Failure]\nOnUnavailable=direct\nOnStop=block\nOnError=open\n[Log]\nLevel=debug\nSessions=no\n[Relay]"
        "\nProcesses=64\n");
    ck_assert_uint_eq(conf->n_servers, 4);
    ck_assert_str_eq(conf->servers[1], "2001:db8::1");
    ck_assert_str_eq(conf->servers[3], "2001:db8::2");
    ck_assert_uint_eq(conf->secure_port, 9443);
    ck_assert_uint_eq(conf->port, 3128);
    ck_assert_uint_eq(conf->n_headers, 2);
    ck_assert_str_eq(conf->headers[1], "X-Two: a b");
    ck_assert(conf->allow_fallback);
    ck_assert_str_eq(conf->server_name, "name.example");
    ck_assert_str_eq(conf->auth_url.host, "2001:db8::9");
    ck_assert_uint_eq(conf->auth_url.port, 8443);
    ck_assert(conf->system_ca);
    ck_assert_uint_eq(conf->n_ca_paths, 2);
    ck_assert_str_eq(conf->ca_paths[1], "/etc/b");
    ck_assert_str_eq(conf->certificate, "/c with space");
    ck_assert_int_eq(conf->minimum_version, CONF_TLS_1_3);
    ck_assert_uint_eq(conf->interval_ms, 120000);
    ck_assert_uint_eq(conf->connect_timeout_ms, 500);
    ck_assert_uint_eq(conf->handshake_timeout_ms, 7000);
    ck_assert_uint_eq(conf->retry_max_ms, 90000);
    ck_assert_uint_eq(conf->n_ports, 3);
    ck_assert_int_eq(conf->http, CONF_HTTP_TUNNEL);
    ck_assert_int_eq(conf->quic, CONF_QUIC_PASS);
    ck_assert_uint_eq(conf->listen_port, 1024);
    ck_assert(!conf->protect_proxies);
    ck_assert_uint_eq(conf->n_bypass_networks, 2);
    ck_assert_uint_eq(conf->bypass_networks[1].length, 32);
    ck_assert(!conf->local_networks);
    ck_assert_uint_eq(conf->bypass_ports[0], 22);
    ck_assert_uint_eq(conf->n_bypass_users, 2);
    ck_assert_uint_eq(conf->bypass_users[0].uid, 0);
    ck_assert_str_eq(conf->bypass_users[0].name, "root");
    ck_assert_uint_eq(conf->bypass_users[1].uid, 4242);
    ck_assert_uint_eq(conf->n_block_networks, 1);
    ck_assert_uint_eq(conf->block_networks[0].length, 24);
    ck_assert(conf->n_block_ports == 2 && conf->block_ports[1] == 465);
    ck_assert_uint_eq(conf->n_block_domains, 2);
    ck_assert_str_eq(conf->block_domains[0], "a.example");
    ck_assert(conf->n_block_users == 1 && conf->block_users[0].uid == 1);
    ck_assert_int_eq(conf->on_unavailable, CONF_UNAVAILABLE_DIRECT);
    ck_assert_int_eq(conf->on_stop, CONF_STOP_BLOCK);
    ck_assert_int_eq(conf->on_error, CONF_ON_ERROR_OPEN);
    ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG);
    ck_assert(!conf->log_sessions);
    ck_assert_uint_eq(conf->relays, 64);
    conf_free(conf);
}
END_TEST

START_TEST(comments_and_white_space_are_not_values)
{
    struct conf *conf = good("\xef\xbb\xbf# comment\r\n; comment = x\n  \t \n [Proxy]   # the proxy\r\n"
                             "\tServers = a.example\tb.example   # order\r\n  SecurePort =  8081 ;and this\n"
                             "Header=X: a#b;c\nHeader=Y: d ; e\n\f\v[SecureChannel]\nServerName=      # SNI\n"
                             "AuthURL= ; none\n[Log]\nLevel=debug");
    ck_assert_uint_eq(conf->n_servers, 2);
    ck_assert_str_eq(conf->servers[1], "b.example");
    ck_assert_uint_eq(conf->secure_port, 8081);
    ck_assert_str_eq(conf->headers[0], "X: a#b;c");
    ck_assert_str_eq(conf->headers[1], "Y: d");
    ck_assert_ptr_null(conf->server_name);
    ck_assert_ptr_null(conf->auth_url.text);
    ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG); /* the last line has no end */
    conf_free(conf);
}
END_TEST

START_TEST(lists_replace_the_default_then_append_and_can_be_cleared)
{
    struct conf *conf = good(MINIMAL "Servers=b.example\nServers=gw.example\nHeader=X: 1\n[Redirect]\nPorts=8000\n"
                                     "Ports=8001 8000\n[SecureChannel]\nTrustedCA=/a\n[Bypass]\nPorts=1 2\nPorts=\n"
                                     "Ports=3\nUsers=1\nUsers=\nNetworks=192.0.2.1\nNetworks=\n[Proxy]\nHeader=\n"
                                     "Header=Y: 2\n");
    ck_assert_uint_eq(conf->n_servers, 2);
    ck_assert_str_eq(conf->servers[1], "b.example");
    ck_assert_uint_eq(conf->n_ports, 2);
    ck_assert(conf->ports[0] == 8000 && conf->ports[1] == 8001);
    ck_assert(!conf->system_ca);
    ck_assert_uint_eq(conf->n_bypass_ports, 1);
    ck_assert_uint_eq(conf->bypass_ports[0], 3);
    ck_assert_uint_eq(conf->n_bypass_users + conf->n_bypass_networks, 0);
    ck_assert_uint_eq(conf->n_headers, 1);
    ck_assert_str_eq(conf->headers[0], "Y: 2");
    conf_free(conf);
}
END_TEST

/* root has members, by its own group and perhaps by name; nobody knows the other. */
START_TEST(a_group_is_its_members)
{
    struct conf *conf = good(MINIMAL "[Block]\nUsers=@root @no-such-group\n");
    struct conf *other = good(MINIMAL "[Block]\nUsers=@no-such-group @0\n");
    struct conf *third = good(MINIMAL "[Block]\nUsers=@no-such-group\n");
    struct conf_user *user = &conf->block_users[0];
    ck_assert(user->group && user->group->known && conf_user_has(user, 0) && !conf_user_has(user, 4242));
    user = conf_next_unknown_user(conf, NULL);
    ck_assert_ptr_eq(user, &conf->block_users[1]);
    ck_assert(conf_group_add(user->group, 4242));
    ck_assert(!conf_user_has(user, 4242)); /* not before all are there */
    ck_assert(!conf_user_has(user, CONF_UID_UNKNOWN));
    user->group->known = true;
    ck_assert(conf_user_has(user, 4242) && !conf_user_has(user, 0));
    ck_assert_ptr_null(conf_next_unknown_user(conf, NULL));
    conf_keep_users(other, conf);
    ck_assert(conf_user_has(&other->block_users[0], 4242) && conf_user_has(&other->block_users[1], 0));
    /* It is looked up again: who has come into the group counts then, and who has left it does not. */
    user = conf_next_unknown_user(other, NULL);
    ck_assert_ptr_eq(user, &other->block_users[0]);
    ck_assert(conf_user_counts(user));
    conf_keep_users(third, other);
    ck_assert(conf_user_has(&third->block_users[0], 4242));
    ck_assert(conf_group_add(user->group, 4243));
    ck_assert(conf_user_has(user, 4242) && !conf_user_has(user, 4243));
    conf_group_complete(user->group);
    ck_assert(!conf_user_has(user, 4242) && conf_user_has(user, 4243));
    ck_assert_ptr_null(conf_next_unknown_user(other, NULL));
    conf_free(conf);
    conf_free(other);
    conf_free(third);
}
END_TEST

/* A directory may know it later. */
START_TEST(a_user_that_is_not_in_etc_passwd_is_unknown)
{
    struct conf *conf = good(MINIMAL "[Bypass]\nUsers=no-such-user root EXAMPLE\\\\later no-such-user x@example.com\n");
    struct conf *other = good(MINIMAL "[Bypass]\nUsers=x@example.com new root no-such-user\n");
    struct conf_user *user = conf_next_unknown_user(conf, NULL);
    ck_assert_uint_eq(conf->n_bypass_users, 4);
    ck_assert_ptr_eq(user, &conf->bypass_users[0]);
    ck_assert_str_eq(user->name, "no-such-user");
    ck_assert_uint_eq(conf->bypass_users[1].uid, 0);
    user = conf_next_unknown_user(conf, user);
    ck_assert_ptr_eq(user, &conf->bypass_users[2]);
    user->uid = 4242; /* as if it had been looked up */
    user = conf_next_unknown_user(conf, user);
    ck_assert_ptr_eq(user, &conf->bypass_users[3]);
    user->uid = 4243;
    ck_assert_ptr_null(conf_next_unknown_user(conf, user));
    conf_keep_users(other, conf);
    ck_assert_uint_eq(other->bypass_users[0].uid, 4243);
    ck_assert_uint_eq(other->bypass_users[1].uid, CONF_UID_UNKNOWN);
    ck_assert_uint_eq(other->bypass_users[3].uid, CONF_UID_UNKNOWN);
    conf_free(conf);
    conf_free(other);
}
END_TEST

START_TEST(long_lines_are_read)
{
    static char text[60000] = MINIMAL "Header=X-Token: ";
    size_t length = strlen(text);
    struct conf *conf;
    memset(text + length, 't', 8000);
    strcpy(text + length + 8000, "\n[Bypass]\nNetworks=");
    for (int i = 0; i < CONF_NETWORKS_MAX; i++)
        sprintf(text + strlen(text), " 2001:db8:ffff:ffff:ffff:ffff:ffff:%x/128", i);
    conf = good(text);
    ck_assert_uint_eq(strlen(conf->headers[0]), 8009);
    ck_assert_uint_eq(conf->n_bypass_networks, CONF_NETWORKS_MAX);
    conf_free(conf);
    strcat(text, " 10.0.0.0/8");
    bad(text, "f:6: Networks=10.0.0.0/8: at most 1024 entries are possible\n");
}
END_TEST

/* ---- what is refused ---- */

/* On one line after MINIMAL: line, complaint. */
#define PERCENT "Header=: expected %u, %U, %n, %H or %m; a percent sign itself is written %%"

static const struct {
    const char *section, *line, *complaint;
} mistakes[] = {
    {"Proxy", "Servers=gw:8081", "Servers=gw:8081: expected a host name or an address, without a port"},
    {"Proxy", "Servers=192.0.2.256", "Servers=192.0.2.256: expected a host name or an address, without a port"},
    {"Proxy", "Servers=a..b", "Servers=a..b: expected a host name or an address, without a port"},
    {"Proxy", "Servers=ok.example -x", "Servers=-x: expected a host name or an address, without a port"},
    {"Proxy", "SecurePort=0", "SecurePort=0: expected a port from 1 to 65535"},
    {"Proxy", "SecurePort=", "SecurePort=: expected a port from 1 to 65535"},
    {"Proxy", "Port=65536", "Port=65536: expected a port from 1 to 65535"},
    {"Proxy", "Port=+1", "Port=+1: expected a port from 1 to 65535"},
    {"Proxy", "Port=8081", "SecurePort=8081: must differ from Port="},
    {"Proxy", "Header=Secret value", "Header=: expected a header as \"Name: value\""},
    {"Proxy", "Header=X Y: secret", "Header=: expected a header as \"Name: value\""},
    {"Proxy", "Header=: secret", "Header=: expected a header as \"Name: value\""},
    {"Proxy", "Header=X: \x01secret", "Header=: control characters are not allowed in a header"},
    {"Proxy", "Header=X: a\tb", "Header=: control characters are not allowed in a header"},
    {"Proxy", "Header=host: x", "Header=: this header is penstock's own and cannot be set"},
    {"Proxy", "Header=Content-Length: 1", "Header=: this header is penstock's own and cannot be set"},
    {"Proxy", "Header=TRANSFER-ENCODING: x", "Header=: this header is penstock's own and cannot be set"},
    {"Proxy", "Header=Connection: x", "Header=: this header is penstock's own and cannot be set"},
    {"Proxy", "Header: Proxy-Authorization: Basic c2VjcmV0", "expected Key=value, found \"Header\""},
    {"Proxy", "Header=X: 100%", PERCENT},
    {"Proxy", "Header=X: %secret", PERCENT},
    {"Proxy", "Header=X: %%%u%", PERCENT},
    {"Proxy", "Header=X: a% b", PERCENT},
    {"Proxy", "Header=X-%u: y", "Header=: specifiers are for the value, not for the name of a header"},
    {"Proxy", "IdentityOnPlain=", "IdentityOnPlain=: expected yes or no"},
    {"Proxy", "Select=fastest", "Select= is not supported by this version"},
    {"Proxy", "SwitchBack=0", "SwitchBack= is not supported by this version"},
    {"Proxy", "SecurPort=1", "unknown key SecurPort= in [Proxy], is \"SecurePort\" meant?"},
    {"Proxy", "port=1", "unknown key port= in [Proxy], is \"Port\" meant?"},
    {"Proxy", "Interval=3s", "unknown key Interval= in [Proxy], it belongs to [Test]"},
    {"Proxy", "Nonsense=3s", "unknown key Nonsense= in [Proxy]"},
    {"Proxy", "=x", "expected Key=value, found \"\""},
    {"Proxy", "word", "expected Key=value, found \"word\""},
    {"Proxy", "Port:8080", "expected Key=value, found \"Port\""},
    {"Proxy", "Po rt=8080", "expected Key=value, found \"Po\""},
    {"Proxy", "A1234567890123456789012345678901234567890123456789012345678901234567890=1",
     "unknown key A12345678901234567890123456789012345678901234567890123456789= in [Proxy]"},
    {"Proxy", "[Proxy", "expected [Section]"},
    {"Proxy", "[]", "unknown section []"},
    {"Proxy", "[Prxy]", "unknown section [Prxy], is \"Proxy\" meant?"},
    {"Proxy", "[Unheard]", "unknown section [Unheard]"},
    {"SecureChannel", "Enabled=maybe", "Enabled=maybe: expected yes or no"},
    {"SecureChannel", "Enabled=", "Enabled=: expected yes or no"},
    {"SecureChannel", "ServerName=a b", "ServerName=a b: expected a host name or an address, without a port"},
    {"SecureChannel", "AuthURL=http://x/", "AuthURL=http://x/: expected https://HOST[:PORT]/"},
    {"SecureChannel", "AuthURL=https://u@x/", "AuthURL=https://u@x/: expected https://HOST[:PORT]/"},
    {"SecureChannel", "AuthURL=https://x:0/", "AuthURL=https://x:0/: expected https://HOST[:PORT]/"},
    {"SecureChannel", "TrustedCA=ca.pem", "TrustedCA=ca.pem: expected \"system\" or an absolute path"},
    {"SecureChannel", "TrustedCA=", "TrustedCA=: without any, no proxy can be trusted"},
    {"SecureChannel", "Certificate=client.pem", "Certificate=client.pem: expected an absolute path"},
    {"SecureChannel", "PrivateKey=", "PrivateKey=: expected an absolute path"},
    {"SecureChannel", "MinimumVersion=1.1", "MinimumVersion=1.1: expected 1.2 or 1.3"},
    {"Test", "Interval=abc", "Interval=abc: expected a time span such as 500ms, 5s or 2min"},
    {"Test", "Interval=5 parsecs", "Interval=5 parsecs: expected a time span such as 500ms, 5s or 2min"},
    {"Test", "Interval=2h", "Interval=2h: expected a time span from 100ms to 1h"},
    {"Test", "ConnectTimeout=0", "ConnectTimeout=0: expected a time span from 100ms to 1min"},
    {"Test", "HandshakeTimeout=61s", "HandshakeTimeout=61s: expected a time span from 100ms to 1min"},
    {"Test", "RetryMax=999ms", "RetryMax=999ms: expected a time span from 1s to 1h"},
    {"Test", "Target=www.example", "Target=www.example: expected HOST:PORT"},
    {"Test", "Target=2001:db8::1:443", "Target=2001:db8::1:443: expected HOST:PORT"},
    {"Test", "Target=[2001:db8::1]", "Target=[2001:db8::1]: expected HOST:PORT"},
    {"Test", "Target=:443", "Target=:443: expected HOST:PORT"},
    {"Test", "Target=a b:443", "Target=a b:443: expected HOST:PORT"},
    {"Test", "Target=www.example:0", "Target=www.example:0: expected HOST:PORT"},
    {"Redirect", "Ports=80 x", "Ports=x: expected a port from 1 to 65535"},
    {"Redirect", "Ports=", "Ports=: without any, nothing is redirected"},
    {"Redirect", "Ports=15443", "ListenPort=15443: must not be one of the redirected Ports="},
    {"Redirect", "Intercept=forwarded", "Intercept=forwarded is not supported by this version"},
    {"Redirect", "Intercept=local forwarded", "Intercept=local forwarded is not supported by this version"},
    {"Redirect", "HTTP=connect", "HTTP=connect: expected request or tunnel"},
    {"Redirect", "QUIC=drop", "QUIC=drop: expected reject or pass"},
    {"Redirect", "Names=", "Names=: expected prefer, require or ignore"},
    {"Redirect", "ListenPort=1023", "ListenPort=1023: expected a port from 1024 to 65535"},
    {"Bypass", "Networks=10.0.0.1/8",
     "Networks=10.0.0.1/8: expected an address or a network such as 192.0.2.0/24, its host bits zero"},
    {"Bypass", "Users=4294967295", "Users=4294967295: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=-5", "Users=-5: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=root a:b", "Users=a:b: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=@", "Users=@: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=@a:b", "Users=@a:b: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=@@wheel", "Users=@@wheel: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Users=a/b", "Users=a/b: expected a user's name or number, or @ and a group's"},
    {"Bypass", "Units=x.service", "Units= is not supported by this version"},
    {"Bypass", "Domains=", "Domains= is not supported by this version"},
    {"Block", "Networks=10.0.0.1/8",
     "Networks=10.0.0.1/8: expected an address or a network such as 192.0.2.0/24, its host bits zero"},
    {"Block", "Ports=0", "Ports=0: expected a port from 1 to 65535"},
    {"Block", "Users=root a:b", "Users=a:b: expected a user's name or number, or @ and a group's"},
    {"Block", "Units=", "Units= is not supported by this version"},
    {"Block", "Domains=a..b", "Domains=a..b: expected a domain, such as example.com"},
    {"Block", "Domains=*.example.com",
     "Domains=*.example.com: expected a domain without a star or a dot before it; it stands for all that is under it, "
     "too"},
    {"Block", "Domains=192.0.2.0/24",
     "Domains=192.0.2.0/24: expected a domain; addresses and networks belong to Networks="},
    {"Block", "Domains=::1", "Domains=::1: expected a domain; addresses and networks belong to Networks="},
    {"Block",
     "Domains=b\xc3\xbc"
     "cher.example",
     "Domains=b\xc3\xbc"
     "cher.example: an internationalized domain must be written as its A-labels: "
     "xn--bcher-kva.example"},
    {"Block",
     "Domains=B\xc3\x9c"
     "CHER.example",
     "Domains=B\xc3\x9c"
     "CHER.example: an internationalized domain must be written as its A-labels, xn--..."},
    {"Failure", "OnUnavailable=open", "OnUnavailable=open: expected block or direct"},
    {"Failure", "OnStop=stop", "OnStop=stop: expected open or block"},
    {"Failure", "OnError=direct", "OnError=direct: expected block or open"},
    {"Failure", "Scope=web", "Scope= is not supported by this version"},
    {"Log", "Level=loud", "Level=loud: expected error, warning, notice, info or debug"},
    {"Log", "Level=a\x1b[31m", "Level=a?[31m: expected error, warning, notice, info or debug"},
    {"Relay", "Processes=65", "Processes=65: expected a number from 0 to 64"},
};

START_TEST(each_mistake_is_named_with_its_place)
{
    char text[512], expected[512];
    /* A check across keys names the place of the key it is about. */
    unsigned line = strstr(mistakes[_i].complaint, "SecurePort=8081: ") ? 3 : 5;
    snprintf(text, sizeof text, MINIMAL "[%s]\n%s\n", mistakes[_i].section, mistakes[_i].line);
    if (strstr(mistakes[_i].complaint, "ListenPort=15443: "))
        snprintf(expected, sizeof expected, "f: %s\n", mistakes[_i].complaint);
    else
        snprintf(expected, sizeof expected, "f:%u: %s\n", line, mistakes[_i].complaint);
    bad(text, expected);
}
END_TEST

/* Documented ones are never silently taken: what they promise would not be kept. */
START_TEST(keys_that_are_not_built_are_refused_as_such)
{
    size_t count, refused = 0;
    const struct conf_key *keys = conf_keys(&count);
    char text[512], expected[512];
    for (size_t i = 0; i < count; i++) {
        if (keys[i].kind != CONF_KIND_REFUSED)
            continue;
        snprintf(text, sizeof text, MINIMAL "[%s]\n%s=yes\n", keys[i].section, keys[i].name);
        snprintf(expected, sizeof expected, "f:5: %s= is not supported by this version\n", keys[i].name);
        bad(text, expected);
        refused++;
    }
    ck_assert_uint_gt(refused, 0);
    ck_assert_int_eq(conf_keys_find("Portal", "Detect")->kind, CONF_KIND_REFUSED);
}
END_TEST

START_TEST(what_is_needed_must_be_there)
{
    bad("", "f: Servers= is missing in [Proxy]\n"
            "f: SecurePort= is missing in [Proxy], which Enabled=yes in [SecureChannel] needs\n");
    conf_free(good("[Proxy]\nServers=a\n[SecureChannel]\nEnabled=no\n"));
    conf_free(good("[Proxy]\nServers=a\nPort=8081\nSecurePort=8081\n[SecureChannel]\nEnabled=no\nTrustedCA=\n"));
    bad("[Proxy]\nServers=a\nServers=\nSecurePort=1\n", "f:3: Servers= is missing in [Proxy]\n");
    /* A bad value is not also a missing one. */
    bad("[Proxy]\nServers=a:1\nSecurePort=x\n", "f:2: Servers=a:1: expected a host name or an address, without a port\n"
                                                "f:3: SecurePort=x: expected a port from 1 to 65535\n");
}
END_TEST

START_TEST(a_key_needs_a_section_that_is_known)
{
    bad("Servers=x\n" MINIMAL, "f:1: Servers= stands before any [Section]\n");
    /* What stands in an unknown section is not complained about as well. */
    bad(MINIMAL "[Unheard]\nx=y\nrubbish\n[Log]\nLevel=loud\n",
        "f:4: unknown section [Unheard]\nf:8: Level=loud: expected error, warning, notice, info or debug\n");
}
END_TEST

START_TEST(lines_that_are_no_text_are_refused)
{
    static char text[140000];
    struct conf *conf;
    size_t length;
    length = (size_t)sprintf(text, MINIMAL "Port=80%c80\n#%c\n", '\0', '\0');
    ck_assert_int_eq(read_bytes(text, length, &conf), -EINVAL);
    ck_assert_str_eq(errors, "f:4: the line has a NUL byte\nf:5: the line has a NUL byte\n");
    length = (size_t)sprintf(text, MINIMAL "Port=8");
    memset(text + length, '0', 65536);
    strcpy(text + length + 65536, "\nPort=x\n");
    bad(text, "f:4: the line is longer than 65535 bytes\nf:5: Port=x: expected a port from 1 to 65535\n");
}
END_TEST

START_TEST(all_headers_together_are_bounded)
{
    static char text[20000] = MINIMAL;
    for (int i = 0; i < 5; i++) {
        sprintf(text + strlen(text), "Header=X-%d: ", i);
        memset(text + strlen(text), 'x', 1700);
        strcat(text, "\n");
    }
    bad(text, "f:8: Header=: all headers together are longer than 8192 bytes\n");
}
END_TEST

START_TEST(all_specifiers_together_are_bounded)
{
    conf_free(good(MINIMAL "Header=X: %u%u%u%u%u%u%u%u%u%u%u%u%u%u%u\nHeader=Y: %u %% %%\n"));
    bad(MINIMAL "Header=X: %u%u%u%u%u%u%u%u%u%u%u%u%u%u%u\nHeader=Y: %u %% %%\nHeader=Z: %H\n",
        "f:6: Header=: more than 16 specifiers in all headers\n");
}
END_TEST

START_TEST(a_hundred_mistakes_are_shown)
{
    static char text[8192] = MINIMAL;
    int lines = 0;
    for (int i = 0; i < 150; i++)
        strcat(text, "Port=x\n");
    ck_assert_int_eq(read_bytes(text, strlen(text), &(struct conf *){NULL}), -EINVAL);
    for (const char *c = errors; *c != '\0'; c++)
        lines += *c == '\n';
    ck_assert_int_eq(lines, 101);
    ck_assert_ptr_nonnull(strstr(errors, "\nf: 50 more mistakes are not shown\n"));
}
END_TEST

/* ---- files ---- */

static char directory[] = "/tmp/test_conf.XXXXXX";
static char path[64];

static void write_file(const char *name, const char *text)
{
    char whole[256];
    FILE *stream;
    snprintf(whole, sizeof whole, "%s/%s", directory, name);
    stream = fopen(whole, "w");
    ck_assert_ptr_nonnull(stream);
    fputs(text, stream);
    fclose(stream);
}

static void setup_files(void)
{
    char drop_ins[128];
    strcpy(directory + sizeof directory - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/p.conf", directory);
    snprintf(drop_ins, sizeof drop_ins, "%s.d", path);
    ck_assert_int_eq(mkdir(drop_ins, 0755), 0);
    errors[0] = '\0';
}

static void teardown_files(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(drop_ins_are_read_in_order_of_their_names)
{
    struct conf *conf;
    write_file("p.conf", MINIMAL);
    write_file("p.conf.d/20.conf", "[Proxy]\nPort=20\nServers=c.example\n");
    write_file("p.conf.d/100.conf", "[Proxy]\nPort=100\nServers=b.example\n");
    write_file("p.conf.d/B.conf", "[Log]\nLevel=error\n");
    write_file("p.conf.d/a.conf", "[Log]\nLevel=debug\n");
    write_file("p.conf.d/.hidden.conf", "rubbish");
    write_file("p.conf.d/30.conf.bak", "rubbish");
    write_file("p.conf.d/.conf", "rubbish");
    ck_assert_msg(conf_load(path, collect, NULL, &conf) == 0, "%s", errors);
    ck_assert_uint_eq(conf->port, 20);
    ck_assert_uint_eq(conf->n_servers, 3);
    ck_assert_str_eq(conf->servers[1], "b.example");
    ck_assert_int_eq(conf->log_level, LOG_LEVEL_DEBUG);
    conf_free(conf);
}
END_TEST

START_TEST(mistakes_of_all_files_come_together)
{
    struct conf *conf;
    char expected[1024];
    write_file("p.conf", "[Proxy]\nServers=a\nPort=x\n");
    write_file("p.conf.d/1.conf", "rubbish");
    write_file("p.conf.d/2.conf", "[Redirect]\n\nListenPort=2222\n");
    write_file("p.conf.d/3.conf", "[Redirect]\nPorts=2222\n");
    ck_assert_int_eq(conf_load(path, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected,
             "%s:3: Port=x: expected a port from 1 to 65535\n"
             "%s.d/1.conf:1: expected Key=value, found \"rubbish\"\n"
             "%s: SecurePort= is missing in [Proxy], which Enabled=yes in [SecureChannel] needs\n"
             "%s.d/2.conf:3: ListenPort=2222: must not be one of the redirected Ports=\n",
             path, path, path, path);
    ck_assert_str_eq(errors, expected);
}
END_TEST

static void assert_origin(const struct conf *conf, const char *section, const char *name, size_t entry,
                          const char *suffix, unsigned line)
{
    char expected[128];
    const char *file;
    unsigned found;
    snprintf(expected, sizeof expected, "%s%s", path, suffix);
    ck_assert_msg(conf_origin(conf, section, name, entry, &file, &found), "%s %zu", name, entry);
    ck_assert_str_eq(file, expected);
    ck_assert_uint_eq(found, line);
}

START_TEST(each_value_knows_its_file_and_line)
{
    struct conf *conf;
    const char *file = "untouched";
    unsigned line = 7;
    write_file("p.conf",
               MINIMAL "Port=1\nPort=2\n[Bypass]\nPorts=1 2\nNetworks=192.0.2.1\nNetworks=\nNetworks=192.0.2.2\n");
    write_file("p.conf.d/1.conf", "[Bypass]\n\nPorts=2 3\nNetworks=192.0.2.3 192.0.2.2\nUsers=1\nUsers=\n");
    ck_assert_msg(conf_load(path, collect, NULL, &conf) == 0, "%s", errors);
    assert_origin(conf, "Proxy", "Servers", 0, "", 2);
    assert_origin(conf, "Proxy", "Port", 0, "", 5);
    assert_origin(conf, "Bypass", "Ports", 0, "", 7);
    assert_origin(conf, "Bypass", "Ports", 1, "", 7);
    assert_origin(conf, "Bypass", "Ports", 2, ".d/1.conf", 3);
    assert_origin(conf, "Bypass", "Networks", 0, "", 10);
    assert_origin(conf, "Bypass", "Networks", 1, ".d/1.conf", 4);
    ck_assert(!conf_origin(conf, "Bypass", "Networks", 2, &file, &line));
    ck_assert(!conf_origin(conf, "Bypass", "Users", 0, &file, &line));
    ck_assert(!conf_origin(conf, "Redirect", "Ports", 0, &file, &line));
    ck_assert_str_eq(file, "untouched");
    ck_assert_uint_eq(line, 7);
    conf_free(conf);
}
END_TEST

START_TEST(files_that_cannot_be_read_are_named)
{
    struct conf *conf;
    char expected[256], drop_in[128];
    ck_assert_int_eq(conf_load(path, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected, "%s: No such file or directory\n", path);
    ck_assert_str_eq(errors, expected);

    errors[0] = '\0';
    ck_assert_int_eq(conf_load(directory, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected, "%s: Is a directory\n", directory);
    ck_assert_str_eq(errors, expected);

    errors[0] = '\0';
    ck_assert_int_eq(conf_load("/dev/zero", collect, NULL, &conf), -EINVAL);
    ck_assert_str_eq(errors, "/dev/zero: is not a regular file\n");

    errors[0] = '\0';
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(conf_load(path, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected, "%s: is not a regular file\n", path);
    ck_assert_str_eq(errors, expected);
    ck_assert_int_eq(unlink(path), 0);

    errors[0] = '\0';
    write_file("p.conf", "#");
    ck_assert_int_eq(truncate(path, 2 << 20), 0);
    ck_assert_int_eq(conf_load(path, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected, "%s: larger than 1048576 bytes\n", path);
    ck_assert_str_eq(errors, expected);

    errors[0] = '\0';
    write_file("p.conf", MINIMAL);
    snprintf(drop_in, sizeof drop_in, "%s.d/1.conf", path);
    ck_assert_int_eq(symlink("/nonexistent", drop_in), 0);
    ck_assert_int_eq(conf_load(path, collect, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected, "%s: No such file or directory\n", drop_in);
    ck_assert_str_eq(errors, expected);
}
END_TEST

/* Between two lines of it, for a complaint is made as soon as its line has been read. */
static void change_the_file(const char *text, void *data)
{
    if (!strstr(text, "changed"))
        write_file("p.conf", data);
    collect(text, NULL);
}

START_TEST(a_file_that_changes_under_the_reading_is_no_configuration)
{
    struct conf *conf;
    char expected[256];
    write_file("p.conf", MINIMAL "Port=x\n");
    ck_assert_int_eq(conf_load(path, change_the_file, (void *)MINIMAL, &conf), -EINVAL);
    snprintf(expected, sizeof expected,
             "%s:4: Port=x: expected a port from 1 to 65535\n%s: was changed while it was read\n", path, path);
    ck_assert_str_eq(errors, expected);
}
END_TEST

/* Its content stays what it was: a file that is replaced is a whole one. */
static void remove_the_file(const char *text, void *data)
{
    unlink(path);
    collect(text, NULL);
}

START_TEST(a_file_that_vanishes_under_the_reading_is_read_to_its_end)
{
    struct conf *conf;
    char expected[256];
    write_file("p.conf", MINIMAL "Port=x\nPort=y\n");
    ck_assert_int_eq(conf_load(path, remove_the_file, NULL, &conf), -EINVAL);
    snprintf(expected, sizeof expected,
             "%s:4: Port=x: expected a port from 1 to 65535\n%s:5: Port=y: expected a port from 1 to 65535\n", path,
             path);
    ck_assert_str_eq(errors, expected);
}
END_TEST

/* ---- printed and read again ---- */

static char *printed(const struct conf *conf)
{
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    conf_print(conf, stream);
    fclose(stream);
    return text;
}

START_TEST(headers_are_hidden_from_people)
{
    struct conf *conf =
        good("[Proxy]\nServers=gw.example\nSecurePort=8081\nHeader=Proxy-Authorization: Basic c2VjcmV0\n"
             "Header=X-Empty:\n");
    char *text, *whole = printed(conf);
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    conf_print_without_secrets(conf, stream);
    fclose(stream);
    ck_assert_ptr_nonnull(strstr(text, "\nHeader=Proxy-Authorization: (hidden)\nHeader=X-Empty: (hidden)\n"));
    ck_assert_ptr_null(strstr(text, "c2VjcmV0"));
    ck_assert_ptr_nonnull(strstr(whole, "c2VjcmV0"));
    /* All the rest is the same. */
    ck_assert_str_eq(strstr(text, "\n[SecureChannel]"), strstr(whole, "\n[SecureChannel]"));
    free(text);
    free(whole);
    conf_free(conf);
}
END_TEST

static void assert_strings_equal(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
    ck_assert_uint_eq(n_a, n_b);
    for (size_t i = 0; i < n_a; i++)
        ck_assert_str_eq(a[i], b[i]);
}

static void assert_networks(const struct prefix *a, size_t n_a, const struct prefix *b, size_t n_b)
{
    ck_assert_uint_eq(n_a, n_b);
    for (size_t i = 0; i < n_a; i++) {
        ck_assert(addr_equal(&a[i].base, &b[i].base));
        ck_assert_uint_eq(a[i].length, b[i].length);
    }
}

/* The uid is printed, for readers that cannot ask for the name. */
static void assert_users(const struct conf_user *a, size_t n_a, const struct conf_user *b, size_t n_b)
{
    ck_assert_uint_eq(n_a, n_b);
    for (size_t i = 0; i < n_a; i++)
        ck_assert_uint_eq(a[i].uid, b[i].uid);
}

static void assert_equal(const struct conf *a, const struct conf *b)
{
    assert_strings_equal(a->servers, a->n_servers, b->servers, b->n_servers);
    assert_strings_equal(a->headers, a->n_headers, b->headers, b->n_headers);
    assert_strings_equal(a->ca_paths, a->n_ca_paths, b->ca_paths, b->n_ca_paths);
    ck_assert(a->secure_port == b->secure_port && a->port == b->port && a->listen_port == b->listen_port &&
              a->protect_proxies == b->protect_proxies);
    ck_assert(a->secure == b->secure && a->allow_fallback == b->allow_fallback && a->system_ca == b->system_ca);
    ck_assert_pstr_eq(a->server_name, b->server_name);
    ck_assert_pstr_eq(a->auth_url.text, b->auth_url.text);
    ck_assert_pstr_eq(a->auth_url.host, b->auth_url.host);
    ck_assert_uint_eq(a->auth_url.port, b->auth_url.port);
    ck_assert_pstr_eq(a->test_target.text, b->test_target.text);
    ck_assert_pstr_eq(a->test_target.host, b->test_target.host);
    ck_assert_uint_eq(a->test_target.port, b->test_target.port);
    ck_assert_str_eq(a->certificate, b->certificate);
    ck_assert_str_eq(a->private_key, b->private_key);
    ck_assert(a->minimum_version == b->minimum_version && a->quic == b->quic && a->names == b->names &&
              a->http == b->http);
    ck_assert(a->interval_ms == b->interval_ms && a->connect_timeout_ms == b->connect_timeout_ms);
    ck_assert(a->handshake_timeout_ms == b->handshake_timeout_ms && a->retry_max_ms == b->retry_max_ms);
    ck_assert_mem_eq(a->ports, b->ports, sizeof a->ports[0] * a->n_ports);
    ck_assert_uint_eq(a->n_ports, b->n_ports);
    ck_assert_uint_eq(a->n_bypass_ports, b->n_bypass_ports);
    ck_assert_mem_eq(a->bypass_ports, b->bypass_ports, sizeof a->bypass_ports[0] * a->n_bypass_ports);
    ck_assert_uint_eq(a->n_block_ports, b->n_block_ports);
    ck_assert_mem_eq(a->block_ports, b->block_ports, sizeof a->block_ports[0] * a->n_block_ports);
    assert_networks(a->bypass_networks, a->n_bypass_networks, b->bypass_networks, b->n_bypass_networks);
    assert_networks(a->block_networks, a->n_block_networks, b->block_networks, b->n_block_networks);
    ck_assert_uint_eq(a->n_block_domains, b->n_block_domains);
    for (size_t i = 0; i < a->n_block_domains; i++)
        ck_assert_str_eq(a->block_domains[i], b->block_domains[i]);
    assert_users(a->bypass_users, a->n_bypass_users, b->bypass_users, b->n_bypass_users);
    assert_users(a->block_users, a->n_block_users, b->block_users, b->n_block_users);
    ck_assert(a->local_networks == b->local_networks && a->log_sessions == b->log_sessions);
    ck_assert_uint_eq(a->sessions_per_user, b->sessions_per_user);
    ck_assert_uint_eq(a->log_rate, b->log_rate);
    ck_assert(a->on_unavailable == b->on_unavailable && a->on_stop == b->on_stop && a->on_error == b->on_error);
    ck_assert(a->log_level == b->log_level && a->relays == b->relays);
}

struct choices {
    const char *section, *key;
    const char *values[8];
};

static const struct choices choices[] = {
    {"Proxy", "Servers", {"a", "gw1.example gw2.example", "2001:db8::1 [fe80::1%3]", "192.0.2.1", "a_b.c-d.e"}},
    {"Proxy", "Port", {"1", "8080", "65535"}},
    {"Proxy",
     "Header",
     {"", "X: y", "A:", "B:\xc3\xa4 #", "C: ;x\"'\\", "Proxy-Authorization: Basic eA==", "X: %u%U%n%H%m %%u"}},
    {"Proxy", "IdentityOnPlain", {"yes", "no"}},
    {"SecureChannel", "Enabled", {"yes", "no"}},
    {"SecureChannel", "AllowFallback", {"on", "off"}},
    {"SecureChannel", "ServerName", {"", "gw.example", "192.0.2.1", "[2001:db8::1]"}},
    {"SecureChannel", "AuthURL", {"", "https://a.example", "HTTPS://[::1]:1/?#", "https://192.0.2.1:8443/x#y"}},
    {"SecureChannel", "TrustedCA", {"system", "/a", "/a system /b", "/x#y"}},
    {"SecureChannel", "Certificate", {"/c", "/c d", "/e#f;g"}},
    {"SecureChannel", "PrivateKey", {"/k"}},
    {"SecureChannel", "MinimumVersion", {"1.2", "1.3"}},
    {"Test", "Interval", {"100ms", "30s", "1.5s", "90s", "2min", "1h"}},
    {"Test", "ConnectTimeout", {"999ms", "1min"}},
    {"Test", "HandshakeTimeout", {"0.25s", "60"}},
    {"Test", "RetryMax", {"1s", "59min 59s 999ms"}},
    {"Test", "Target", {"", "www.example:443", "192.0.2.1:1", "[2001:db8::1]:65535"}},
    {"Redirect", "Ports", {"80", "443 80", "1 65535"}},
    {"Redirect", "Intercept", {"local"}},
    {"Redirect", "HTTP", {"request", "tunnel"}},
    {"Redirect", "Names", {"prefer", "require", "ignore"}},
    {"Redirect", "QUIC", {"reject", "pass"}},
    {"Redirect", "ListenPort", {"1024", "65534"}},
    {"Redirect", "ProtectProxies", {"yes", "no"}},
    {"Bypass", "Networks", {"", "0.0.0.0/0", "192.0.2.7 2001:db8::/29", "::/0"}},
    {"Bypass", "LocalNetworks", {"1", "0"}},
    {"Bypass", "Ports", {"", "1 2 3", "8080"}},
    {"Block", "Networks", {"", "0.0.0.0/0", "192.0.2.7 2001:db8::/29", "::/0"}},
    {"Block", "Ports", {"", "1 2 3", "8080"}},
    {"Block", "Domains", {"", "Example.COM.", "a.b c _d.e-f.example", "xn--bcher-kva.example com"}},
    {"Block", "Users", {"", "0", "root 4294967294", "12 34", "@root @4242 @EXAMPLE\\\\x"}},
    {"Bypass", "Users", {"", "0", "root 4294967294", "12 34", "0 later", "EXAMPLE\\\\x y@example.com"}},
    {"Failure", "OnUnavailable", {"block", "direct"}},
    {"Failure", "OnStop", {"open", "block"}},
    {"Failure", "OnError", {"open", "block"}},
    {"Limits", "SessionsPerUser", {"1", "4096", "1000000"}},
    {"Limits", "LogRate", {"1", "50", "100000"}},
    {"Log", "Level", {"error", "warning", "notice", "info", "debug"}},
    {"Log", "Sessions", {"true", "false"}},
    {"Relay", "Processes", {"0", "1", "64"}},
};

#define VARIANTS 400

/* Some keys, some of them several times, in any order. */
static void write_variant(char *text, size_t size)
{
    size_t length = (size_t)snprintf(text, size, "[Proxy]\nServers=z\nSecurePort=8081\n");
    int lines = rand() % 40;
    for (int i = 0; i < lines; i++) {
        const struct choices *c = &choices[(size_t)rand() % (sizeof choices / sizeof choices[0])];
        size_t n = 0;

        while (n < 8 && c->values[n])
            n++;
        length += (size_t)snprintf(text + length, size - length, "[%s]\n%s=%s\n", c->section, c->key,
                                   c->values[(size_t)rand() % n]);
    }
}

START_TEST(what_is_printed_reads_back_equal)
{
    unsigned seed = seed_of_run();
    static char text[16384];
    srand(seed);
    for (int i = 0; i < VARIANTS; i++) {
        struct conf *conf, *again;
        char *first, *second;

        write_variant(text, sizeof text);
        ck_assert_msg(read_bytes(text, strlen(text), &conf) == 0, "seed %u variant %d: %s", seed, i, errors);
        first = printed(conf);
        ck_assert_msg(read_bytes(first, strlen(first), &again) == 0, "seed %u variant %d: %s", seed, i, errors);
        assert_equal(conf, again);
        second = printed(again);
        /* But for the users' names, which a number has not. */
        if (conf->n_bypass_users + conf->n_block_users == 0)
            ck_assert_str_eq(first, second);
        free(first);
        free(second);
        conf_free(conf);
        conf_free(again);
    }
}
END_TEST

START_TEST(every_key_is_printed)
{
    struct conf *conf = good(MINIMAL "Servers=2001:db8::1\nHeader=A: 1\nHeader=B: 2\n[Bypass]\nUsers=root\n");
    char *text = printed(conf);
    ck_assert_str_eq(
        text,
        "[Proxy]\nServers=gw.example [2001:db8::1]\nSecurePort=8081\nPort=8080\nHeader=A: 1\n"
        "Header=B: 2\nIdentityOnPlain=no\n\n[SecureChannel]\nEnabled=yes\nAllowFallback=no\nServerName=\n"
        "AuthURL=https://mcp.wgcs.skyhigh.cloud/\nTrustedCA=system\n"
        "Certificate=" PENSTOCK_SYSCONFDIR "/penstock/tls/client.pem\n"
        "PrivateKey=" PENSTOCK_SYSCONFDIR "/penstock/tls/client.key\n"
        "MinimumVersion=1.2\n\n[Test]\nInterval=30s\nConnectTimeout=3s\nHandshakeTimeout=5s\n"
        "RetryMax=30s\nTarget=\n\n[Redirect]\nPorts=80 443\nIntercept=local\nHTTP=request\nNames=prefer\nQUIC=reject\n"
        "ListenPort=15443\nProtectProxies=yes\n\n[Bypass]\nNetworks=\nLocalNetworks=yes\nPorts=\n"
        "Users=0   # root\n\n[Block]\nNetworks=\nPorts=\nUsers=\nDomains=\n\n"
        "[Failure]\nOnUnavailable=block\nOnStop=open\nOnError=block\n\n[Limits]\nSessionsPerUser=4096\nLogRate=50\n\n["
        "Log]\nLevel="
        "info\nSessions=yes\n\n"
        "[Relay]\nProcesses=0\n");
    free(text);
    conf_free(conf);
}
END_TEST

START_TEST(a_full_configuration_reads_back_equal)
{
    static char text[60000] = MINIMAL "[Bypass]\nNetworks=";
    struct conf *conf, *again;
    char *first;
    for (int i = 0; i < CONF_NETWORKS_MAX; i++)
        sprintf(text + strlen(text), " 2001:db8:ffff:ffff:ffff:ffff:ffff:%x/128", i);
    conf = good(text);
    first = printed(conf);
    again = good(first);
    assert_equal(conf, again);
    free(first);
    conf_free(conf);
    conf_free(again);
}
END_TEST

/* ---- single values ---- */

static const struct {
    const char *text;
    int64_t ms; /* -1: refused */
} spans[] = {
    {"0", 0},
    {"5", 5000},
    {"5s", 5000},
    {"5 s", 5000},
    {" 5s ", 5000},
    {"500ms", 500},
    {"500msec", 500},
    {"1.5s", 1500},
    {"0.001", 1},
    {"1min30s", 90000},
    {"1m 30 sec", 90000},
    {"2 hours", 7200000},
    {"1h", 3600000},
    {"1193h", 4294800000},
    {"1194h", -1},
    {"", -1},
    {" ", -1},
    {"s", -1},
    {"-1s", -1},
    {"+1s", -1},
    {"1.", -1},
    {".5s", -1},
    {"1.2345s", -1},
    {"5x", -1},
    {"1d", -1},
    {"5s x", -1},
    {"99999999999999999999", -1},
    {"1e3", -1},
    {"5S", -1},
    {"1us", -1},
};

START_TEST(time_spans)
{
    uint32_t ms = 77;
    char buf[CONF_SPAN_TEXT_MAX];
    if (spans[_i].ms < 0) {
        ck_assert_msg(!conf_value_span(spans[_i].text, &ms), "%s", spans[_i].text);
        ck_assert_uint_eq(ms, 77);
        return;
    }
    ck_assert_msg(conf_value_span(spans[_i].text, &ms), "%s", spans[_i].text);
    ck_assert_uint_eq(ms, (uint32_t)spans[_i].ms);
    ck_assert(conf_value_span(conf_value_span_text(ms, buf), &ms));
    ck_assert_uint_eq(ms, (uint32_t)spans[_i].ms);
}
END_TEST

START_TEST(host_names)
{
    static const char *const hosts[] = {"a", "gw.example", "A-1.b_c", "192.0.2.1", "::1", "[::1]", "x.1a", "fe80::1%3"};
    static const char *const others[] = {"",          ".",   "a.",  ".a",  "a..b", "-a",  "1.0X",     "a.1",    "1",
                                         "1.2.3.4.5", "a b", "a/b", "a:1", "[a]",  "a%1", "\xc3\xa4", "1.0x7f", "a\tb"};
    char label[70];
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        ck_assert_msg(conf_value_host(hosts[i], strlen(hosts[i])), "%s", hosts[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(!conf_value_host(others[i], strlen(others[i])), "%s", others[i]);
    ck_assert(!conf_value_host("a\0b", 3));
    memset(label, 'a', sizeof label);
    ck_assert(conf_value_host(label, 63));
    ck_assert(!conf_value_host(label, 64));
}
END_TEST

START_TEST(names_worth_suggesting)
{
    ck_assert(conf_value_similar("SecurePort", "secureport"));
    ck_assert(conf_value_similar("Sevrers", "Servers"));
    ck_assert(conf_value_similar("Server", "Servers"));
    ck_assert(!conf_value_similar("Serv", "Servers"));
    ck_assert(!conf_value_similar("Prt", "Port"));
    ck_assert(!conf_value_similar("", "Port"));
    ck_assert(!conf_value_similar("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "Port"));
}
END_TEST

START_TEST(local_networks_are_well_formed)
{
    static const char *const inside[] = {"127.0.0.1",   "169.254.169.254", "168.63.129.16",  "10.1.2.3", "172.31.0.1",
                                         "192.168.0.1", "224.0.0.251",     "239.1.1.1",      "::1",      "fe80::1",
                                         "fd00::1",     "ff02::1",         "255.255.255.255"};
    static const char *const outside[] = {"192.0.2.1",   "172.32.0.1", "168.63.129.17",
                                          "2001:db8::1", "::2",        "9.255.255.255"};
    size_t count;
    const struct prefix *networks = conf_local_networks(&count), *again;
    char buf[ADDR_TEXT_MAX];
    struct prefix parsed;
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(prefix_parse(prefix_text(&networks[i], buf), &parsed), "%s", buf);
        ck_assert(addr_equal(&parsed.base, &networks[i].base));
    }
    for (size_t i = 0; i < sizeof inside / sizeof inside[0] + sizeof outside / sizeof outside[0]; i++) {
        bool expected = i < sizeof inside / sizeof inside[0], found = false;
        const char *text = expected ? inside[i] : outside[i - sizeof inside / sizeof inside[0]];
        struct addr addr;

        ck_assert(addr_parse(text, 0, &addr));
        for (again = networks; again < networks + count; again++)
            found = found || prefix_contains(again, &addr);
        ck_assert_msg(found == expected, "%s", text);
    }
}
END_TEST

#define LENGTH(array) ((int)(sizeof array / sizeof((array)[0])))

static TCase *refusing(void)
{
    TCase *tests = tcase_create("refusing");
    tcase_add_loop_test(tests, each_mistake_is_named_with_its_place, 0, LENGTH(mistakes));
    tcase_add_test(tests, keys_that_are_not_built_are_refused_as_such);
    tcase_add_test(tests, what_is_needed_must_be_there);
    tcase_add_test(tests, a_key_needs_a_section_that_is_known);
    tcase_add_test(tests, lines_that_are_no_text_are_refused);
    tcase_add_test(tests, all_headers_together_are_bounded);
    tcase_add_test(tests, all_specifiers_together_are_bounded);
    tcase_add_test(tests, a_hundred_mistakes_are_shown);
    return tests;
}

static TCase *files(void)
{
    TCase *tests = tcase_create("files");
    tcase_add_checked_fixture(tests, setup_files, teardown_files);
    tcase_add_test(tests, drop_ins_are_read_in_order_of_their_names);
    tcase_add_test(tests, mistakes_of_all_files_come_together);
    tcase_add_test(tests, each_value_knows_its_file_and_line);
    tcase_add_test(tests, files_that_cannot_be_read_are_named);
    tcase_add_test(tests, a_file_that_changes_under_the_reading_is_no_configuration);
    tcase_add_test(tests, a_file_that_vanishes_under_the_reading_is_read_to_its_end);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("conf");
    TCase *reading = tcase_create("reading"), *printing = tcase_create("printing"), *values = tcase_create("values");
    SRunner *runner;
    int failed;
    tcase_add_test(reading, the_defaults_are_the_documented_ones);
    tcase_add_test(reading, every_key_is_taken);
    tcase_add_test(reading, comments_and_white_space_are_not_values);
    tcase_add_test(reading, lists_replace_the_default_then_append_and_can_be_cleared);
    tcase_add_test(reading, a_user_that_is_not_in_etc_passwd_is_unknown);
    tcase_add_test(reading, a_group_is_its_members);
    tcase_add_test(reading, long_lines_are_read);
    suite_add_tcase(suite, reading);
    suite_add_tcase(suite, refusing());
    suite_add_tcase(suite, files());
    tcase_set_timeout(printing, 120);
    tcase_add_test(printing, every_key_is_printed);
    tcase_add_test(printing, headers_are_hidden_from_people);
    tcase_add_test(printing, what_is_printed_reads_back_equal);
    tcase_add_test(printing, a_full_configuration_reads_back_equal);
    suite_add_tcase(suite, printing);
    tcase_add_loop_test(values, time_spans, 0, LENGTH(spans));
    tcase_add_test(values, host_names);
    tcase_add_test(values, names_worth_suggesting);
    tcase_add_test(values, local_networks_are_well_formed);
    suite_add_tcase(suite, values);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
