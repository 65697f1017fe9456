/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <errno.h>
#include <string.h>

#include "model/conf/files.h"

static int complain_of_file(const struct tls_context *context, struct error *ret_error, const char *path, int error)
{
    enum cause cause = error == -ENOENT || error == -ENOTDIR                      ? CAUSE_FILE_MISSING
                       : error == -ENOMEM || error == -EMFILE || error == -ENFILE ? CAUSE_NO_RESOURCES
                                                                                  : CAUSE_FILE_INVALID;
    if (error == -EACCES || error == -EPERM)
        return error_set(ret_error, error, CAUSE_FILE_PERMISSION, "%s: %s (penstockd reads it as uid %u)", path,
                         strerrordesc_np(-error), (unsigned)conf_files_reader(context->files));
    if (error == -EFBIG)
        return error_set(ret_error, error, CAUSE_FILE_INVALID, "%s: larger than %d bytes", path, CONF_FILE_MAX);
    return error_set(ret_error, error, cause, "%s: %s", path, strerrordesc_np(-error));
}

/* As it was read; a file that was not is not there. */
static int find_file(const struct tls_context *context, const char *path, const struct conf_file **ret_file)
{
    const struct conf_file *file = conf_files_find(context->files, path);
    if (!file)
        return -ENOENT;
    *ret_file = file;
    return file->error;
}

/* ---- trust anchors ---- */

/* A CA, or a server that signed itself. wolfSSL would take any certificate for a CA. */
static bool may_be_trusted(WOLFSSL_X509 *x509)
{
    return wolfSSL_X509_get_isCA(x509) ||
           wolfSSL_X509_NAME_cmp(wolfSSL_X509_get_subject_name(x509), wolfSSL_X509_get_issuer_name(x509)) == 0;
}

static bool trust_certificate(WOLFSSL_CTX *ctx, WOLFSSL_X509 *x509)
{
    int length = 0;
    const unsigned char *der = x509 && may_be_trusted(x509) ? wolfSSL_X509_get_der(x509, &length) : NULL;
    bool taken = der && wolfSSL_CTX_load_verify_buffer(ctx, der, length, WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
    wolfSSL_X509_free(x509);
    return taken;
}

static size_t trust_pem(WOLFSSL_CTX *ctx, const struct conf_file *file)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *text = (const char *)file->data, *end = text + file->size;
    size_t n = 0;
    for (const char *at = strstr(text, begin); at; at = strstr(at + 1, begin))
        n += trust_certificate(ctx, wolfSSL_X509_load_certificate_buffer((const unsigned char *)at, (int)(end - at),
                                                                         WOLFSSL_FILETYPE_PEM));
    return n;
}

/* True when there was something to trust in it. PEM, or one certificate as DER. */
static bool trust_file(WOLFSSL_CTX *ctx, const struct conf_file *file)
{
    size_t n = trust_pem(ctx, file);
    if (n == 0 && file->size > 0)
        n = trust_certificate(ctx,
                              wolfSSL_X509_load_certificate_buffer(file->data, (int)file->size, WOLFSSL_FILETYPE_ASN1));
    /* Debian's wolfSSL has also noted them as servers to be trusted whoever signed them. */
    wolfSSL_CTX_Unload_trust_peers(ctx);
    return n > 0;
}

/* Files without a CA are none of our business (README, keys); a directory without any CA is a mistake. */
static bool trust_directory(const struct tls_context *context, const char *path)
{
    const struct conf_file *file;
    size_t n = 0;
    for (size_t at = 0; (file = conf_files_in(context->files, path, &at));)
        n += file->error == 0 && trust_file(context->ctx, file);
    return n > 0;
}

/* 1 when there was something to trust, else 0, or -errno. */
static int try_path(const struct tls_context *context, const char *path)
{
    const struct conf_file *file;
    int result = find_file(context, path, &file);
    if (result == -EISDIR)
        return trust_directory(context, path);
    return result < 0 ? result : trust_file(context->ctx, file);
}

static int trust_path(const struct tls_context *context, const char *path, struct error *ret_error)
{
    int result = try_path(context, path);
    if (result < 0)
        return complain_of_file(context, ret_error, path, result);
    return result > 0 ? 0 : error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no CA certificate in it", path);
}

