/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whom we trust and who trusts us: handshakes, good and refused, and the words about them. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tls_pair.h"
#include "under_filter.h"

/* One handshake with the usual files; what both sides are asked for is changed before. */
struct setting {
    struct conf conf;
    struct tls_peer_conf peer_conf;
    const char *name;
    struct tls_context *context;
    struct tls_peer_server *server;
    struct pair pair;
};

static struct setting setting(const char *certificate)
{
    return (struct setting){.conf = pair_conf(), .peer_conf = pair_peer_conf(certificate), .name = "gw.example"};
}

static enum stream_status shake(struct setting *setting)
{
    setting->context = pair_context(&setting->conf);
    setting->server = tls_peer_server_new(&setting->peer_conf);
    setting->pair = pair_open(setting->context, setting->server, setting->name, false);
    return pair_handshake(&setting->pair);
}

static void end(struct setting *setting)
{
    pair_close(&setting->pair);
    tls_context_free(setting->context);
    tls_peer_server_free(setting->server);
}

static void expect(struct setting *setting, enum tls_failure failure, enum cause cause, const char *text)
{
    ck_assert_int_eq(tls_failure_cause(setting->pair.tls), cause);
    ck_assert_str_eq(tls_failure_text(setting->pair.tls), text);
    ck_assert_int_eq(tls_failure(setting->pair.tls), failure);
    ck_assert_str_eq(stream_error(tls_stream(setting->pair.tls)), text);
    end(setting);
}

static void expect_up(struct setting *setting, const char *version)
{
    struct tls_summary summary;
    ck_assert_msg(shake(setting) == STREAM_OK, "%s", tls_failure_text(setting->pair.tls));
    ck_assert_int_eq(tls_failure(setting->pair.tls), TLS_FAILURE_NONE);
    ck_assert(!tls_resumed(setting->pair.tls));
    tls_summary(setting->pair.tls, &summary);
    ck_assert_str_eq(summary.version, version);
    ck_assert_int_gt(summary.server_expires, time(NULL));
    end(setting);
}

/* ---- what works ---- */

START_TEST(tls_1_3_and_1_2_work_with_a_client_certificate)
{
    struct setting s = setting("server");
    struct tls_summary summary;
    s.peer_conf.tls12 = _i;
    ck_assert_msg(shake(&s) == STREAM_OK, "%s", tls_failure_text(s.pair.tls));
    ck_assert(tls_peer_saw_certificate(s.pair.peer));
    ck_assert_str_eq(tls_peer_sni(s.pair.peer), "gw.example");
    tls_summary(s.pair.tls, &summary);
    ck_assert_str_eq(summary.version, _i ? "TLSv1.2" : "TLSv1.3");
    ck_assert_msg(strstr(summary.cipher, "_WITH_AES_256_GCM_") || strncmp(summary.cipher, "TLS_", 4) == 0, "%s",
                  summary.cipher);
    ck_assert_int_gt(summary.server_expires, time(NULL) + 3600);
    ck_assert_int_gt(summary.client_expires, time(NULL) + 3600);
    ck_assert_int_eq(summary.client_expires, tls_context_client_expires(s.context));
    end(&s);
}
END_TEST

START_TEST(no_client_certificate_is_needed_when_the_server_asks_for_none)
{
    struct setting s = setting("server");
    s.conf.certificate = s.conf.private_key = NULL;
    s.peer_conf.client_ca = NULL;
    s.peer_conf.tls12 = _i;
    expect_up(&s, _i ? "TLSv1.2" : "TLSv1.3");
}
END_TEST

START_TEST(rsa_and_chains_are_taken)
{
    static const char *const certificates[] = {"server-rsa", "server-chain"};
    for (int tls12 = 0; tls12 < 2; tls12++) {
        struct setting s = setting(certificates[_i]);
        s.peer_conf.tls12 = tls12;
        expect_up(&s, tls12 ? "TLSv1.2" : "TLSv1.3");
    }
}
END_TEST

START_TEST(names_are_compared_without_case_and_final_dot)
{
    static const char *const names[] = {"GW.Example", "gw.example."};
    struct setting s = setting("server");
    s.name = names[_i];
    expect_up(&s, "TLSv1.3");
}
END_TEST

