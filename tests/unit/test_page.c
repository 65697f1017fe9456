/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status page against files in golden/, which UPDATE_GOLDEN=1 writes anew; and hints, and answers that make no
 * sense. */
#include "config.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/page.h"

#define NOW 1767323045 /* 2026-01-02T03:04:05Z */

#define PROXY   "'proxy': {'server': 'gw2.example', 'address': '192.0.2.7', 'port': 8081},"
#define NOTHING "'proxy': null, 'tls': null,"
#define MISTRUSTED                                                                                                     \
    "{'server': 'gw1.example', 'state': 'mistrusted', 'since': '2026-01-02T03:03:53Z', 'cause': 'certificate-name', "  \
    "'detail': 'certificate of 192.0.2.6 is for \\'else.test\\', expected \\'gw1.example\\'', "                        \
    "'address': '192.0.2.6', 'port': 8081, 'in_use': false, 'tests': {'tcp': " PASSED "}}"
#define PASSED           "{'result': 'passed', 'ms': 12.1}"
#define FAILED           "{'result': 'failed', 'ms': 31.04}"
#define NOT              "{'result': 'not done'}"
#define TESTS(tcp, auth) "'tests': {'tcp': " tcp ", 'mutual_auth': " auth ", 'at': '2026-01-02T03:03:59Z'},"
#define REST                                                                                                           \
    "'rules': {'table': 'inet penstock', 'installed': true, 'changes': 3, 'repaired': 1},"                             \
    "'sessions': {'open': 12, 'total': 10342, 'failed': 3, 'client_ended': 17, 'refused': 41, 'bypassed': 118, "       \
    "'rejected': 7}, 'bytes': {'up': "                                                                                 \
    "1234567, 'down': 99999999999},"                                                                                   \
    "'pid': 4711, 'version': '0.1.0'"

