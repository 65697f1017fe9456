/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX      (4 << 20)
#define DIRECTORY_MAX 4096

/* Where distributions keep the bundle of public CAs. */
static const char *const system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                             "/etc/ssl/ca-bundle.pem"};
static const char system_directory[] = "/etc/ssl/certs";

static int complain_of_file(struct error *ret_error, const char *path, int error)
{
    enum cause cause = error == -ENOENT || error == -ENOTDIR                      ? CAUSE_FILE_MISSING
                       : error == -ENOMEM || error == -EMFILE || error == -ENFILE ? CAUSE_NO_RESOURCES
                                                                                  : CAUSE_FILE_INVALID;
    if (error == -EACCES || error == -EPERM)
        return error_set(ret_error, error, CAUSE_FILE_PERMISSION, "%s: %s (penstockd reads it as uid %u)", path,
                         strerrordesc_np(-error), (unsigned)geteuid());
    if (error == -EFBIG)
        return error_set(ret_error, error, CAUSE_FILE_INVALID, "%s: larger than %d bytes", path, FILE_MAX);
    return error_set(ret_error, error, cause, "%s: %s", path, strerrordesc_np(-error));
}

/* ---- files ---- */

struct blob {
    unsigned char *data; /* with a NUL behind it */
    size_t size;
};

static void blob_fini(struct blob *blob)
{
    if (blob->data)
        explicit_bzero(blob->data, blob->size);
    free(blob->data);
}

static int read_all(int fd, size_t size, struct blob *ret_blob)
{
    struct blob blob = {.data = malloc(size + 1)};
    if (!blob.data)
        return -ENOMEM;
    while (blob.size < size) {
        ssize_t count = read(fd, blob.data + blob.size, size - blob.size);
        if (count < 0 && errno != EINTR) {
            int error = -errno;
            blob_fini(&blob);
            return error;
        }
        if (count == 0)
            break;
        blob.size += count > 0 ? (size_t)count : 0;
    }
    blob.data[blob.size] = '\0';
    *ret_blob = blob;
    return 0;
}

static int read_file(const char *path, struct blob *ret_blob)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int result;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        result = -errno;
    else if (S_ISDIR(st.st_mode))
        result = -EISDIR;
    else if (st.st_size > FILE_MAX)
        result = -EFBIG;
    else
        result = read_all(fd, (size_t)st.st_size, ret_blob);
    close(fd);
    return result;
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

static size_t trust_pem(WOLFSSL_CTX *ctx, const struct blob *blob)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *text = (const char *)blob->data, *end = text + blob->size;
    size_t n = 0;
    for (const char *at = strstr(text, begin); at; at = strstr(at + 1, begin))
        n += trust_certificate(ctx, wolfSSL_X509_load_certificate_buffer((const unsigned char *)at, (int)(end - at),
                                                                         WOLFSSL_FILETYPE_PEM));
    return n;
}

/* 1 when there was something to trust in it, else 0, or -errno. PEM, or one certificate as DER. */
static int trust_file(WOLFSSL_CTX *ctx, const char *path)
{
    struct blob blob;
    int result = read_file(path, &blob);
    size_t n;
    if (result < 0)
        return result;
    n = trust_pem(ctx, &blob);
    if (n == 0 && blob.size > 0)
        n = trust_certificate(ctx,
                              wolfSSL_X509_load_certificate_buffer(blob.data, (int)blob.size, WOLFSSL_FILETYPE_ASN1));
    blob_fini(&blob);
    /* Debian's wolfSSL has also noted them as servers to be trusted whoever signed them. */
    wolfSSL_CTX_Unload_trust_peers(ctx);
    return n > 0;
}

/* Files without a CA are none of our business (README, keys); a directory without any CA is a mistake. */
static int trust_directory(WOLFSSL_CTX *ctx, const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t n_trusted = 0;
    if (!dir)
        return -errno;
    for (size_t n = 0; n < DIRECTORY_MAX && (entry = readdir(dir)); n++) {
        char file[4096];
        if (entry->d_name[0] != '.' && (size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < sizeof file)
            n_trusted += trust_file(ctx, file) == 1;
    }
    closedir(dir);
    return n_trusted > 0;
}

static int trust_path(WOLFSSL_CTX *ctx, const char *path, struct error *ret_error)
{
    int result = trust_file(ctx, path);
    if (result == -EISDIR)
        result = trust_directory(ctx, path);
    if (result < 0)
        return complain_of_file(ret_error, path, result);
    return result > 0 ? 0 : error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no CA certificate in it", path);
}

static int trust_system(WOLFSSL_CTX *ctx, struct error *ret_error)
{
    for (size_t i = 0; i < sizeof system_bundles / sizeof system_bundles[0]; i++) {
        if (trust_file(ctx, system_bundles[i]) == 1)
            return 0;
    }
    if (trust_directory(ctx, system_directory) == 1)
        return 0;
    return error_set(ret_error, -ENOENT, CAUSE_FILE_MISSING,
                     "TrustedCA=system: no CA certificates in %s (package ca-certificates)", system_directory);
}

int tls_load_trust(struct tls_context *context, const struct conf *conf, struct error *ret_error)
{
    WOLFSSL_CTX *ctx = context->ctx;
    int result = conf->system_ca ? trust_system(ctx, ret_error) : 0;
    for (size_t i = 0; i < conf->n_ca_paths && result == 0; i++)
        result = trust_path(ctx, conf->ca_paths[i], ret_error);
    return result;
}

/* ---- our own certificate ---- */

static int use_certificate(struct tls_context *context, const char *path, struct error *ret_error,
                           WOLFSSL_X509 **ret_x509)
{
    struct blob blob;
    int result = read_file(path, &blob);
    WOLFSSL_X509 *x509 = NULL;
    if (result < 0)
        return complain_of_file(ret_error, path, result);
    if (blob.size == 0 ||
        wolfSSL_CTX_use_certificate_chain_buffer(context->ctx, blob.data, (long)blob.size) != WOLFSSL_SUCCESS)
        result = error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no certificate (PEM) in it", path);
    else /* wolfSSL cannot look into every certificate that it can use (Ed25519) */
        x509 = wolfSSL_X509_load_certificate_buffer(blob.data, (int)blob.size, WOLFSSL_FILETYPE_PEM);
    blob_fini(&blob);
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

static bool key_is_encrypted(const struct blob *key)
{
    const char *text = (const char *)key->data;
    return strstr(text, "BEGIN ENCRYPTED PRIVATE KEY") || strstr(text, "Proc-Type: 4,ENCRYPTED");
}

static int use_key(struct tls_context *context, const char *path, struct error *ret_error)
{
    struct blob blob;
    int result = read_file(path, &blob);
    if (result < 0)
        return complain_of_file(ret_error, path, result);
    if (key_is_encrypted(&blob))
        result = error_set(ret_error, -EINVAL, CAUSE_KEY_ENCRYPTED,
                           "%s: the private key is encrypted; penstock needs it without a passphrase", path);
    else if (blob.size == 0 || wolfSSL_CTX_use_PrivateKey_buffer(context->ctx, blob.data, (long)blob.size,
                                                                 WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        result = error_set(ret_error, -EINVAL, CAUSE_FILE_INVALID, "%s: no private key (PEM) in it", path);
    blob_fini(&blob);
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