START_TEST(an_address_must_be_in_the_certificate_and_is_no_sni)
{
    static const char *const names[] = {"192.0.2.7", "2001:db8::7"};
    struct setting s = setting("server");
    s.name = names[_i];
    ck_assert_msg(shake(&s) == STREAM_OK, "%s", tls_failure_text(s.pair.tls));
    ck_assert_str_eq(tls_peer_sni(s.pair.peer), "");
    end(&s);
}
END_TEST

START_TEST(one_byte_at_a_time)
{
    struct setting s = setting("server-chain");
    s.peer_conf.tls12 = _i;
    s.context = pair_context(&s.conf);
    s.server = tls_peer_server_new(&s.peer_conf);
    s.pair = pair_open_wired(s.context, s.server, s.name, 1);
    ck_assert_msg(pair_handshake(&s.pair) == STREAM_OK, "%s", tls_failure_text(s.pair.tls));
    ck_assert_uint_gt(wire_moved(&s.pair, WIRE_TO_CLIENT), 1000);
    end(&s);
}
END_TEST

/* ---- the server is refused ---- */

static const struct {
    const char *certificate, *name;
    enum cause cause;
    const char *text;
} refused[] = {
    {"wrong-name", "gw.example", CAUSE_CERTIFICATE_NAME,
     "certificate of gw.example is for \"wrong.example\", expected \"gw.example\""},
    {"server", "mcp.example", CAUSE_CERTIFICATE_NAME,
     "certificate of mcp.example is for \"gw.example\", \"2001:db8::7\", \"192.0.2.7\", expected \"mcp.example\""},
    {"server", "192.0.2.8", CAUSE_CERTIFICATE_NAME,
     "certificate of 192.0.2.8 is for \"gw.example\", \"2001:db8::7\", \"192.0.2.7\", expected \"192.0.2.8\""},
    {"server", "2001:db8::8", CAUSE_CERTIFICATE_NAME,
     "certificate of 2001:db8::8 is for \"gw.example\", \"2001:db8::7\", \"192.0.2.7\", expected \"2001:db8::8\""},
    {"wrong-name", "192.0.2.7", CAUSE_CERTIFICATE_NAME,
     "certificate of 192.0.2.7 is for \"wrong.example\", expected \"192.0.2.7\""},
    {"address-as-name", "192.0.2.7", CAUSE_CERTIFICATE_NAME,
     "certificate of 192.0.2.7 is for \"192.0.2.7\", expected \"192.0.2.7\""},
    {"wrong-issuer", "gw.example", CAUSE_CERTIFICATE_UNTRUSTED,
     "certificate of gw.example is signed by \"Other Lab CA\", which is not trusted"},
    {"wrong-issuer", "192.0.2.7", CAUSE_CERTIFICATE_UNTRUSTED,
     "certificate of 192.0.2.7 is signed by \"Other Lab CA\", which is not trusted"},
    {"self-signed", "gw.example", CAUSE_CERTIFICATE_UNTRUSTED,
     "certificate of gw.example is self-signed and not trusted"},
    {"nameless", "gw.example", CAUSE_CERTIFICATE_UNTRUSTED, "certificate of gw.example is self-signed and not trusted"},
    {"expired", "gw.example", CAUSE_CERTIFICATE_EXPIRED, "certificate of gw.example expired on 2021-01-01"},
    {"not-yet-valid", "gw.example", CAUSE_CERTIFICATE_NOT_YET_VALID,
     "certificate of gw.example is not valid before 2099-01-01"},
    {"wrong-purpose", "gw.example", CAUSE_CERTIFICATE_PURPOSE,
     "certificate of gw.example is not meant for servers (extended key usage)"},
};
#define N_REFUSED ((int)(sizeof refused / sizeof refused[0]))

START_TEST(a_wrong_server_is_refused_and_named)
{
    struct setting s = setting(refused[_i % N_REFUSED].certificate);
    s.name = refused[_i % N_REFUSED].name;
    s.peer_conf.tls12 = _i >= N_REFUSED;
    ck_assert_int_eq(shake(&s), STREAM_FAILED);
    expect(&s, TLS_FAILURE_SERVER_CERT, refused[_i % N_REFUSED].cause, refused[_i % N_REFUSED].text);
}
END_TEST

