/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/hostname.h"

#define DATE_MAX 16

/* ---- while the server's certificates are looked at ---- */

static void note_certificate(struct tls *tls, WOLFSSL_X509 *x509, int depth)
{
    if (tls->note || !x509)
        return; /* the first refusal counts */
    tls->note = calloc(1, sizeof *tls->note);
    if (!tls->note)
        return;
    tls->note->depth = depth;
    tls_cert_describe(x509, tls->note);
}

int tls_verify_cb(int verified, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    int depth = store->error_depth;
    bool own = depth == 0;
    bool numeric = tls->numeric.sa.sa_family != AF_UNSPEC;
    WOLFSSL_X509 *x509 = NULL;
    if (verified && !(own && numeric)) {
        tls->server_verified = tls->server_verified || own;
        return 1;
    }
    if (depth >= 0 && depth < store->totalCerts)
        x509 = wolfSSL_X509_d2i(NULL, store->certs[depth].buffer, (int)store->certs[depth].length);
    if (verified && (!x509 || !tls_cert_has_address(x509, &tls->numeric)))
        verified = 0;
    if (verified)
        tls->server_verified = true;
    else
        note_certificate(tls, x509, depth);
    wolfSSL_X509_free(x509);
    return verified;
}

/* ---- words ---- */

__attribute__((format(printf, 4, 5))) static void say(struct tls *tls, enum tls_failure failure, enum cause cause,
                                                      const char *format, ...)
{
    va_list args;
    tls->failure = failure;
    tls->cause = cause;
    tls->text = malloc(TLS_TEXT_MAX);
    if (!tls->text)
        return;
    va_start(args, format);
    vsnprintf(tls->text, TLS_TEXT_MAX, format, args);
    va_end(args);
}

/* "192.0.2.7:8081", or the name where there is no such address. */
static const char *peer_text(const struct tls *tls, char buf[static ADDR_TEXT_MAX])
{
    return tls->peer.sa.sa_family != AF_UNSPEC ? addr_text(&tls->peer, buf) : tls->name;
}

static const char *date_text(int64_t when, char buf[static DATE_MAX])
{
    time_t seconds = (time_t)when;
    struct tm tm;
    if (when == 0 || !gmtime_r(&seconds, &tm) || strftime(buf, DATE_MAX, "%Y-%m-%d", &tm) == 0)
        strcpy(buf, "unknown date");
    return buf;
}

static const char *alert_words(int code)
{
    static const struct {
        int code;
        const char *words;
    } alerts[] = {{0, "close notify"},
                  {10, "unexpected message"},
                  {20, "bad record mac"},
                  {22, "record overflow"},
                  {40, "handshake failure"},
                  {41, "no certificate"},
                  {42, "bad certificate"},
                  {43, "unsupported certificate"},
                  {44, "certificate revoked"},
                  {45, "certificate expired"},
                  {46, "certificate unknown"},
                  {47, "illegal parameter"},
                  {48, "unknown ca"},
                  {49, "access denied"},
                  {50, "decode error"},
                  {51, "decrypt error"},
                  {70, "protocol version"},
                  {71, "insufficient security"},
                  {80, "internal error"},
                  {86, "inappropriate fallback"},
                  {90, "user canceled"},
                  {109, "missing extension"},
                  {110, "unsupported extension"},
                  {112, "unrecognized name"},
                  {113, "bad certificate status response"},
                  {115, "unknown psk identity"},
                  {116, "certificate required"},
                  {120, "no application protocol"}};

    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (alerts[i].code == code)
            return alerts[i].words;
    }
    return "unknown";
}

/* ---- we refuse the server ---- */

static bool is_certificate_error(int error)
{
    switch (error) {
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
    case VERIFY_CERT_ERROR:
    case NO_PEER_CERT:
    case PEER_KEY_ERROR:
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
    case KEYUSE_ENCIPHER_E:
    case ASN_SELF_SIGNED_E:
    case MAX_CHAIN_ERROR:
    case RSA_KEY_SIZE_E:
    case ECC_KEY_SIZE_E:
        return true;
    default:
        /* wolfCrypt numbers the errors of certificates and signatures in one block. */
        return (error <= ASN_PARSE_E && error >= ASN_PATHLEN_SIZE_E) || error == ASN_PATHLEN_INV_E ||
               error == CRL_CERT_REVOKED || error == CRL_CERT_DATE_ERR;
    }
}