static const struct {
    const char *name;
    int exit;
    const char *json; /* ' stands for " */
} pages[] = {
    {"secure", CLI_EXIT_SECURE,
     "{'verdict': 'secure', 'cause': null, 'status': 'Connected (Secure Channel)', 'connection_status': 'Proxy "
     "Trusted', 'mode': 'secure', 'reason': null,"
     "'detail': null, 'since': '2026-01-02T00:51:00Z'," PROXY
     "'tls': {'version': 'TLSv1.3', 'cipher': 'TLS_AES_128_GCM_SHA256', 'server_expires': '2027-01-02T03:04:05Z',"
     "'client_expires': '2026-01-10T00:00:00Z'}," TESTS(PASSED, PASSED) REST "}"},
    {"secure-expired", CLI_EXIT_SECURE,
     "{'verdict': 'secure', 'cause': null, 'status': 'Connected (Secure Channel)', 'connection_status': 'Proxy "
     "Trusted', 'mode': 'secure', 'reason': null,"
     "'detail': null, 'since': '2025-12-24T00:51:00Z',"
     "'proxy': {'server': '2001:db8::1', 'address': '2001:db8::1', 'port': 8081},"
     "'tls': {'version': 'TLSv1.2', 'cipher': 'ECDHE-RSA-AES128-GCM-SHA256', 'server_expires': '2026-01-03T03:04:06Z',"
     "'client_expires': '2026-01-01T00:00:00Z'}," TESTS(
         PASSED,
         PASSED) "'rules': {'table': 'inet penstock', 'installed': true, 'changes': 1, 'repaired': 0, 'owned': true},"
                 "'started': '2025-12-24T00:50:00Z', 'warnings': ['the rules were changed by nft (pid 7)', 'and 3 "
                 "more'], 'pid': 4711, 'version': '0.1.0'}"},
    {"plain", CLI_EXIT_PLAIN,
     "{'verdict': 'plain', 'cause': null, 'status': 'Connected (Non-secure)', 'connection_status': 'Proxy Connected', "
     "'mode': 'plain', 'reason': null,"
     "'detail': null, 'since': '2026-01-02T03:01:00Z',"
     "'proxy': {'server': 'gw2.example', 'address': '192.0.2.7', 'port': 8080}, 'tls': null," TESTS(PASSED, NOT) REST
     "}"},
    {"auth-failed", CLI_EXIT_BLOCKED,
     "{'verdict': 'auth-failed', 'cause': 'certificate-name', 'status': 'Blocked - Mutual Auth Failed', "
     "'connection_status': 'Proxy Mistrust', 'mode': 'blocked',"
     "'reason': 'Mutual Auth Failed', 'detail': 'certificate of 192.0.2.7 is for \\'gw.example\\', expected "
     "\\'mcp.wgcs.skyhigh.cloud\\'', 'since': '2026-01-02T03:03:59Z'," PROXY "'tls': null," TESTS(PASSED, FAILED) REST
     "}"},
    {"port-not-available", CLI_EXIT_BLOCKED,
     "{'verdict': 'port-not-available', 'cause': 'tcp-refused', 'status': 'Blocked - Secure channel port not "
     "available', 'connection_status': 'Proxy Unreachable', 'mode':"
     "'blocked', 'reason': 'Secure channel port not available', 'detail': 'connect to 192.0.2.7:8081: connection "
     "refused', 'since': '2026-01-02T03:03:59Z'," NOTHING TESTS(FAILED, NOT) REST "}"},
    {"no-proxy", CLI_EXIT_BLOCKED,
     "{'verdict': 'no-proxy', 'cause': 'tcp-timeout', 'status': 'Blocked - No proxy available', 'connection_status': "
     "'Proxy Unreachable', 'mode': 'blocked',"
     "'reason': 'No proxy available', 'detail': 'connect to 192.0.2.7:8080: no answer within 3 s',"
     "'since': '2026-01-02T03:03:59Z'," NOTHING TESTS(FAILED, NOT) REST "}"},
    {"mistrusted-beside", CLI_EXIT_SECURE,
     "{'verdict': 'secure', 'cause': null, 'status': 'Connected (Secure Channel)', 'connection_status': 'Proxy "
     "Trusted', 'mode': 'secure', 'reason': null, 'detail': null, 'since': '2026-01-02T00:51:00Z'," PROXY
     "'tls': {'version': 'TLSv1.3', 'cipher': 'TLS_AES_128_GCM_SHA256', 'server_expires': '2027-01-02T03:04:05Z',"
     "'client_expires': '2026-01-10T00:00:00Z'}, 'servers': [" MISTRUSTED
     ", {'server': 'gw2.example', 'state': 'trusted', 'since': '2026-01-02T00:51:00Z', 'cause': null, 'detail': null, "
     "'address': '192.0.2.7', 'port': 8081, 'in_use': true, 'tests': {'tcp': " PASSED ", 'mutual_auth': " PASSED "}},"
     "{'server': 'gw3.example', 'state': 'unresolved', 'since': '2026-01-02T03:00:00Z', 'cause': 'name-not-found', "
     "'detail': 'resolve gw3.example: no such name', 'address': null, 'port': null, 'in_use': false, 'tests': {}},"
     "{'server': '2001:db8::1', 'state': 'unreachable', 'since': '2026-01-02T03:00:00Z', 'cause': 'tcp-refused', "
     "'detail': 'connect to [2001:db8::1]:8081: connection refused', 'address': '2001:db8::1', 'port': 8081, "
     "'in_use': false, 'tests': {}}],"
     "'warnings': ['gw1.example is mistrusted: certificate of 192.0.2.6 is for \\'else.test\\', expected "
     "\\'gw1.example\\''],"
     "'tests': {'tcp': " PASSED ", 'mutual_auth': " PASSED
     ", 'at': '2026-01-02T03:03:59Z', 'next_at': '2026-01-02T03:04:29Z'}," REST "}"},
    {"all-mistrusted", CLI_EXIT_BLOCKED,
     "{'verdict': 'auth-failed', 'cause': 'certificate-name', 'status': 'Blocked - Mutual Auth Failed', "
     "'connection_status': 'Proxy Mistrust', 'mode': 'blocked', 'reason': 'Mutual Auth Failed', 'detail': "
     "'certificate of 192.0.2.6 is for \\'else.test\\', expected \\'gw1.example\\'', "
     "'since': '2026-01-02T03:03:59Z', 'proxy': {'server': 'gw1.example', 'address': null, 'port': null}, "
     "'tls': null, 'servers': [" MISTRUSTED "]," TESTS(PASSED, FAILED) REST "}"},
    {"fallback", CLI_EXIT_PLAIN,
     "{'verdict': 'plain', 'cause': null, 'status': 'Connected (Non-secure)', 'connection_status': 'Proxy Connected', "
     "'mode': 'plain', 'reason': null, 'detail': null, 'since': '2026-01-02T03:01:00Z',"
     "'proxy': {'server': 'gw2.example', 'address': '192.0.2.7', 'port': 8080}, 'tls': null, 'servers': ["
     "{'server': 'gw2.example', 'state': 'plain', 'since': '2026-01-02T03:01:00Z', 'cause': null, 'detail': null, "
     "'address': '192.0.2.7', 'port': 8080, 'in_use': true, 'tests': {}}],"
     "'warnings': ['the secure channel is not used: connect to 192.0.2.7:8081: connection refused'],"
     "'tests': {'tcp': {'result': 'failed', 'ms': 0.2, 'cause': 'tcp-refused', 'detail': 'connect to 192.0.2.7:8081: "
     "connection refused'}, 'mutual_auth': " NOT ", 'plain_tcp': " PASSED ", 'at': '2026-01-02T03:03:59Z'}," REST "}"},
    {"stopped", CLI_EXIT_BLOCKED,
     "{'running': false, 'verdict': null, 'status': 'Not running - web traffic is refused', 'connection_status': 'Not "
     "Tested', 'mode': 'blocked', 'reason': null, 'cause': 'daemon-stopped', 'detail': 'penstockd was stopped', "
     "'since': "
     "'2026-01-02T03:03:59Z', 'rules': {'table': 'inet penstock', 'installed': true, 'comment': 'Blocked - penstock is "
     "stopped'}, 'web_traffic': 'is refused by the rules in table inet penstock (\\'Blocked - penstock is "
     "stopped\\'); to open it: nft delete table inet penstock', 'servers': [], 'warnings': [], 'last': {'status': "
     "'Connected (Secure Channel)', 'since': '2026-01-01T23:00:00Z'}}"},
    {"not-configured", CLI_EXIT_OPEN,
     "{'running': false, 'verdict': null, 'status': 'Not running - web traffic is not under control', "
     "'connection_status': 'Not Tested', 'mode': 'open', 'reason': null, 'cause': 'daemon-unconfigured', 'detail': 'no "
     "server is named in the configuration', 'since': null, 'web_traffic': 'passes: there are none of its rules', "
     "'last': null}"},
    {"killed", CLI_EXIT_FAILED,
     "{'running': false, 'verdict': null, 'status': 'Not running', 'connection_status': 'Not Tested', 'mode': null, "
     "'reason': null, 'cause': 'daemon-failed', 'detail': 'penstockd, pid 4711, ended without a word: it was killed, "
     "or "
     "has crashed', 'since': null, 'web_traffic': 'may pass or not: only root can see the rules (sudo penstock "
     "status)', 'last': {'status': 'Blocked - Testing', 'since': '2026-01-01T23:00:00Z'}}"},
    {"no-proxy-direct", CLI_EXIT_DIRECT,
     "{'verdict': 'no-proxy-direct', 'cause': 'name-not-found', 'status': 'Direct - No proxy available', "
     "'connection_status': 'Proxy Unreachable', 'mode': 'direct',"
     "'reason': 'No proxy available', 'detail': 'resolve gw2.example: no such name',"
     "'since': '2026-01-02T03:03:59Z'," NOTHING TESTS(FAILED, NOT) REST "}"},
    {"testing", CLI_EXIT_UNDECIDED,
     "{'verdict': 'testing', 'cause': null, 'status': 'Blocked - Testing', 'connection_status': 'Testing', 'mode': "
     "'blocked', 'reason': 'Testing',"
     "'detail': null, 'since': '2026-01-02T03:04:05Z'," NOTHING
     "'tests': {'tcp': {'result': 'running'}, 'mutual_auth': {'result': 'not done'}, 'at': null}," REST "}"},
    {"no-network", CLI_EXIT_UNDECIDED,
     "{'verdict': 'no-network', 'cause': 'no-route', 'status': 'Blocked - No network', 'connection_status': 'No "
     "Connectivity', 'mode': 'blocked',"
     "'reason': 'No network', 'detail': 'connect to 192.0.2.7:8081: network is unreachable',"
     "'since': '2026-01-02T03:03:59Z'," NOTHING TESTS(
         FAILED, NOT) "'rules': {'table': 'inet penstock', 'installed': false, 'changes': 3, 'repaired': 1, 'error': "
                      "'the kernel "
                      "refuses: Operation not permitted'}, 'pid': 4711, 'version': '0.1.0'}"},
    {"local-error", CLI_EXIT_BLOCKED,
     "{'verdict': 'local-error', 'cause': 'kernel-modules', 'status': 'Blocked - Local error', 'connection_status': "
     "'Not Tested', 'mode': 'blocked', 'reason': 'Local error', 'detail': 'the running kernel lacks nft_redir; its "
     "modules are not installed any more: reboot into the installed kernel', 'since': '2026-01-02T03:03:59Z'," NOTHING
         TESTS(PASSED,
               PASSED) "'rules': {'table': 'inet penstock', 'installed': false, 'last_resort': true, 'changes': "
                       "0, 'repaired': 0, 'error': 'the running kernel lacks nft_redir'}, 'pid': 4711, "
                       "'version': '0.1.0'}"},
    {"not-enforced", CLI_EXIT_OPEN,
     "{'verdict': 'not-enforced', 'cause': 'rules-not-permitted', 'status': 'Not enforced - Local error', "
     "'connection_status': 'Not Tested', 'mode': 'open', 'reason': 'Local error', 'detail': 'rules are not installed: "
     "another program owns the table', 'since': '2026-01-02T03:03:59Z'," NOTHING TESTS(
         PASSED, PASSED) "'rules': {'table': 'inet penstock', 'installed': false, 'last_resort': false, 'changes': 0, "
                         "'repaired': 0, 'error': 'another program owns the table'}, 'pid': 4711, 'version': "
                         "'0.1.0'}"},
};