/* Debian's wolfSSL would trust every certificate of the file as a server's, too. */
START_TEST(a_trusted_file_is_no_list_of_trusted_servers)
{
    struct setting s = setting("wrong-issuer");
    struct error error;
    s.conf.ca_paths[0] = (char *)pki("wrong-issuer.pem");
    ck_assert_int_eq(tls_context_new(&s.conf, &error, &s.context), -EINVAL);
    ck_assert_ptr_nonnull(strstr(error.text, "wrong-issuer.pem: no CA certificate in it"));
}
END_TEST

START_TEST(the_peer_is_named_by_its_address)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct setting s = setting("wrong-name");
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof in4;
    char want[TLS_TEXT_MAX];
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in4, sizeof in4), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in4, &length), 0);
    ck_assert(connect(fd, (struct sockaddr *)&in4, sizeof in4) == 0 || errno == EINPROGRESS);
    s.context = pair_context(&s.conf);
    s.server = tls_peer_server_new(&s.peer_conf);
    s.pair.peer = tls_peer_new(s.server, accept4(listener, NULL, NULL, SOCK_NONBLOCK), NULL);
    s.pair.tls = tls_new(s.context, stream_new_plain(fd), "gw.example", false);
    ck_assert_int_eq(pair_handshake(&s.pair), STREAM_FAILED);
    snprintf(want, sizeof want, "certificate of 127.0.0.1:%u is for \"wrong.example\", expected \"gw.example\"",
             ntohs(in4.sin_port));
    close(listener);
    expect(&s, TLS_FAILURE_SERVER_CERT, CAUSE_CERTIFICATE_NAME, want);
}
END_TEST

/* ---- the server refuses us ---- */

/* In TLS 1.3 the handshake is over before the server has looked at our certificate. */
static void shake_and_read(struct setting *s)
{
    enum stream_status status = shake(s);
    char byte;
    size_t count;
    ck_assert_int_eq(status, s->peer_conf.tls12 ? STREAM_FAILED : STREAM_OK);
    if (status == STREAM_OK)
        status = pair_read(&s->pair, &byte, 1, &count);
    ck_assert_int_eq(status, STREAM_FAILED);
}

static void use_client(struct setting *s, const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s.pem", name);
    s->conf.certificate = (char *)pki(file);
    snprintf(file, sizeof file, "%s.key", name);
    s->conf.private_key = (char *)pki(file);
}

START_TEST(an_alert_about_our_certificate_is_told)
{
    struct setting s = setting("server");
    s.peer_conf.tls12 = _i;
    use_client(&s, "client-wrong-issuer");
    shake_and_read(&s);
    expect(&s, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_REFUSED,
           "server rejected the client certificate (alert 48, unknown ca)");
}
END_TEST

START_TEST(our_own_certificate_is_expired)
{
    struct setting s = setting("server");
    s.peer_conf.tls12 = _i;
    use_client(&s, "client-expired");
    shake_and_read(&s);
    expect(&s, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_EXPIRED,
           "server rejected the client certificate (alert 45, certificate expired); it expired on 2021-01-01");
}
END_TEST

START_TEST(no_certificate_where_one_is_wanted)
{
    struct setting s = setting("server");
    s.peer_conf.tls12 = _i;
    s.conf.certificate = s.conf.private_key = NULL;
    shake_and_read(&s);
    if (_i && tls_failure(s.pair.tls) == TLS_FAILURE_CLOSED) /* wolfSSL 5.5 ends without a word then */
        expect(&s, TLS_FAILURE_CLOSED, CAUSE_CLIENT_CERTIFICATE_SUSPECTED,
               "gw.example closed the connection during the TLS handshake without an alert; it may refuse the client "
               "certificate");
    else
        expect(&s, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_MISSING,
               _i ? "server wants a client certificate, and none is configured (alert 40, handshake failure)"
                  : "server wants a client certificate, and none is configured (alert 116, certificate required)");
}
END_TEST

/* Before we have written: what we send finds no reader, and the alert has to be found all the same. */
START_TEST(a_failed_write_does_not_hide_the_alert)
{
    struct setting s = setting("server");
    char byte = 'x';
    size_t count;
    use_client(&s, "client-wrong-issuer");
    ck_assert_int_eq(shake(&s), STREAM_OK);
    ck_assert_ptr_null(s.pair.peer); /* gone */
    ck_assert_int_eq(stream_write(tls_stream(s.pair.tls), &byte, 1, &count), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(s.pair.tls), TLS_FAILURE_CLIENT_CERT);
    ck_assert_int_eq(pair_read(&s.pair, &byte, 1, &count), STREAM_FAILED);
    expect(&s, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_REFUSED,
           "server rejected the client certificate (alert 48, unknown ca)");
}
END_TEST