static int trust_system(const struct tls_context *context, struct error *ret_error)
{
    for (size_t i = 0; conf_system_bundles[i]; i++) {
        if (try_path(context, conf_system_bundles[i]) == 1)
            return 0;
    }
    if (try_path(context, conf_system_directory) == 1)
        return 0;
    return error_set(ret_error, -ENOENT, CAUSE_FILE_MISSING,
                     "TrustedCA=system: no CA certificates in %s (package ca-certificates)", conf_system_directory);
}

int tls_load_trust(const struct tls_context *context, const struct conf *conf, struct error *ret_error)
{
    int result = conf->system_ca ? trust_system(context, ret_error) : 0;
    for (size_t i = 0; i < conf->n_ca_paths && result == 0; i++)
        result = trust_path(context, conf->ca_paths[i], ret_error);
    return result;
}

/* ---- our own certificate ---- */

static int use_certificate(struct tls_context *context, const char *path, struct error *ret_error,
                           WOLFSSL_X509 **ret_x509)
{
    const struct conf_file *file;
    int result = find_file(context, path, &file);
    WOLFSSL_X509 *x509 = NULL;
    if (result < 0)
        return complain_of_file(context, ret_error, path, result);
    if (file->size == 0 ||
        wolfSSL_CTX_use_certificate_chain_buffer(context->ctx, file->data, (long)file->size) != WOLFSSL_SUCCESS)
        result = error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no certificate (PEM) in it", path);
    else /* wolfSSL cannot look into every certificate that it can use (Ed25519) */
        x509 = wolfSSL_X509_load_certificate_buffer(file->data, (int)file->size, WOLFSSL_FILETYPE_PEM);
    context->has_certificate = result == 0;
    context->client_expires = x509 ? tls_cert_expires(x509) : 0;
    *ret_x509 = x509;
    return result;
}

/* Nobody is there to type a passphrase; without this, wolfSSL would ask the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *data)
{
    return 0;
}

static bool key_is_encrypted(const struct conf_file *key)
{
    const char *text = (const char *)key->data;
    return strstr(text, "BEGIN ENCRYPTED PRIVATE KEY") || strstr(text, "Proc-Type: 4,ENCRYPTED");
}

static int use_key(struct tls_context *context, const char *path, struct error *ret_error)
{
    const struct conf_file *file;
    int result = find_file(context, path, &file);
    if (result < 0)
        return complain_of_file(context, ret_error, path, result);
    if (key_is_encrypted(file))
        result = error_set(ret_error, -EINVAL, CAUSE_KEY_ENCRYPTED,
                           "%s: the private key is encrypted; penstock needs it without a passphrase", path);
    else if (file->size == 0 || wolfSSL_CTX_use_PrivateKey_buffer(context->ctx, file->data, (long)file->size,
                                                                  WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        result = error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no private key (PEM) in it", path);
    return result;
}

int tls_load_identity(struct tls_context *context, const struct conf *conf, struct error *ret_error)
{
    WOLFSSL_X509 *x509 = NULL;
    const char *key;
    int result;
    if (!conf->certificate && !conf->private_key)
        return 0;
    if (!conf->certificate)
        return error_set(ret_error, -EINVAL, CAUSE_KEY_MISMATCH, "PrivateKey= is set, but no Certificate=");
    wolfSSL_CTX_set_default_passwd_cb(context->ctx, no_passphrase);
    /* Both in one file is usual, too. */
    key = conf->private_key ? conf->private_key : conf->certificate;
    result = use_certificate(context, conf->certificate, ret_error, &x509);
    if (result < 0)
        return result;
    result = use_key(context, key, ret_error);
    if (result == 0 && (wolfSSL_CTX_check_private_key(context->ctx) != WOLFSSL_SUCCESS ||
                        (x509 && !tls_cert_has_key(x509, wolfSSL_CTX_get0_privatekey(context->ctx)))))
        result = error_set(ret_error, -EINVAL, CAUSE_KEY_MISMATCH, "%s: does not belong to the certificate in %s", key,
                           conf->certificate);
    wolfSSL_X509_free(x509);
    return result;
}
