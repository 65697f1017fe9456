/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "channel/tls/device.h"

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/cryptocb.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <assert.h>
#include <errno.h>
#include <gcrypt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define KEY_MAX 32
/* Handles cost 2 KB each; making one costs a fifth of a record's time. So a few for whoever is busy, none for who is
 * idle. */
#define SLOTS   64

struct slot {
    gcry_cipher_hd_t cipher; /* NULL: free */
    const void *owner;
    const Aes *aes; /* wolfSSL's object of one direction of one connection; may be reused or get a new key */
    size_t key_length;
    unsigned char key[KEY_MAX];
};

struct tls_device {
    int device;
    const void *owner;
    struct slot slots[SLOTS];
};

/* One record, or one test vector. */
struct gcm {
    const unsigned char *iv, *aad, *in;
    size_t iv_length, aad_length, length;
    unsigned char *out;
};

static void slot_clear(struct slot *slot)
{
    gcry_cipher_close(slot->cipher); /* wipes the key schedule; takes NULL */
    explicit_bzero(slot, sizeof *slot);
}

static struct slot *slot_of(struct tls_device *engine, const Aes *aes)
{
    uintptr_t bits = (uintptr_t)aes >> 4;
    return &engine->slots[(bits ^ bits >> 6 ^ bits >> 12) % SLOTS];
}

static gcry_cipher_hd_t open_cipher(const void *key, size_t length)
{
    int algorithm = length == 16 ? GCRY_CIPHER_AES128 : GCRY_CIPHER_AES256;
    gcry_cipher_hd_t cipher;
    if (length != 16 && length != 32)
        return NULL;
    if (gcry_cipher_open(&cipher, algorithm, GCRY_CIPHER_MODE_GCM, 0) != 0)
        return NULL;
    if (gcry_cipher_setkey(cipher, key, length) != 0) {
        gcry_cipher_close(cipher);
        return NULL;
    }
    return cipher;
}

/* The cipher with the key of aes, or NULL: then wolfSSL has to do it. */
static gcry_cipher_hd_t cipher_of(struct tls_device *engine, const Aes *aes)
{
    struct slot *slot = slot_of(engine, aes);
    size_t length = (size_t)aes->keylen;
    if (length > KEY_MAX)
        return NULL;
    if (slot->cipher && slot->aes == aes && slot->key_length == length && memcmp(slot->key, aes->devKey, length) == 0) {
        slot->owner = engine->owner;
        return slot->cipher;
    }
    slot_clear(slot);
    slot->cipher = open_cipher(aes->devKey, length);
    if (!slot->cipher)
        return NULL;
    slot->owner = engine->owner;
    slot->aes = aes;
    slot->key_length = length;
    memcpy(slot->key, aes->devKey, length);
    return slot->cipher;
}

static bool gcm_begin(gcry_cipher_hd_t cipher, const struct gcm *gcm)
{
    return gcry_cipher_reset(cipher) == 0 && gcry_cipher_setiv(cipher, gcm->iv, gcm->iv_length) == 0 &&
           (gcm->aad_length == 0 || gcry_cipher_authenticate(cipher, gcm->aad, gcm->aad_length) == 0);
}

/* libgcrypt takes in == NULL as "in place". */
static const unsigned char *gcm_source(const struct gcm *gcm)
{
    return gcm->in == gcm->out ? NULL : gcm->in;
}

static int gcm_encrypt(gcry_cipher_hd_t cipher, const struct gcm *gcm, unsigned char *tag, size_t tag_length)
{
    const unsigned char *in = gcm_source(gcm);
    if (!gcm_begin(cipher, gcm) || gcry_cipher_encrypt(cipher, gcm->out, gcm->length, in, in ? gcm->length : 0) != 0 ||
        gcry_cipher_gettag(cipher, tag, tag_length) != 0)
        return AES_GCM_AUTH_E; /* half done, perhaps in place: wolfSSL must not try again */
    return 0;
}

static int gcm_decrypt(gcry_cipher_hd_t cipher, const struct gcm *gcm, const unsigned char *tag, size_t tag_length)
{
    const unsigned char *in = gcm_source(gcm);
    if (!gcm_begin(cipher, gcm) || gcry_cipher_decrypt(cipher, gcm->out, gcm->length, in, in ? gcm->length : 0) != 0 ||
        gcry_cipher_checktag(cipher, tag, tag_length) != 0)
        return AES_GCM_AUTH_E;
    return 0;
}