START_TEST(a_server_below_the_minimum_version)
{
    struct setting s = setting("server");
    s.peer_conf.tls12 = true;
    s.conf.minimum_version = CONF_TLS_1_3;
    ck_assert_int_eq(shake(&s), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(s.pair.tls), TLS_FAILURE_PROTOCOL);
    ck_assert_int_eq(tls_failure_cause(s.pair.tls), CAUSE_TLS_VERSION);
    ck_assert_msg(strncmp(tls_failure_text(s.pair.tls), "gw.example does not speak TLS 1.3 or later", 42) == 0, "%s",
                  tls_failure_text(s.pair.tls));
    end(&s);
}
END_TEST

START_TEST(no_common_cipher)
{
    struct setting s = setting("server-rsa");
    s.peer_conf.tls12 = true;
    s.peer_conf.suites = "DHE-RSA-AES256-SHA";
    ck_assert_int_eq(shake(&s), STREAM_FAILED);
    expect(&s, TLS_FAILURE_ALERT, CAUSE_TLS_ALERT, "gw.example ended the TLS connection (alert 40, handshake failure)");
}
END_TEST

/* ---- files ---- */

static void expect_load_error(struct conf *conf, int error, enum cause cause, const char *text)
{
    struct error found;
    struct tls_context *context = NULL;
    ck_assert_int_eq(tls_context_new(conf, &found, &context), error);
    ck_assert_int_eq(found.code, error);
    ck_assert_int_eq(found.cause, cause);
    ck_assert_str_eq(found.text, text);
    ck_assert_ptr_null(context);
}

/* "PATH: complaint" */
static const char *about(const char *file, const char *complaint)
{
    static char text[TLS_TEXT_MAX];
    snprintf(text, sizeof text, "%s: %s", pki(file), complaint);
    return text;
}

START_TEST(missing_and_useless_files_are_named)
{
    struct conf conf = pair_conf();
    conf.ca_paths[0] = (char *)pki("none.pem");
    expect_load_error(&conf, -ENOENT, CAUSE_FILE_MISSING, about("none.pem", "No such file or directory"));
    conf.ca_paths[0] = (char *)pki("ca.key");
    expect_load_error(&conf, -EINVAL, CAUSE_FILE_INVALID, about("ca.key", "no CA certificate in it"));
    conf = pair_conf();
    conf.certificate = (char *)pki("client.key");
    expect_load_error(&conf, -EINVAL, CAUSE_FILE_INVALID, about("client.key", "no certificate (PEM) in it"));
    conf = pair_conf();
    conf.private_key = (char *)pki("none.key");
    expect_load_error(&conf, -ENOENT, CAUSE_FILE_MISSING, about("none.key", "No such file or directory"));
    conf.private_key = (char *)pki("client.pem");
    expect_load_error(&conf, -EINVAL, CAUSE_FILE_INVALID, about("client.pem", "no private key (PEM) in it"));
    conf.private_key = (char *)pki("client-encrypted.key");
    expect_load_error(
        &conf, -EINVAL, CAUSE_KEY_ENCRYPTED,
        about("client-encrypted.key", "the private key is encrypted; penstock needs it without a passphrase"));
    conf.private_key = (char *)"/dev/null";
    expect_load_error(&conf, -EINVAL, CAUSE_FILE_INVALID, "/dev/null: no private key (PEM) in it");
}
END_TEST

START_TEST(a_key_of_another_certificate_is_refused)
{
    struct conf conf = pair_conf();
    char text[TLS_TEXT_MAX];
    conf.private_key = (char *)pki("server.key");
    snprintf(text, sizeof text, "%s: does not belong to the certificate in %s", conf.private_key, conf.certificate);
    expect_load_error(&conf, -EINVAL, CAUSE_KEY_MISMATCH, text);
}
END_TEST

