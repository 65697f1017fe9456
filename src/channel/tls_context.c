/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls_private.h"

#include <assert.h>
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

/* Forward secrecy and authenticated encryption only. Which of them is fast depends on the engine. */
#define SUITES_AES                                                                                                     \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"       \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_CHACHA "TLS13-CHACHA20-POLY1305-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* Without it wolfSSL takes signatures made with SHA-1. */
#define SIGNATURES                                                                                                     \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ED25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"                     \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* Where distributions keep the bundle of public CAs. */
static const char *const system_bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                             "/etc/ssl/ca-bundle.pem"};
static const char system_directory[] = "/etc/ssl/certs";

__attribute__((format(printf, 3, 4))) static int complain(char *text, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(text, TLS_TEXT_MAX, format, args);
    va_end(args);
    return error;
}

static int complain_of_file(char *text, const char *path, int error)
{
    if (error == -EACCES || error == -EPERM)
        return complain(text, error, "%s: %s (penstockd reads it as uid %u)", path, strerrordesc_np(-error),
                        (unsigned)geteuid());
    if (error == -EFBIG)
        return complain(text, error, "%s: larger than %d bytes", path, FILE_MAX);
    return complain(text, error, "%s: %s", path, strerrordesc_np(-error));
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
        if (entry->d_name[0] != '.' &&
            (size_t)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < sizeof(file))
            n_trusted += trust_file(ctx, file) == 1;
    }
    closedir(dir);
    return n_trusted > 0;
}

static int trust_path(WOLFSSL_CTX *ctx, const char *path, char *ret_error)
{
    int result = trust_file(ctx, path);

    if (result == -EISDIR)
        result = trust_directory(ctx, path);
    if (result < 0)
        return complain_of_file(ret_error, path, result);
    return result > 0 ? 0 : complain(ret_error, -EINVAL, "%s: no CA certificate in it", path);
}

static int trust_system(WOLFSSL_CTX *ctx, char *ret_error)
{
    for (size_t i = 0; i < sizeof(system_bundles) / sizeof(system_bundles[0]); i++) {
        if (trust_file(ctx, system_bundles[i]) == 1)
            return 0;
    }
    if (trust_directory(ctx, system_directory) == 1)
        return 0;
    return complain(ret_error, -ENOENT, "TrustedCA=system: no CA certificates in %s (package ca-certificates)",
                    system_directory);
}

static int load_trust(WOLFSSL_CTX *ctx, const struct conf *conf, char *ret_error)
{
    int result = conf->system_ca ? trust_system(ctx, ret_error) : 0;

    for (size_t i = 0; i < conf->n_ca_paths && result == 0; i++)
        result = trust_path(ctx, conf->ca_paths[i], ret_error);
    return result;
}

/* ---- our own certificate ---- */

static int use_certificate(struct tls_context *context, const char *path, char *ret_error, WOLFSSL_X509 **ret_x509)
{
    struct blob blob;
    int result = read_file(path, &blob);
    WOLFSSL_X509 *x509 = NULL;

    if (result < 0)
        return complain_of_file(ret_error, path, result);
    if (blob.size == 0 ||
        wolfSSL_CTX_use_certificate_chain_buffer(context->ctx, blob.data, (long)blob.size) != WOLFSSL_SUCCESS)
        result = complain(ret_error, -EINVAL, "%s: no certificate (PEM) in it", path);
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
    (void)buf;
    (void)size;
    (void)writing;
    (void)data;
    return 0;
}

static bool key_is_encrypted(const struct blob *key)
{
    const char *text = (const char *)key->data;

    return strstr(text, "BEGIN ENCRYPTED PRIVATE KEY") || strstr(text, "Proc-Type: 4,ENCRYPTED");
}

static int use_key(struct tls_context *context, const char *path, char *ret_error)
{
    struct blob blob;
    int result = read_file(path, &blob);

    if (result < 0)
        return complain_of_file(ret_error, path, result);
    if (key_is_encrypted(&blob))
        result = complain(ret_error, -EINVAL,
                          "%s: the private key is encrypted; penstock needs it without a passphrase", path);
    else if (blob.size == 0 || wolfSSL_CTX_use_PrivateKey_buffer(context->ctx, blob.data, (long)blob.size,
                                                                 WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        result = complain(ret_error, -EINVAL, "%s: no private key (PEM) in it", path);
    blob_fini(&blob);
    return result;
}

static int load_identity(struct tls_context *context, const struct conf *conf, char *ret_error)
{
    WOLFSSL_X509 *x509 = NULL;
    const char *key;
    int result;

    if (!conf->certificate && !conf->private_key)
        return 0;
    if (!conf->certificate)
        return complain(ret_error, -EINVAL, "PrivateKey= is set, but no Certificate=");
    /* Both in one file is usual, too. */
    key = conf->private_key ? conf->private_key : conf->certificate;
    result = use_certificate(context, conf->certificate, ret_error, &x509);
    if (result < 0)
        return result;
    result = use_key(context, key, ret_error);
    if (result == 0 && (wolfSSL_CTX_check_private_key(context->ctx) != WOLFSSL_SUCCESS ||
                        (x509 && !tls_cert_has_key(x509, wolfSSL_CTX_get0_privatekey(context->ctx)))))
        result = complain(ret_error, -EINVAL, "%s: does not belong to the certificate in %s", key, conf->certificate);
    wolfSSL_X509_free(x509);
    return result;
}

/* ---- the context ---- */

static bool set_up(struct tls_context *context)
{
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1, WOLFSSL_ECC_SECP521R1};
    WOLFSSL_CTX *ctx = context->ctx;
    bool aes = context->engine != NULL;

    /* Debian's wolfSSL verifies nobody and speaks TLS 1.1 unless told otherwise. */
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, tls_verify_cb);
    wolfSSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    /* Its own cache copies 37 KB per handshake into a table that we never ask. */
    wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_NO_INTERNAL);
    return wolfSSL_CTX_SetMinVersion(ctx, context->only_tls13 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(ctx, aes ? SUITES_AES ":" SUITES_CHACHA : SUITES_CHACHA ":" SUITES_AES) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(ctx, groups, sizeof(groups) / sizeof(groups[0])) == WOLFSSL_SUCCESS;
}