#define PAGES ((int)(sizeof pages / sizeof pages[0]))

static const struct text_style terminal = {.terminal = true, .colour = true, .utf8 = true, .width = 100};
static const struct text_style ascii = {.width = 80};
static const struct text_style wide = {.width = 10000};
static const struct text_style narrow = {.utf8 = true, .width = 40};

static json_t *load(const char *text)
{
    json_error_t why;
    char *copy = strdup(text);
    json_t *object;
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    object = json_loads(copy, 0, &why);
    ck_assert_msg(object, "%s: %s", why.text, text);
    free(copy);
    return object;
}

/* The caller frees it. */
static char *render(const json_t *status, const struct text_style *style)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    page_render(out, style, status, NOW);
    ck_assert_int_eq(fclose(out), 0);
    return text;
}

static void compare(const char *name, const char *variant, const char *text)
{
    char path[512], golden[16384];
    FILE *file;
    size_t n;
    snprintf(path, sizeof path, TOP_DIR "/tests/unit/golden/page-%s%s.txt", name, variant);
    if (getenv("UPDATE_GOLDEN")) {
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fputs(text, file);
        ck_assert_int_eq(fclose(file), 0);
        return;
    }
    file = fopen(path, "r");
    ck_assert_msg(file, "%s is missing", path);
    n = fread(golden, 1, sizeof golden - 1, file);
    fclose(file);
    golden[n] = '\0';
    ck_assert_str_eq(text, golden);
}

