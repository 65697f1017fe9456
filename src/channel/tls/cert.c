/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <wolfssl/openssl/evp.h>
#include <wolfssl/openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAMES_SHOWN 3

/* ---- dates ---- */

static int64_t seconds_of(const WOLFSSL_ASN1_TIME *when)
{
    struct tm tm;
    if (!when || wolfSSL_ASN1_TIME_to_tm(when, &tm) != WOLFSSL_SUCCESS)
        return 0;
    return timegm(&tm);
}

int64_t tls_cert_expires(WOLFSSL_X509 *x509)
{
    return seconds_of(wolfSSL_X509_get_notAfter(x509));
}

/* ---- names ---- */

/* What a certificate says is written by strangers: bounded, quoted, and nothing that a terminal would obey. */
static void add_quoted(char *buf, size_t size, const char *separator, const void *text, size_t length)
{
    const unsigned char *bytes = text;
    size_t used = strlen(buf);
    size_t need = strlen(separator) + 3;
    if (used + need >= size)
        return;
    used += (size_t)snprintf(buf + used, size - used, "%s\"", separator);
    for (size_t i = 0; i < length && used + 2 < size; i++)
        buf[used++] = bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '"' ? (char)bytes[i] : '?';
    buf[used++] = '"';
    buf[used] = '\0';
}

static void add_address(char *buf, size_t size, const char *separator, const unsigned char *bytes, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    int family = length == 4 ? AF_INET : AF_INET6;
    if ((length == 4 || length == 16) && inet_ntop(family, bytes, text, sizeof text))
        add_quoted(buf, size, separator, text, strlen(text));
}

static void add_name(char *buf, size_t size, const char *separator, const WOLFSSL_GENERAL_NAME *name)
{
    WOLFSSL_ASN1_STRING *string = name->d.dNSName; /* an IP address has the same place and type */
    const unsigned char *data = wolfSSL_ASN1_STRING_data(string);
    int length = wolfSSL_ASN1_STRING_length(string);
    if (!data || length <= 0)
        return;
    if (name->type == GEN_IPADD)
        add_address(buf, size, separator, data, (size_t)length);
    else
        add_quoted(buf, size, separator, data, (size_t)length);
}

/* NULL when there are none. */
static WOLFSSL_GENERAL_NAMES *alternative_names(WOLFSSL_X509 *x509)
{
    return wolfSSL_X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
}

static void add_common_name(char *buf, size_t size, WOLFSSL_X509_NAME *name)
{
    char text[128];
    int length = name ? wolfSSL_X509_NAME_get_text_by_NID(name, NID_commonName, text, sizeof text) : -1;
    if (length > 0)
        add_quoted(buf, size, "", text, strnlen(text, sizeof text));
}

struct names {
    char *buf;
    size_t size;
    int shown, more;
};

static void describe_kind(struct names *out, WOLFSSL_GENERAL_NAMES *names, int kind)
{
    int n = names ? wolfSSL_sk_GENERAL_NAME_num(names) : 0;
    for (int i = 0; i < n; i++) {
        const WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(names, i);
        if (!name || name->type != kind)
            continue;
        if (out->shown < NAMES_SHOWN)
            add_name(out->buf, out->size, out->shown++ ? ", " : "", name);
        else
            out->more++;
    }
}

static void describe_names(WOLFSSL_X509 *x509, char *buf, size_t size)
{
    WOLFSSL_GENERAL_NAMES *names = alternative_names(x509);
    struct names out = {.buf = buf, .size = size};
    describe_kind(&out, names, GEN_DNS);
    describe_kind(&out, names, GEN_IPADD);
    wolfSSL_sk_GENERAL_NAME_pop_free(names, NULL);
    if (out.shown == 0)
        add_common_name(buf, size, wolfSSL_X509_get_subject_name(x509));
    if (out.more > 0 && size - strlen(buf) > sizeof(" and 2147483647 more"))
        snprintf(buf + strlen(buf), size - strlen(buf), " and %d more", out.more);
}