START_TEST(an_unreadable_key_says_who_wanted_to_read_it)
{
    struct conf conf = pair_conf();
    char text[TLS_TEXT_MAX];
    ck_assert_int_eq(chmod(pki(""), 0755), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(1), 0);
    else
        ck_assert_int_eq(chmod(conf.private_key, 0), 0);
    snprintf(text, sizeof text, "%s: Permission denied (penstockd reads it as uid %u)", conf.private_key,
             (unsigned)geteuid());
    expect_load_error(&conf, -EACCES, CAUSE_FILE_PERMISSION, text);
    (void)(seteuid(0) == 0);
    ck_assert_int_eq(chmod(conf.private_key, 0600), 0);
}
END_TEST

START_TEST(a_directory_of_cas_and_a_certificate_with_its_key_in_one_file)
{
    struct setting s = setting("server");
    s.conf.ca_paths[0] = (char *)pki("");
    expect_up(&s, "TLSv1.3");
    s = setting("server");
    s.conf.certificate = (char *)pki("server.both.pem");
    s.conf.private_key = NULL;
    s.peer_conf.client_ca = NULL;
    expect_up(&s, "TLSv1.3");
}
END_TEST

START_TEST(the_system_knows_cas_but_not_ours)
{
    struct setting s = setting("server");
    struct error error;
    struct tls_context *context = NULL;
    int result;
    s.conf.system_ca = true;
    s.conf.n_ca_paths = 0;
    result = tls_context_new(&s.conf, &error, &context);
    if (result == -ENOENT) {
        ck_assert_ptr_nonnull(strstr(error.text, "ca-certificates"));
        return; /* none are installed here */
    }
    tls_context_free(context);
    ck_assert_int_eq(shake(&s), STREAM_FAILED);
    expect(&s, TLS_FAILURE_SERVER_CERT, CAUSE_CERTIFICATE_UNTRUSTED,
           "certificate of gw.example is signed by \"Lab CA\", which is not trusted");
}
END_TEST

/* ---- resumption ---- */

START_TEST(the_second_connection_is_resumed_a_test_connection_never)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    struct tls_peer_server *server;
    static const bool resume[] = {true, true, true, false, true}, resumed[] = {false, true, true, false, true};
    peer_conf.tls12 = _i;
    server = tls_peer_server_new(&peer_conf);
    for (size_t i = 0; i < sizeof resume / sizeof resume[0]; i++) {
        struct pair pair = pair_up(context, server, "gw.example", resume[i]);
        ck_assert_msg(tls_resumed(pair.tls) == resumed[i], "connection %zu", i);
        ck_assert(tls_peer_resumed(pair.peer) == resumed[i]);
        pair_close(&pair);
    }
    tls_context_free(context);
    tls_peer_server_free(server);
}
END_TEST

/* As servers do whose ticket is still young: HAProxy with keys of its own for tickets. */
START_TEST(a_ticket_serves_until_there_is_another)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    struct tls_peer_server *server = tls_peer_server_new(&peer_conf);
    for (size_t i = 0; i < 4; i++) {
        struct pair pair = pair_up(context, server, "gw.example", true);
        ck_assert_msg(tls_resumed(pair.tls) == (i > 0), "connection %zu", i);
        pair_close(&pair);
        tls_peer_server_stop_tickets(server);
    }
    tls_context_free(context);
    tls_peer_server_free(server);
}
END_TEST

/* Several handshakes with the same ticket, step by step. */
START_TEST(connections_that_resume_at_once_do_not_share)
{
    enum { N = 4 };
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    struct tls_peer_server *server = tls_peer_server_new(&peer_conf);
    struct pair pairs[N];

    pairs[0] = pair_up(context, server, "gw.example", true);
    pair_close(&pairs[0]);
    for (size_t i = 0; i < N; i++)
        pairs[i] = pair_open(context, server, "gw.example", true);
    for (size_t i = 0; i < N; i++) {
        ck_assert_msg(pair_handshake(&pairs[i]) == STREAM_OK, "%s", tls_failure_text(pairs[i].tls));
        ck_assert(tls_resumed(pairs[i].tls));
        if (i == 1) { /* resumed, and its new ticket not there yet */
            struct pair late = pair_up(context, server, "gw.example", true);
            ck_assert(tls_resumed(late.tls));
            pair_close(&late);
        }
    }
    for (size_t i = 0; i < N; i++)
        pair_close(&pairs[i]);
    tls_context_free(context);
    tls_peer_server_free(server);
}
END_TEST