START_TEST(each_verdict_has_its_page)
{
    json_t *status = load(pages[_i].json);
    char *text = render(status, &ascii);
    compare(pages[_i].name, "", text);
    free(text);
    text = render(status, &terminal);
    compare(pages[_i].name, ".terminal", text);
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(each_verdict_has_its_short_page)
{
    json_t *status = load(pages[_i].json);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    page_render_verdict(out, &ascii, status, NOW);
    ck_assert_int_eq(fclose(out), 0);
    compare(pages[_i].name, ".verdict", text);
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(each_verdict_has_its_exit_status)
{
    json_t *status = load(pages[_i].json);
    ck_assert_int_eq(cli_exit_of(status), pages[_i].exit);
    json_decref(status);
}
END_TEST

START_TEST(no_line_is_wider_than_the_terminal)
{
    json_t *status = load(pages[_i].json);
    char *text = render(status, &narrow);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        ck_assert_msg(text_columns(line) <= narrow.width, "%s", line);
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(every_page_of_a_fault_says_what_to_do)
{
    json_t *status = load(pages[_i].json);
    char *text = render(status, &ascii);
    bool reason = json_is_string(json_object_get(status, "reason")) ||
                  json_is_string(json_object_get(status, "cause")) || strcmp(pages[_i].name, "fallback") == 0;
    ck_assert(!strstr(text, "What to do") == !reason);
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(the_last_changes_come_latest_first)
{
    json_t *changes =
        load("[{'seq': 1, 'at': '2026-01-01T20:00:00Z', 'type': 'start'},"
             "{'seq': 2, 'at': '2026-01-02T03:03:58Z', 'type': 'verdict', 'status': 'Blocked - Mutual Auth Failed', "
             "'mode': 'blocked',"
             "'detail': 'certificate of 192.0.2.6 is for \\'else.test\\'', 'server': 'gw1.example', 'address': null},"
             "{'seq': 3, 'at': '2026-01-02T03:04:05Z', 'type': 'verdict', 'status': 'Connected (Secure Channel)', "
             "'detail': null,"
             "'server': 'gw2.example', 'address': '192.0.2.7:8081'}, {'at': 'never'}, 7]");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    page_render_changes(out, &ascii, changes, NOW);
    page_render_changes(out, &ascii, NULL, NOW);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_str_eq(text, "\n  03:04:05      Connected (Secure Channel), by gw2.example at 192.0.2.7:8081\n"
                           "  03:03:58      Blocked - Mutual Auth Failed: certificate of 192.0.2.6 is for\n"
                           "                \"else.test\"\n"
                           "  2026-01-01    penstockd has started\n");
    free(text);
    json_decref(changes);
}
END_TEST

/* Each member in turn is missing, or is something else. */
START_TEST(odd_answers_do_no_harm)
{
    static const char *const odd[] = {"null",
                                      "true",
                                      "-1",
                                      "1e300",
                                      "''",
                                      "'x'",
                                      "[]",
                                      "[1]",
                                      "{}",
                                      "{'result': 'passed', 'ms': 'x'}",
                                      "{'up': -1, 'down': 9223372036854775807}",
                                      "{'server': 1, 'address': '::', 'port': -1}",
                                      "'9999-99-99T99:99:99Z'"};
    json_t *status = load(pages[_i].json), *copy, *value, *wrapped;
    const char *key;
    json_object_foreach(status, key, value)
    {
        for (size_t i = 0; i <= sizeof odd / sizeof odd[0]; i++) {
            char *text, json[256];

            copy = json_deep_copy(status);
            if (i == sizeof odd / sizeof odd[0]) {
                json_object_del(copy, key);
            } else {
                snprintf(json, sizeof json, "[%s]", odd[i]);
                wrapped = load(json);
                json_object_set(copy, key, json_array_get(wrapped, 0));
                json_decref(wrapped);
            }
            text = render(copy, &terminal);
            ck_assert_ptr_nonnull(text);
            free(text);
            cli_exit_of(copy);
            json_decref(copy);
        }
    }
    json_decref(status);
}
END_TEST

START_TEST(no_object_at_all_does_no_harm)
{
    char *text = render(NULL, &ascii);
    ck_assert_ptr_nonnull(strstr(text, "Status unknown"));
    ck_assert_int_eq(cli_exit_of(NULL), CLI_EXIT_FAILED);
    free(text);
}
END_TEST

START_TEST(control_characters_do_not_reach_the_terminal)
{
    json_t *status = load(pages[3].json);
    char *text;
    json_object_set_new(status, "detail",
                        json_string("red \033[31m bell \a line\nfeed \xc2\x9b"
                                    "31m \xe2\x80\xae"));
    json_object_set_new(status, "status", json_string("\033]0;title\a"));
    text = render(status, &narrow);
    ck_assert_ptr_null(strchr(text, '\033'));
    ck_assert_ptr_null(strchr(text, '\a'));
    ck_assert_ptr_null(strstr(text, "\xc2\x9b"));
    ck_assert_ptr_null(strstr(text, "\xe2\x80\xae"));
    ck_assert_ptr_nonnull(strstr(text, "red ?[31m bell ?"));
    free(text);
    json_decref(status);
}
END_TEST

static const struct {
    const char *verdict, *cause, *words; /* words of the hint; NULL: no hint */
} hints[] = {
    {"auth-failed", "certificate-name", "ServerName="},
    {"auth-failed", "client-certificate-refused", "Certificate="},
    {"auth-failed", "client-certificate-suspected", "Certificate="},
    {"auth-failed", "client-certificate-expired", "Renew"},
    {"auth-failed", "client-certificate-missing", "Certificate="},
    {"auth-failed", "auth-url-refused", "AuthURL="},
    {"auth-failed", "certificate-expired", "Renew"},
    {"auth-failed", "certificate-not-yet-valid", "clock"},
    {"auth-failed", "certificate-untrusted", "TrustedCA="},
    {"auth-failed", "file-permission", "file"},
    {"auth-failed", "tls-not-spoken", "SecurePort="},
    {"auth-failed", "proxy-authentication", "Header="},
    {"auth-failed", "of-the-next-version", "TLS handshake fails"},
    {"auth-failed", NULL, "TLS handshake fails"},
    {"port-not-available", "tcp-refused", "Nothing listens"},
    {"port-not-available", "tcp-timeout", "firewall"},
    {"port-not-available", "name-not-found", "DNS"},
    {"port-not-available", NULL, "AllowFallback="},
    {"no-proxy", "tcp-refused", "Port="},
    {"testing", NULL, "first test"},
    {"testing", "rules-not-permitted", "CAP_NET_ADMIN"},
    {"no-network", "no-route", "route"},
    {"of-the-next-version", "tcp-refused", "Nothing listens"},
    {"of-the-next-version", NULL, NULL},
    {"secure", NULL, NULL},
    {NULL, NULL, NULL},
};

START_TEST(hints_fit_the_cause)
{
    const char *hint = hint_for(hints[_i].verdict, hints[_i].cause);
    if (hints[_i].words)
        ck_assert_msg(hint && strstr(hint, hints[_i].words), "%s: %s", hints[_i].cause, hint);
    else
        ck_assert_ptr_null(hint);
}
END_TEST

/* A sentence is for people: whatever it says, the page advises the same. */
START_TEST(no_words_of_a_sentence_change_the_hint)
{
    static const char *const keys[] = {"detail", "reason", "status", "connection_status"};
    json_t *status = load(pages[_i].json);
    bool fallback = strcmp(pages[_i].name, "fallback") == 0;
    const char *hint = hint_for(json_string_value(json_object_get(status, "verdict")),
                                fallback ? "tcp-refused" : json_string_value(json_object_get(status, "cause")));
    int exit = cli_exit_of(status);
    char *text;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        json_object_set_new(status, keys[i], json_string("Testing: proxy answered 407, connection refused, AuthURL"));
    text = render(status, &wide);
    ck_assert(hint ? (bool)strstr(text, hint) : !strstr(text, "What to do"));
    ck_assert_int_eq(cli_exit_of(status), exit);
    free(text);
    json_decref(status);
}
END_TEST

START_TEST(stages_are_lines)
{
    json_t *stage = load("{'stage': 'mutual_auth', 'server': 'gw2.example', 'address': '[2001:db8::7]:8081', 'result':"
                         "'failed', 'ms': 31.04, 'detail': 'server rejected the client certificate (alert 48)'}");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    page_render_stage(out, &ascii, stage);
    json_object_set_new(stage, "result", json_string("passed"));
    json_object_set_new(stage, "detail", json_null());
    page_render_stage(out, &terminal, stage);
    page_render_stage(out, &ascii, NULL);
    fclose(out);
    ck_assert_str_eq(text, "FAILED mutual authentication, gw2.example ([2001:db8::7]:8081), 31.0 ms\n"
                           "       server rejected the client certificate (alert 48)\n"
                           "\033[32m✓ \033[0mmutual authentication, gw2.example ([2001:db8::7]:8081), 31.0 ms\n"
                           "-      test, -\n");
    free(text);
    json_decref(stage);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page");
    TCase *golden = tcase_create("golden"), *odd = tcase_create("odd"), *hint = tcase_create("hint");
    SRunner *runner;
    int failed;
    setenv("TZ", "UTC", 1);
    tzset();
    tcase_add_loop_test(golden, each_verdict_has_its_page, 0, PAGES);
    tcase_add_loop_test(golden, each_verdict_has_its_short_page, 0, PAGES);
    tcase_add_loop_test(golden, each_verdict_has_its_exit_status, 0, PAGES);
    tcase_add_loop_test(golden, no_line_is_wider_than_the_terminal, 0, PAGES);
    tcase_add_loop_test(golden, every_page_of_a_fault_says_what_to_do, 0, PAGES);
    tcase_add_test(golden, stages_are_lines);
    tcase_add_test(odd, the_last_changes_come_latest_first);
    tcase_add_loop_test(odd, odd_answers_do_no_harm, 0, PAGES);
    tcase_add_test(odd, no_object_at_all_does_no_harm);
    tcase_add_test(odd, control_characters_do_not_reach_the_terminal);
    tcase_add_loop_test(hint, no_words_of_a_sentence_change_the_hint, 0, PAGES);
    tcase_add_loop_test(hint, hints_fit_the_cause, 0, sizeof hints / sizeof hints[0]);
    suite_add_tcase(suite, golden);
    suite_add_tcase(suite, odd);
    suite_add_tcase(suite, hint);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