static void context_destroy(struct tls_context *context)
{
    for (size_t i = 0; i < context->n_remembered; i++) {
        wolfSSL_SESSION_free(context->remembered[i].session);
        free(context->remembered[i].name);
    }
    wolfSSL_CTX_free(context->ctx);
    tls_engine_free(context->engine);
    wolfSSL_Cleanup();
    free(context);
}

int tls_context_new(const struct conf *conf, char ret_error[static TLS_TEXT_MAX], struct tls_context **ret_context)
{
    struct tls_context *context;
    int result;

    if (wolfSSL_Init() != WOLFSSL_SUCCESS)
        return complain(ret_error, -ENOMEM, "wolfSSL cannot be initialised");
    context = calloc(1, sizeof(*context));
    if (!context) {
        wolfSSL_Cleanup();
        return complain(ret_error, -ENOMEM, "out of memory");
    }
    context->users = 1;
    context->only_tls13 = conf->minimum_version == CONF_TLS_1_3;
    context->engine = tls_engine_new();
    context->ctx = wolfSSL_CTX_new(wolfTLS_client_method());
    if (!context->ctx || !set_up(context))
        result = complain(ret_error, -ENOMEM, "wolfSSL cannot be set up");
    else
        result = load_trust(context->ctx, conf, ret_error);
    if (result == 0)
        result = load_identity(context, conf, ret_error);
    /* Only now: a private key that belongs to a device is not checked against its certificate. */
    if (result == 0 && context->engine &&
        wolfSSL_CTX_SetDevId(context->ctx, tls_engine_device(context->engine)) != WOLFSSL_SUCCESS)
        result = complain(ret_error, -EINVAL, "wolfSSL cannot be set up");
    if (result < 0) {
        context_destroy(context);
        return result;
    }
    *ret_context = context;
    return 0;
}

struct tls_context *tls_context_use(struct tls_context *context)
{
    context->users++;
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (!context)
        return;
    assert(context->users > 0);
    if (--context->users == 0)
        context_destroy(context);
}

int64_t tls_context_client_expires(const struct tls_context *context)
{
    return context->client_expires;
}

/* ---- remembered sessions ---- */

static struct tls_remembered *find_remembered(struct tls_context *context, const char *name)
{
    for (size_t i = 0; i < context->n_remembered; i++) {
        if (strcasecmp(context->remembered[i].name, name) == 0)
            return &context->remembered[i];
    }
    return NULL;
}

/* A free place, or the oldest one's. NULL: no memory. */
static struct tls_remembered *make_remembered(struct tls_context *context, const char *name)
{
    struct tls_remembered *place = &context->remembered[context->next_remembered];
    char *copy = strdup(name);

    if (!copy)
        return NULL;
    wolfSSL_SESSION_free(place->session);
    free(place->name);
    *place = (struct tls_remembered){.name = copy};
    context->next_remembered = (context->next_remembered + 1) % TLS_REMEMBERED_MAX;
    if (context->n_remembered < TLS_REMEMBERED_MAX)
        context->n_remembered++;
    return place;
}

void tls_context_recall(struct tls_context *context, const char *name, WOLFSSL *ssl)
{
    struct tls_remembered *remembered = find_remembered(context, name);

    /* When wolfSSL does not want it, there will be a full handshake. */
    if (remembered && remembered->session)
        (void)wolfSSL_set_session(ssl, remembered->session);
}

void tls_context_remember(struct tls_context *context, const char *name, WOLFSSL *ssl)
{
    struct tls_remembered *remembered;
    WOLFSSL_SESSION *session = wolfSSL_get1_session(ssl);

    if (!session || !wolfSSL_SESSION_is_resumable(session)) {
        wolfSSL_SESSION_free(session);
        return;
    }
    remembered = find_remembered(context, name);
    if (!remembered)
        remembered = make_remembered(context, name);
    if (!remembered) {
        wolfSSL_SESSION_free(session);
        return;
    }
    wolfSSL_SESSION_free(remembered->session);
    remembered->session = session;
}