START_TEST(a_session_is_offered_to_its_own_name_only)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    struct tls_peer_server *server = tls_peer_server_new(&peer_conf);
    struct pair pair = pair_up(context, server, "gw.example", true);
    pair_close(&pair);
    pair = pair_open(context, server, "other.example", true);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_SERVER_CERT);
    pair_close(&pair);
    tls_context_free(context);
    tls_peer_server_free(server);
}
END_TEST

START_TEST(a_server_that_forgot_gets_a_full_handshake)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    for (int i = 0; i < 3; i++) {
        struct tls_peer_server *server = tls_peer_server_new(&peer_conf);
        struct pair pair = pair_up(context, server, "gw.example", true);
        ck_assert(!tls_resumed(pair.tls));
        pair_close(&pair);
        tls_peer_server_free(server);
    }
    tls_context_free(context);
}
END_TEST

START_TEST(a_connection_outlives_its_context)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    struct tls_context *context = pair_context(&conf);
    struct tls_peer_server *server = tls_peer_server_new(&peer_conf);
    struct pair pair = pair_up(context, server, "gw.example", true);
    char buf[4];
    size_t count;
    tls_context_free(context);
    ck_assert_int_eq(tls_peer_write(pair.peer, "more", 4, &count), TLS_PEER_OK);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_OK);
    pair_close(&pair);
    tls_peer_server_free(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls");
    TCase *good = tcase_create("good"), *bad = tcase_create("bad"), *files = tcase_create("files"),
          *resumption = tcase_create("resumption");
    SRunner *runner;
    int failed;
    pki_make();
    tcase_add_loop_test(good, tls_1_3_and_1_2_work_with_a_client_certificate, 0, 2);
    tcase_add_loop_test(good, no_client_certificate_is_needed_when_the_server_asks_for_none, 0, 2);
    tcase_add_loop_test(good, rsa_and_chains_are_taken, 0, 2);
    tcase_add_loop_test(good, names_are_compared_without_case_and_final_dot, 0, 2);
    tcase_add_loop_test(good, an_address_must_be_in_the_certificate_and_is_no_sni, 0, 2);
    tcase_add_loop_test(good, one_byte_at_a_time, 0, 2);
    tcase_add_loop_test(bad, a_wrong_server_is_refused_and_named, 0, 2 * N_REFUSED);
    tcase_add_test(bad, a_trusted_file_is_no_list_of_trusted_servers);
    tcase_add_test(bad, the_peer_is_named_by_its_address);
    tcase_add_loop_test(bad, an_alert_about_our_certificate_is_told, 0, 2);
    tcase_add_loop_test(bad, our_own_certificate_is_expired, 0, 2);
    tcase_add_loop_test(bad, no_certificate_where_one_is_wanted, 0, 2);
    tcase_add_test(bad, a_failed_write_does_not_hide_the_alert);
    tcase_add_test(bad, a_server_below_the_minimum_version);
    tcase_add_test(bad, no_common_cipher);
    tcase_add_test(files, missing_and_useless_files_are_named);
    tcase_add_test(files, a_key_of_another_certificate_is_refused);
    tcase_add_test(files, an_unreadable_key_says_who_wanted_to_read_it);
    tcase_add_test(files, a_directory_of_cas_and_a_certificate_with_its_key_in_one_file);
    tcase_add_test(files, the_system_knows_cas_but_not_ours);
    tcase_add_loop_test(resumption, the_second_connection_is_resumed_a_test_connection_never, 0, 2);
    tcase_add_test(resumption, a_ticket_serves_until_there_is_another);
    tcase_add_test(resumption, connections_that_resume_at_once_do_not_share);
    tcase_add_test(resumption, a_session_is_offered_to_its_own_name_only);
    tcase_add_test(resumption, a_server_that_forgot_gets_a_full_handshake);
    tcase_add_test(resumption, a_connection_outlives_its_context);
    suite_add_tcase(suite, good);
    suite_add_tcase(suite, bad);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, resumption);
    tcase_set_timeout(good, 60);
    tcase_set_timeout(bad, 60);
    tcase_set_timeout(files, 60);
    tcase_set_timeout(resumption, 60);
    runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pki_remove();
    return failed == 0 ? 0 : 1;
}