static int do_cipher(struct tls_device *engine, wc_CryptoInfo *info)
{
    gcry_cipher_hd_t cipher;
    if (info->cipher.type != WC_CIPHER_AES_GCM)
        return CRYPTOCB_UNAVAILABLE;
    if (info->cipher.enc) {
        struct gcm gcm = {.iv = info->cipher.aesgcm_enc.iv,
                          .iv_length = info->cipher.aesgcm_enc.ivSz,
                          .aad = info->cipher.aesgcm_enc.authIn,
                          .aad_length = info->cipher.aesgcm_enc.authInSz,
                          .in = info->cipher.aesgcm_enc.in,
                          .out = info->cipher.aesgcm_enc.out,
                          .length = info->cipher.aesgcm_enc.sz};
        cipher = cipher_of(engine, info->cipher.aesgcm_enc.aes);
        return cipher ? gcm_encrypt(cipher, &gcm, info->cipher.aesgcm_enc.authTag, info->cipher.aesgcm_enc.authTagSz)
                      : CRYPTOCB_UNAVAILABLE;
    }
    struct gcm gcm = {.iv = info->cipher.aesgcm_dec.iv,
                      .iv_length = info->cipher.aesgcm_dec.ivSz,
                      .aad = info->cipher.aesgcm_dec.authIn,
                      .aad_length = info->cipher.aesgcm_dec.authInSz,
                      .in = info->cipher.aesgcm_dec.in,
                      .out = info->cipher.aesgcm_dec.out,
                      .length = info->cipher.aesgcm_dec.sz};

    cipher = cipher_of(engine, info->cipher.aesgcm_dec.aes);
    return cipher ? gcm_decrypt(cipher, &gcm, info->cipher.aesgcm_dec.authTag, info->cipher.aesgcm_dec.authTagSz)
                  : CRYPTOCB_UNAVAILABLE;
}

/* wolfSSL would open /dev/urandom for every connection; this needs neither the file nor a descriptor. */
static int do_seed(unsigned char *seed, size_t size)
{
    while (size > 0) {
        ssize_t count = getrandom(seed, size, 0);
        if (count < 0 && errno != EINTR)
            return CRYPTOCB_UNAVAILABLE;
        if (count > 0) {
            seed += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

static int engine_cb(int device, wc_CryptoInfo *info, void *data)
{
    if (info->algo_type == WC_ALGO_TYPE_CIPHER)
        return do_cipher(data, info);
    if (info->algo_type == WC_ALGO_TYPE_SEED)
        return do_seed(info->seed.seed, info->seed.sz);
    return CRYPTOCB_UNAVAILABLE;
}

/* Test case 4 of the GCM specification, whole and with a wrong tag; also warms libgcrypt up. */
static bool self_test(void)
{
    static const unsigned char key[16] = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c,
                                          0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
    static const unsigned char iv[12] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
    static const unsigned char aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                          0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
    static const unsigned char plain[60] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5,
                                            0xaf, 0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda,
                                            0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95,
                                            0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25,
                                            0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39};
    static const unsigned char want[16] = {0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb,
                                           0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47};
    unsigned char buf[sizeof plain], other[sizeof plain], tag[16];
    struct gcm gcm = {.iv = iv, .iv_length = sizeof iv, .aad = aad, .aad_length = sizeof aad};
    gcry_cipher_hd_t cipher = open_cipher(key, sizeof key);
    bool ok = cipher;
    gcm.in = plain;
    gcm.out = buf;
    gcm.length = sizeof plain;
    ok = ok && gcm_encrypt(cipher, &gcm, tag, sizeof tag) == 0 && memcmp(tag, want, sizeof tag) == 0;
    gcm.in = buf;
    gcm.out = other;
    tag[0] ^= 1;
    ok = ok && gcm_decrypt(cipher, &gcm, tag, sizeof tag) == AES_GCM_AUTH_E;
    tag[0] ^= 1;
    gcm.out = buf; /* in place, as wolfSSL does */
    ok = ok && gcm_decrypt(cipher, &gcm, tag, sizeof tag) == 0 && memcmp(buf, plain, sizeof plain) == 0;
    gcry_cipher_close(cipher);
    return ok;
}

static void init_gcrypt(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return;
    gcry_check_version(NULL);
    /* Locked pages are few, and wolfSSL's own copies of the keys are not in them. */
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

/* Without AES instructions libgcrypt's AES is no faster, and ChaCha20 the better choice. */
static bool cpu_has_aes(void)
{
    char *features = gcry_get_config(0, "hwflist"); /* ":name:name:" */
    bool x86 = features && strstr(features, ":intel-aesni:") && strstr(features, ":intel-pclmul:");
    bool arm = features && strstr(features, ":arm-aes:") && strstr(features, ":arm-pmull:");
    gcry_free(features);
    return x86 || arm;
}

struct tls_device *tls_device_new(void)
{
    struct tls_device *engine;
    init_gcrypt();
    if (!cpu_has_aes() || !self_test())
        return NULL;
    engine = calloc(1, sizeof *engine);
    if (!engine)
        return NULL;
    /* wolfSSL wants a number of its own for each device (its table has eight): the place in memory is one. */
    engine->device = (int)(0x40000000 | ((uintptr_t)engine >> 4 & 0x3fffffff));
    if (wc_CryptoCb_RegisterDevice(engine->device, engine_cb, engine) != 0) {
        free(engine);
        return NULL;
    }
    return engine;
}

void tls_device_free(struct tls_device *engine)
{
    if (!engine)
        return;
    wc_CryptoCb_UnRegisterDevice(engine->device);
    for (size_t i = 0; i < SLOTS; i++)
        slot_clear(&engine->slots[i]);
    free(engine);
}

int tls_device_id(const struct tls_device *engine)
{
    return engine->device;
}

void tls_device_enter(struct tls_device *engine, const void *owner)
{
    if (engine)
        engine->owner = owner;
}

void tls_device_forget(struct tls_device *engine, const void *owner)
{
    for (size_t i = 0; engine && i < SLOTS; i++) {
        if (engine->slots[i].cipher && engine->slots[i].owner == owner)
            slot_clear(&engine->slots[i]);
    }
}