static void fail_certificate(struct tls *tls, int error)
{
    const struct tls_cert_note *note = tls->note;
    char peer[ADDR_TEXT_MAX], date[DATE_MAX], whose[ADDR_TEXT_MAX + sizeof note->names + HOSTNAME_SIZE];
    const enum tls_failure kind = TLS_FAILURE_SERVER_CERT;
    const enum cause other = error == CRL_CERT_REVOKED ? CAUSE_CERTIFICATE_REVOKED : CAUSE_CERTIFICATE_INVALID;
    snprintf(whose, sizeof whose, "certificate of %s", peer_text(tls, peer));
    if (note && note->depth > 0)
        snprintf(whose, sizeof whose, "CA certificate %s that %s sent", note->names[0] ? note->names : "without a name",
                 peer_text(tls, peer));
    if (error == NO_PEER_CERT)
        say(tls, kind, CAUSE_CERTIFICATE_MISSING, "%s sent no certificate", peer_text(tls, peer));
    else if (!note)
        say(tls, kind, other, "%s was refused: %s", whose, wolfSSL_ERR_reason_error_string((unsigned long)-error));
    else if (error == DOMAIN_NAME_MISMATCH || error == VERIFY_CERT_ERROR || error == IPADDR_MISMATCH)
        say(tls, kind, CAUSE_CERTIFICATE_NAME, "%s is for %s, expected \"%s\"", whose,
            note->names[0] ? note->names : "no name", tls->name);
    else if (error == ASN_AFTER_DATE_E)
        say(tls, kind, CAUSE_CERTIFICATE_EXPIRED, "%s expired on %s", whose, date_text(note->not_after, date));
    else if (error == ASN_BEFORE_DATE_E)
        say(tls, kind, CAUSE_CERTIFICATE_NOT_YET_VALID, "%s is not valid before %s", whose,
            date_text(note->not_before, date));
    else if ((error == ASN_NO_SIGNER_E || error == ASN_SELF_SIGNED_E) && note->self_signed)
        say(tls, kind, CAUSE_CERTIFICATE_UNTRUSTED, "%s is self-signed and not trusted", whose);
    else if (error == ASN_NO_SIGNER_E || error == ASN_SELF_SIGNED_E)
        say(tls, kind, CAUSE_CERTIFICATE_UNTRUSTED, "%s is signed by %s, which is not trusted", whose,
            note->issuer[0] ? note->issuer : "nobody");
    else if (error == EXTKEYUSE_AUTH_E)
        say(tls, kind, CAUSE_CERTIFICATE_PURPOSE, "%s is not meant for servers (extended key usage)", whose);
    else
        say(tls, kind, other, "%s was refused: %s", whose, wolfSSL_ERR_reason_error_string((unsigned long)-error));
}

/* ---- the server refuses us ---- */

static bool alert_is_about_certificate(const struct tls *tls, int code)
{
    /* 40 before the server has shown its own certificate is about versions and ciphers; afterwards only our certificate
     * is left to dislike, and TLS 1.2 has no better word for a missing one. */
    return (code >= 41 && code <= 46) || code == 48 || code == 49 || code == 116 ||
           (code == 40 && tls->server_verified && !tls->heard);
}

static void fail_alert(struct tls *tls, int code)
{
    int64_t expires = tls->context->client_expires;
    char peer[ADDR_TEXT_MAX], date[DATE_MAX];
    if (code == 70)
        say(tls, TLS_FAILURE_PROTOCOL, CAUSE_TLS_VERSION,
            "%s does not speak TLS 1.%d or later (alert 70, protocol version)", peer_text(tls, peer),
            tls->context->only_tls13 ? 3 : 2);
    else if (!alert_is_about_certificate(tls, code))
        say(tls, TLS_FAILURE_ALERT, CAUSE_TLS_ALERT, "%s ended the TLS connection (alert %d, %s)", peer_text(tls, peer),
            code, alert_words(code));
    else if (!tls->context->has_certificate)
        say(tls, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_MISSING,
            "server wants a client certificate, and none is configured (alert %d, %s)", code, alert_words(code));
    else if (expires != 0 && expires < time(NULL))
        say(tls, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_EXPIRED,
            "server rejected the client certificate (alert %d, %s); it expired on %s", code, alert_words(code),
            date_text(expires, date));
    else
        say(tls, TLS_FAILURE_CLIENT_CERT, CAUSE_CLIENT_CERTIFICATE_REFUSED,
            "server rejected the client certificate (alert %d, %s)", code, alert_words(code));
}

