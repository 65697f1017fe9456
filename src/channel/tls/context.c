/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/conf/files.h"

/* Forward secrecy and authenticated encryption only. Which of them is fast depends on the engine. */
#define SUITES_AES                                                                                                     \
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"       \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define SUITES_CHACHA "TLS13-CHACHA20-POLY1305-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* Without it wolfSSL takes signatures made with SHA-1. */
#define SIGNATURES                                                                                                     \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ED25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"                     \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* 16 MiB; more connections than that are rarely busy at the same time. */
#define BATCHES_MAX 256

/* ---- the context ---- */

static bool set_up(struct tls_context *context)
{
    int groups[] = {WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1, WOLFSSL_ECC_SECP521R1};
    WOLFSSL_CTX *ctx = context->ctx;
    bool aes = context->engine;
    /* Debian's wolfSSL verifies nobody and speaks TLS 1.1 unless told otherwise. */
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, tls_verify_cb);
    /* Its own cache copies 37 KB per handshake into a table that we never ask. */
    wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_NO_INTERNAL);
    /* A server may want our certificate only once it knows what is asked for (RFC 8446 section 4.6.2): Apache does,
     * with SSLVerifyClient inside <Proxy>. 0: success. */
    return wolfSSL_CTX_allow_post_handshake_auth(ctx) == 0 &&
           wolfSSL_CTX_SetMinVersion(ctx, context->only_tls13 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_cipher_list(ctx, aes ? SUITES_AES ":" SUITES_CHACHA : SUITES_CHACHA ":" SUITES_AES) ==
               WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == WOLFSSL_SUCCESS &&
           wolfSSL_CTX_set_groups(ctx, groups, sizeof groups / sizeof groups[0]) == WOLFSSL_SUCCESS;
}

static void context_destroy(struct tls_context *context)
{
    for (size_t i = 0; i < context->n_remembered; i++) {
        wolfSSL_SESSION_free(context->remembered[i].session);
        free(context->remembered[i].name);
    }
    assert(context->batches_out == 0);
    free(context->spare_batch);
    wolfSSL_CTX_free(context->ctx);
    tls_device_free(context->engine);
    wolfSSL_Cleanup();
    free(context);
}

/* Files that did not come with the configuration are read now. */
static int load_files(struct tls_context *context, const struct conf *conf, struct error *ret_error)
{
    struct conf_files *own = conf->files ? NULL : conf_files_load(conf);
    int result;
    if (!conf->files && !own)
        return error_set(ret_error, -ENOMEM, CAUSE_NO_RESOURCES, "out of memory");
    context->files = conf->files ? conf->files : own;
    result = tls_load_trust(context, conf, ret_error);
    if (result == 0)
        result = tls_load_identity(context, conf, ret_error);
    context->files = NULL;
    conf_files_free(own);
    return result;
}

int tls_context_new(const struct conf *conf, struct error *ret_error, struct tls_context **ret_context)
{
    struct tls_context *context;
    int result;
    if (wolfSSL_Init() != WOLFSSL_SUCCESS)
        return error_set(ret_error, -ENOMEM, CAUSE_NO_RESOURCES, "wolfSSL cannot be initialised");
    context = calloc(1, sizeof *context);
    if (!context) {
        wolfSSL_Cleanup();
        return error_set(ret_error, -ENOMEM, CAUSE_NO_RESOURCES, "out of memory");
    }
    context->users = 1;
    context->only_tls13 = conf->minimum_version == CONF_TLS_1_3;
    context->engine = tls_device_new();
    context->ctx = wolfSSL_CTX_new(wolfTLS_client_method());
    if (!context->ctx || !set_up(context))
        result = error_set(ret_error, -ENOMEM, CAUSE_NO_RESOURCES, "wolfSSL cannot be set up");
    else
        result = load_files(context, conf, ret_error);
    /* Only now: a private key that belongs to a device is not checked against its certificate. */
    if (result == 0 && context->engine &&
        wolfSSL_CTX_SetDevId(context->ctx, tls_device_id(context->engine)) != WOLFSSL_SUCCESS)
        result = error_set(ret_error, -EINVAL, CAUSE_TLS_FAILED, "wolfSSL cannot be set up");
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

/* ---- batches ---- */

unsigned char *tls_context_get_batch(struct tls_context *context)
{
    unsigned char *batch = context->spare_batch;
    if (context->batches_out == BATCHES_MAX)
        return NULL;
    context->spare_batch = NULL;
    if (!batch)
        batch = malloc(TLS_BATCH_SIZE);
    if (batch)
        context->batches_out++;
    return batch;
}

void tls_context_put_batch(struct tls_context *context, unsigned char *batch)
{
    assert(context->batches_out > 0);
    context->batches_out--;
    free(context->spare_batch);
    context->spare_batch = batch;
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

/* A copy: wolfSSL would let all connections that resume it share one session, and each handshake writes its new secret
 * there some time before the ticket that goes with it arrives. Who resumes in between would show a ticket and not know
 * its key. */
void tls_context_recall(struct tls_context *context, const char *name, WOLFSSL *ssl)
{
    struct tls_remembered *remembered = find_remembered(context, name);
    WOLFSSL_SESSION *copy = NULL;
    if (remembered && remembered->session)
        copy = wolfSSL_SESSION_dup(remembered->session);
    /* When wolfSSL does not want it, there will be a full handshake. */
    if (copy)
        (void)wolfSSL_set_session(ssl, copy);
    wolfSSL_SESSION_free(copy);
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
    if (!remembered || remembered->never) {
        wolfSSL_SESSION_free(session);
        return;
    }
    wolfSSL_SESSION_free(remembered->session);
    remembered->session = session;
}

void tls_context_forget(struct tls_context *context, const char *name)
{
    struct tls_remembered *remembered = find_remembered(context, name);
    if (!remembered)
        return;
    wolfSSL_SESSION_free(remembered->session);
    remembered->session = NULL;
}

void tls_context_never_resume(struct tls_context *context, const char *name)
{
    struct tls_remembered *remembered = find_remembered(context, name);
    if (!remembered)
        remembered = make_remembered(context, name);
    if (!remembered)
        return;
    wolfSSL_SESSION_free(remembered->session);
    remembered->session = NULL;
    remembered->never = true;
}