void tls_cert_describe(WOLFSSL_X509 *x509, struct tls_cert_note *ret_note)
{
    WOLFSSL_X509_NAME *subject = wolfSSL_X509_get_subject_name(x509);
    WOLFSSL_X509_NAME *issuer = wolfSSL_X509_get_issuer_name(x509);
    describe_names(x509, ret_note->names, sizeof ret_note->names);
    add_common_name(ret_note->issuer, sizeof ret_note->issuer, issuer);
    if (!ret_note->issuer[0] && issuer) {
        char text[sizeof ret_note->issuer] = ""; /* an empty name leaves it as it is */
        if (wolfSSL_X509_NAME_oneline(issuer, text, sizeof text))
            add_quoted(ret_note->issuer, sizeof ret_note->issuer, "", text, strnlen(text, sizeof text));
    }
    ret_note->self_signed = subject && issuer && wolfSSL_X509_NAME_cmp(subject, issuer) == 0;
    ret_note->not_before = seconds_of(wolfSSL_X509_get_notBefore(x509));
    ret_note->not_after = tls_cert_expires(x509);
}

/* RFC 9525 section 6.4: octet by octet with an iPAddress entry. wolfSSL compares texts, and a DNS entry or the common
 * name would do for it. */
bool tls_cert_has_address(WOLFSSL_X509 *x509, const struct addr *address)
{
    WOLFSSL_GENERAL_NAMES *names = alternative_names(x509);
    int n = names ? wolfSSL_sk_GENERAL_NAME_num(names) : 0;
    bool ipv4 = address->sa.sa_family == AF_INET;
    const void *bytes = ipv4 ? (const void *)&address->in4.sin_addr : (const void *)&address->in6.sin6_addr;
    int length = ipv4 ? 4 : 16;
    bool found = false;
    for (int i = 0; i < n && !found; i++) {
        const WOLFSSL_GENERAL_NAME *name = wolfSSL_sk_GENERAL_NAME_value(names, i);
        if (name && name->type == GEN_IPADD)
            found = wolfSSL_ASN1_STRING_length(name->d.iPAddress) == length &&
                    memcmp(wolfSSL_ASN1_STRING_data(name->d.iPAddress), bytes, (size_t)length) == 0;
    }
    wolfSSL_sk_GENERAL_NAME_pop_free(names, NULL);
    return found;
}

/* ---- keys ---- */

#define SIGNATURE_MAX 1024

static size_t sign(WOLFSSL_EVP_MD_CTX *md, WOLFSSL_EVP_PKEY *key, unsigned char *ret_signature)
{
    size_t length = SIGNATURE_MAX;
    bool ok = wolfSSL_EVP_DigestSignInit(md, NULL, wolfSSL_EVP_sha256(), NULL, key) == WOLFSSL_SUCCESS &&
              wolfSSL_EVP_DigestSignUpdate(md, "penstock", 8) == WOLFSSL_SUCCESS &&
              wolfSSL_EVP_DigestSignFinal(md, ret_signature, &length) == WOLFSSL_SUCCESS;
    return ok ? length : 0;
}

static bool verify(WOLFSSL_EVP_MD_CTX *md, WOLFSSL_EVP_PKEY *key, const unsigned char *signature, size_t length)
{
    return wolfSSL_EVP_DigestVerifyInit(md, NULL, wolfSSL_EVP_sha256(), NULL, key) == WOLFSSL_SUCCESS &&
           wolfSSL_EVP_DigestVerifyUpdate(md, "penstock", 8) == WOLFSSL_SUCCESS &&
           wolfSSL_EVP_DigestVerifyFinal(md, signature, length) == WOLFSSL_SUCCESS;
}

/* wolfSSL's own comparison takes any two keys of one curve for a pair, so one has to verify what the other signed.
 * Kinds of keys that cannot be tried like this (Ed25519) are left to wolfSSL. */
bool tls_cert_has_key(WOLFSSL_X509 *x509, WOLFSSL_EVP_PKEY *key)
{
    WOLFSSL_EVP_MD_CTX *md = wolfSSL_EVP_MD_CTX_new();
    WOLFSSL_EVP_PKEY *public = wolfSSL_X509_get_pubkey(x509);
    unsigned char signature[SIGNATURE_MAX];
    size_t length = md && public && key ? sign(md, key, signature) : 0;
    bool matches = true;
    wolfSSL_EVP_MD_CTX_free(md);
    md = length > 0 ? wolfSSL_EVP_MD_CTX_new() : NULL;
    if (md)
        matches = verify(md, public, signature, length);
    wolfSSL_EVP_MD_CTX_free(md);
    wolfSSL_EVP_PKEY_free(public);
    return matches;
}