/* ---- the connection ends ---- */

static void fail_closed(struct tls *tls, const char *verb)
{
    char peer[ADDR_TEXT_MAX];
    if (!tls->connected && !tls->server_verified)
        say(tls, TLS_FAILURE_CLOSED, CAUSE_TLS_CLOSED, "%s %s the connection during the TLS handshake",
            peer_text(tls, peer), verb);
    else if (!tls->heard)
        say(tls, TLS_FAILURE_CLOSED, CAUSE_CLIENT_CERTIFICATE_SUSPECTED,
            "%s %s the connection %s without an alert; it may refuse the client certificate", peer_text(tls, peer),
            verb, tls->connected ? "after the handshake" : "during the TLS handshake");
    else
        say(tls, TLS_FAILURE_CLOSED, CAUSE_PROXY_CLOSED, "%s %s the connection %s", peer_text(tls, peer), verb,
            tls->record.have > 0 ? "in the middle of a TLS record" : "without TLS close_notify");
}

static void fail_protocol(struct tls *tls, int error)
{
    const char *what = wolfSSL_ERR_reason_error_string((unsigned long)-error);
    char peer[ADDR_TEXT_MAX];
    peer_text(tls, peer);
    if (error == VERSION_ERROR)
        say(tls, TLS_FAILURE_PROTOCOL, CAUSE_TLS_VERSION, "%s does not speak TLS 1.%d or later", peer_text(tls, peer),
            tls->context->only_tls13 ? 3 : 2);
    else if ((error == UNKNOWN_RECORD_TYPE || error == LENGTH_ERROR) && wolfSSL_get_current_cipher_suite(tls->ssl) == 0)
        say(tls, TLS_FAILURE_PROTOCOL, CAUSE_TLS_NOT_SPOKEN, "%s does not speak TLS", peer_text(tls, peer));
    else if (error == HANDSHAKE_SIZE_ERROR)
        say(tls, TLS_FAILURE_PROTOCOL, CAUSE_TLS_TOO_LARGE,
            "%s sent a message of more than 18 KB in the TLS handshake, which is too large", peer_text(tls, peer));
    else
        say(tls, TLS_FAILURE_PROTOCOL, CAUSE_TLS_FAILED, "TLS with %s failed: %s", peer_text(tls, peer),
            what ? what : "unknown error");
}

void tls_fail(struct tls *tls, int error)
{
    WOLFSSL_ALERT_HISTORY alerts = {0};
    bool fatal = wolfSSL_get_alert_history(tls->ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.level == alert_fatal;
    if (tls->failure != TLS_FAILURE_NONE)
        return;
    if (error == MEMORY_E || error == MEMORY_ERROR)
        say(tls, TLS_FAILURE_MEMORY, CAUSE_NO_RESOURCES, "out of memory");
    else if (tls->note || is_certificate_error(error))
        fail_certificate(tls, error);
    else if (fatal)
        fail_alert(tls, alerts.last_rx.code);
    else if (tls->below_status == STREAM_EOF)
        fail_closed(tls, "closed");
    else if (tls->below_status == STREAM_RESET)
        fail_closed(tls, "reset");
    else if (tls->below_status == STREAM_FAILED)
        say(tls, TLS_FAILURE_CLOSED, tls->connected ? CAUSE_PROXY_CLOSED : CAUSE_TLS_CLOSED, "%s",
            stream_error(tls->stream.below));
    else
        fail_protocol(tls, error);
}

enum cause tls_failure_cause(const struct tls *tls)
{
    return tls->cause;
}

const char *tls_failure_text(const struct tls *tls)
{
    if (tls->failure == TLS_FAILURE_NONE)
        return "no error is known";
    return tls->text ? tls->text : "out of memory";
}
