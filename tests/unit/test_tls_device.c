/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AES-GCM as wolfSSL computes it, by itself and through the engine: known answers, each against the other, bad tags. */
#include "config.h"

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/random.h>

#include <check.h>
#include <errno.h>
#include <gcrypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "channel/tls/device.h"
#include "under_filter.h"

static struct tls_device *engine;

/* ---- a libgcrypt and a getrandom() that fail on demand: the linker sends device.c's calls here ---- */

enum fault {
    NO_FAULT,
    OPEN_FAILS,
    SETKEY_FAILS,
    RESET_FAILS,
    SETIV_FAILS,
    AUTHENTICATE_FAILS,
    ENCRYPT_FAILS,
    GETTAG_FAILS,
    DECRYPT_FAILS,
    CHECKTAG_FAILS,
    ENCRYPTS_WRONG, /* the last byte */
    TAGS_WRONG,
    DECRYPTS_WRONG,
    TAKES_EVERY_TAG,
    N_FAULTS
};

static enum fault fault;
static int opened, closed, keys_set, seeds;
static bool random_broken;
static const char *processor; /* of the processor; NULL: its own */

gcry_error_t __real_gcry_cipher_open(gcry_cipher_hd_t *handle, int algorithm, int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *handle, int algorithm, int mode, unsigned flags);
void __real_gcry_cipher_close(gcry_cipher_hd_t handle);
void __wrap_gcry_cipher_close(gcry_cipher_hd_t handle);
gcry_error_t __real_gcry_cipher_setkey(gcry_cipher_hd_t handle, const void *key, size_t length);
gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t handle, const void *key, size_t length);
gcry_error_t __real_gcry_cipher_ctl(gcry_cipher_hd_t handle, int command, void *buffer, size_t length);
gcry_error_t __wrap_gcry_cipher_ctl(gcry_cipher_hd_t handle, int command, void *buffer, size_t length);
gcry_error_t __real_gcry_cipher_setiv(gcry_cipher_hd_t handle, const void *nonce, size_t length);
gcry_error_t __wrap_gcry_cipher_setiv(gcry_cipher_hd_t handle, const void *nonce, size_t length);
gcry_error_t __real_gcry_cipher_authenticate(gcry_cipher_hd_t handle, const void *bytes, size_t length);
gcry_error_t __wrap_gcry_cipher_authenticate(gcry_cipher_hd_t handle, const void *bytes, size_t length);
gcry_error_t __real_gcry_cipher_encrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length);
gcry_error_t __wrap_gcry_cipher_encrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length);
gcry_error_t __real_gcry_cipher_decrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length);
gcry_error_t __wrap_gcry_cipher_decrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length);
gcry_error_t __real_gcry_cipher_gettag(gcry_cipher_hd_t handle, void *tag, size_t length);
gcry_error_t __wrap_gcry_cipher_gettag(gcry_cipher_hd_t handle, void *tag, size_t length);
gcry_error_t __real_gcry_cipher_checktag(gcry_cipher_hd_t handle, const void *tag, size_t length);
gcry_error_t __wrap_gcry_cipher_checktag(gcry_cipher_hd_t handle, const void *tag, size_t length);
char *__real_gcry_get_config(int mode, const char *what);
char *__wrap_gcry_get_config(int mode, const char *what);
ssize_t __real_getrandom(void *buf, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags);

char *__wrap_gcry_get_config(int mode, const char *what)
{
    return processor ? gcry_strdup(processor) : __real_gcry_get_config(mode, what);
}

static gcry_error_t failure(enum fault which)
{
    return fault == which ? gcry_error(GPG_ERR_GENERAL) : 0;
}

static void spoil(enum fault which, void *bytes, size_t size)
{
    if (fault == which && size > 0)
        ((unsigned char *)bytes)[size - 1] ^= 1;
}

gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *handle, int algorithm, int mode, unsigned flags)
{
    gcry_error_t error = failure(OPEN_FAILS);
    if (error == 0)
        error = __real_gcry_cipher_open(handle, algorithm, mode, flags);
    opened += error == 0;
    return error;
}

void __wrap_gcry_cipher_close(gcry_cipher_hd_t handle)
{
    closed += handle != 0;
    __real_gcry_cipher_close(handle);
}

gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t handle, const void *key, size_t length)
{
    gcry_error_t error = failure(SETKEY_FAILS);
    keys_set++;
    return error ? error : __real_gcry_cipher_setkey(handle, key, length);
}

gcry_error_t __wrap_gcry_cipher_ctl(gcry_cipher_hd_t handle, int command, void *buffer, size_t length)
{
    gcry_error_t error = failure(RESET_FAILS);
    return error ? error : __real_gcry_cipher_ctl(handle, command, buffer, length);
}

gcry_error_t __wrap_gcry_cipher_setiv(gcry_cipher_hd_t handle, const void *nonce, size_t length)
{
    gcry_error_t error = failure(SETIV_FAILS);
    return error ? error : __real_gcry_cipher_setiv(handle, nonce, length);
}

gcry_error_t __wrap_gcry_cipher_authenticate(gcry_cipher_hd_t handle, const void *bytes, size_t length)
{
    gcry_error_t error = failure(AUTHENTICATE_FAILS);
    return error ? error : __real_gcry_cipher_authenticate(handle, bytes, length);
}

gcry_error_t __wrap_gcry_cipher_encrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length)
{
    gcry_error_t error = failure(ENCRYPT_FAILS);
    if (error == 0)
        error = __real_gcry_cipher_encrypt(handle, out, size, in, length);
    spoil(ENCRYPTS_WRONG, out, size);
    return error;
}

gcry_error_t __wrap_gcry_cipher_decrypt(gcry_cipher_hd_t handle, void *out, size_t size, const void *in, size_t length)
{
    gcry_error_t error = failure(DECRYPT_FAILS);
    if (error == 0)
        error = __real_gcry_cipher_decrypt(handle, out, size, in, length);
    spoil(DECRYPTS_WRONG, out, size);
    return error;
}

gcry_error_t __wrap_gcry_cipher_gettag(gcry_cipher_hd_t handle, void *tag, size_t length)
{
    gcry_error_t error = failure(GETTAG_FAILS);
    if (error == 0)
        error = __real_gcry_cipher_gettag(handle, tag, length);
    spoil(TAGS_WRONG, tag, length);
    return error;
}

gcry_error_t __wrap_gcry_cipher_checktag(gcry_cipher_hd_t handle, const void *tag, size_t length)
{
    gcry_error_t error = failure(CHECKTAG_FAILS);
    if (fault == TAKES_EVERY_TAG)
        return 0;
    return error ? error : __real_gcry_cipher_checktag(handle, tag, length);
}

/* Interrupted, then one byte, then what is asked for; which must be the rest. */
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags)
{
    static unsigned char *rest;
    static size_t left;
    ck_assert_uint_eq(flags, 0); /* waits until there is enough, as early at boot */
    if (random_broken || seeds++ % 3 == 0) {
        errno = random_broken ? ENOSYS : EINTR;
        return -1;
    }
    if (seeds % 3 == 0) {
        ck_assert_ptr_eq(buf, rest);
        ck_assert_uint_eq(size, left);
        return __real_getrandom(buf, size, flags);
    }
    rest = (unsigned char *)buf + 1;
    left = size - 1;
    return __real_getrandom(buf, 1, flags);
}

static void set_up(void)
{
    fault = NO_FAULT;
    random_broken = false;
    processor = NULL;
    ck_assert_int_eq(wolfSSL_Init(), WOLFSSL_SUCCESS);
    engine = tls_device_new();
}

static void tear_down(void)
{
    tls_device_free(engine);
    wolfSSL_Cleanup();
}

static void key_set(Aes *aes, int device, const unsigned char *key, unsigned size)
{
    ck_assert_int_eq(wc_AesInit(aes, NULL, device), 0);
    ck_assert_int_eq(wc_AesGcmSetKey(aes, key, size), 0);
}

/* From the GCM specification (McGrew and Viega), cases 3, 4, 15 and 16: AES-128 and AES-256 with and without AAD. */
static const unsigned char key256[32] = {0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f,
                                         0x94, 0x67, 0x30, 0x83, 0x08, 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65,
                                         0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08};
static const unsigned char iv[12] = {0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88};
static const unsigned char aad[20] = {0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
                                      0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2};
static const unsigned char plain[64] = {0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf,
                                        0xf5, 0x26, 0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c,
                                        0x30, 0x3d, 0x8a, 0x31, 0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09,
                                        0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49, 0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5,
                                        0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39, 0x1a, 0xaf, 0xd2, 0x55};
static const struct {
    unsigned key_size, size, aad_size;
    unsigned char first[4], tag[16];
} cases[] = {
    {16,
     64,
     0,
     {0x42, 0x83, 0x1e, 0xc2},
     {0x4d, 0x5c, 0x2a, 0xf3, 0x27, 0xcd, 0x64, 0xa6, 0x2c, 0xf3, 0x5a, 0xbd, 0x2b, 0xa6, 0xfa, 0xb4}},
    {16,
     60,
     20,
     {0x42, 0x83, 0x1e, 0xc2},
     {0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a, 0x47}},
    {32,
     64,
     0,
     {0x52, 0x2d, 0xc1, 0xf0},
     {0xb0, 0x94, 0xda, 0xc5, 0xd9, 0x34, 0x71, 0xbd, 0xec, 0x1a, 0x50, 0x22, 0x70, 0xe3, 0xcc, 0x6c}},
    {32,
     60,
     20,
     {0x52, 0x2d, 0xc1, 0xf0},
     {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55, 0x1b}},
};

static void known_answer(int device, int i)
{
    unsigned char buf[64], tag[16];
    Aes aes;
    key_set(&aes, device, key256, cases[i].key_size);
    ck_assert_int_eq(
        wc_AesGcmEncrypt(&aes, buf, plain, cases[i].size, iv, sizeof iv, tag, sizeof tag, aad, cases[i].aad_size), 0);
    ck_assert_mem_eq(buf, cases[i].first, 4);
    ck_assert_mem_eq(tag, cases[i].tag, 16);
    ck_assert_int_eq(
        wc_AesGcmDecrypt(&aes, buf, buf, cases[i].size, iv, sizeof iv, tag, sizeof tag, aad, cases[i].aad_size), 0);
    ck_assert_mem_eq(buf, plain, cases[i].size);
    wc_AesFree(&aes);
}

START_TEST(known_answers_with_and_without_the_engine)
{
    known_answer(INVALID_DEVID, _i);
    if (engine)
        known_answer(tls_device_id(engine), _i);
}
END_TEST

/* Without this a broken engine would pass: it tests itself and then is not there. */
START_TEST(a_cpu_with_aes_has_an_engine)
{
    char *features = gcry_get_config(0, "hwflist");
    if (features && strstr(features, ":intel-aesni:") && strstr(features, ":intel-pclmul:"))
        ck_assert_ptr_nonnull(engine);
    gcry_free(features);
}
END_TEST

START_TEST(the_engine_is_really_asked)
{
    unsigned char before[16], after[16], tag[16];
    Aes aes;
    if (!engine)
        return;
    key_set(&aes, tls_device_id(engine), key256, 16);
    ck_assert_int_eq(wc_AesGcmEncrypt(&aes, before, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
    /* Only the engine looks at this copy of the key; and it must notice a new one. */
    ((unsigned char *)aes.devKey)[0] ^= 1;
    ck_assert_int_eq(wc_AesGcmEncrypt(&aes, after, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
    ck_assert_mem_ne(before, after, 16);
    wc_AesFree(&aes);
}
END_TEST

START_TEST(a_wrong_tag_is_refused)
{
    unsigned char buf[64], tag[16];
    Aes aes;
    key_set(&aes, engine ? tls_device_id(engine) : INVALID_DEVID, key256, 32);
    for (unsigned bit = 0; bit < 128; bit++) {
        ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 64, iv, 12, tag, 16, aad, 20), 0);
        tag[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_int_eq(wc_AesGcmDecrypt(&aes, buf, buf, 64, iv, 12, tag, 16, aad, 20), AES_GCM_AUTH_E);
    }
    wc_AesFree(&aes);
}
END_TEST

START_TEST(any_length_and_key_gives_what_wolfssl_gives)
{
    static unsigned char in[16500], own[16500], other[16500];
    unsigned char key[32], own_tag[16], other_tag[16];
    static const unsigned key_sizes[] = {16, 24, 32};
    unsigned seed = 7;
    Aes a, b;
    for (unsigned round = 0; engine && round < 300; round++) {
        unsigned size = round < 100 ? round : (unsigned)rand_r(&seed) % sizeof in;
        unsigned key_size = key_sizes[rand_r(&seed) % 3], aad_size = (unsigned)rand_r(&seed) % 21;
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (unsigned char)rand_r(&seed);
        for (size_t i = 0; i < size; i++)
            in[i] = (unsigned char)rand_r(&seed);
        tls_device_enter(engine, &own[round % 7]);
        key_set(&a, tls_device_id(engine), key, key_size);
        key_set(&b, INVALID_DEVID, key, key_size);
        ck_assert_int_eq(wc_AesGcmEncrypt(&a, own, in, size, iv, 12, own_tag, 16, aad, aad_size), 0);
        ck_assert_int_eq(wc_AesGcmEncrypt(&b, other, in, size, iv, 12, other_tag, 16, aad, aad_size), 0);
        ck_assert_mem_eq(own_tag, other_tag, 16);
        ck_assert(size == 0 || memcmp(own, other, size) == 0);
        ck_assert_int_eq(wc_AesGcmDecrypt(&a, other, other, size, iv, 12, other_tag, 16, aad, aad_size), 0);
        ck_assert(size == 0 || memcmp(in, other, size) == 0);
        tls_device_forget(engine, &own[round % 7]);
        wc_AesFree(&a);
        wc_AesFree(&b);
    }
}
END_TEST

START_TEST(more_keys_than_places)
{
    enum { N = 200 };
    static Aes aes[N];
    static unsigned char first[N][16], tag[16], again[16];
    unsigned char key[16] = {0};

    for (int i = 0; engine && i < N; i++) {
        key[0] = (unsigned char)i;
        key_set(&aes[i], tls_device_id(engine), key, sizeof key);
        tls_device_enter(engine, &aes[i]);
        ck_assert_int_eq(wc_AesGcmEncrypt(&aes[i], first[i], plain, 16, iv, 12, tag, 16, NULL, 0), 0);
    }
    for (int i = 0; engine && i < N; i++) {
        if (i % 3 == 0)
            tls_device_forget(engine, &aes[i]);
        ck_assert_int_eq(wc_AesGcmEncrypt(&aes[i], again, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
        ck_assert_mem_eq(again, first[i], 16);
        wc_AesFree(&aes[i]);
    }
}
END_TEST

START_TEST(several_engines_live_side_by_side)
{
    struct tls_device *engines[10]; /* wolfSSL has eight devices; who gets none does without */
    unsigned char buf[16], tag[16];
    Aes aes;
    for (int i = 0; i < 10; i++)
        engines[i] = tls_device_new();
    for (int i = 0; i < 10; i++) {
        key_set(&aes, engines[i] ? tls_device_id(engines[i]) : INVALID_DEVID, key256, 16);
        ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
        ck_assert_mem_eq(buf, cases[0].first, 4);
        wc_AesFree(&aes);
    }
    for (int i = 0; i < 10; i++)
        for (int j = 0; engines[i] && j < i; j++)
            ck_assert(!engines[j] || tls_device_id(engines[i]) != tls_device_id(engines[j]));
    for (int i = 0; i < 10; i++)
        tls_device_free(engines[i]);
    tls_device_enter(NULL, NULL);
    tls_device_forget(NULL, NULL);
    ck_assert(!engine == !(engines[0] = tls_device_new()));
    tls_device_free(engines[0]);
}
END_TEST

START_TEST(a_processor_without_both_instructions_has_no_engine)
{
    static const struct {
        const char *features;
        bool fast;
    } processors[] = {{"hwflist:intel-aesni:intel-pclmul:", true},
                      {"hwflist:intel-aesni:intel-avx:", false},
                      {"hwflist:intel-pclmul:intel-avx:", false},
                      {"hwflist:arm-neon:arm-aes:arm-pmull:", true},
                      {"hwflist:arm-neon:arm-aes:", false},
                      {"hwflist:arm-pmull:", false},
                      {"hwflist:", false}};
    struct tls_device *another;
    processor = processors[_i].features;
    another = tls_device_new();
    ck_assert(!another == !processors[_i].fast);
    tls_device_free(another);
}
END_TEST

/* It tests itself: whatever libgcrypt does wrong, there is no engine then, and nothing is left open. */
START_TEST(a_libgcrypt_that_is_wrong_is_not_used)
{
    struct tls_device *another;
    if (!engine)
        return;
    fault = _i;
    opened = closed = 0;
    another = tls_device_new();
    ck_assert_int_eq(opened, closed);
    ck_assert_int_eq(opened, _i == OPEN_FAILS ? 0 : 1);
    ck_assert(!another == (_i != NO_FAULT));
    tls_device_free(another);
}
END_TEST

/* Later, too: a record is refused, or wolfSSL does it by itself; it never goes out unencrypted or unchecked. */
START_TEST(a_libgcrypt_that_fails_later_lets_nothing_through)
{
    unsigned char buf[60], tag[16];
    bool cipher_missing = _i == OPEN_FAILS || _i == SETKEY_FAILS, decrypting = _i >= DECRYPT_FAILS;
    Aes aes;
    int result;
    if (!engine)
        return;
    fault = decrypting ? NO_FAULT : _i;
    opened = closed = 0;
    key_set(&aes, tls_device_id(engine), key256, 16);
    result = wc_AesGcmEncrypt(&aes, buf, plain, 60, iv, 12, tag, 16, aad, 20);
    ck_assert_int_eq(result, cipher_missing || decrypting ? 0 : AES_GCM_AUTH_E);
    if (result == 0) {
        ck_assert_mem_eq(tag, cases[1].tag, 16);
        fault = _i;
        result = wc_AesGcmDecrypt(&aes, buf, buf, 60, iv, 12, tag, 16, aad, 20);
        ck_assert_int_eq(result, cipher_missing ? 0 : AES_GCM_AUTH_E);
    }
    ck_assert_int_eq(opened - closed, cipher_missing ? 0 : 1);
    wc_AesFree(&aes);
}
END_TEST

/* A key is set up once for as long as it is used, and gone from memory when its connection is. */
START_TEST(a_key_is_set_up_once_and_given_back)
{
    unsigned char buf[64], tag[16];
    Aes aes;
    int other_owner;
    if (!engine)
        return;
    opened = closed = keys_set = 0;
    key_set(&aes, tls_device_id(engine), key256, 16);
    tls_device_enter(engine, &other_owner);
    for (int i = 0; i < 3; i++) {
        tls_device_enter(engine, &aes);
        ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 64, iv, 12, tag, 16, NULL, 0), 0);
    }
    ck_assert_int_eq(keys_set, 1);
    ck_assert_int_eq(opened - closed, 1);
    tls_device_forget(engine, &other_owner);
    ck_assert_int_eq(opened - closed, 1);
    tls_device_forget(engine, &aes);
    ck_assert_int_eq(opened - closed, 0);
    ck_assert_int_eq(wc_AesGcmSetKey(&aes, key256, 32), 0); /* the same beginning, another length */
    ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 64, iv, 12, tag, 16, NULL, 0), 0);
    ck_assert_mem_eq(tag, cases[2].tag, 16);
    tls_device_free(engine);
    engine = NULL;
    ck_assert_int_eq(opened - closed, 0);
    wc_AesFree(&aes);
}
END_TEST

/* What was entered last owns the key, though another had set it up. */
START_TEST(a_key_belongs_to_who_used_it_last)
{
    unsigned char buf[16], tag[16];
    int first, second;
    Aes aes;
    if (!engine)
        return;
    key_set(&aes, tls_device_id(engine), key256, 16);
    opened = closed = 0;
    tls_device_enter(engine, &first);
    ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
    tls_device_enter(engine, &second);
    ck_assert_int_eq(wc_AesGcmEncrypt(&aes, buf, plain, 16, iv, 12, tag, 16, NULL, 0), 0);
    tls_device_forget(engine, &first);
    ck_assert_int_eq(opened - closed, 1);
    tls_device_forget(engine, &second);
    ck_assert_int_eq(opened - closed, 0);
    wc_AesFree(&aes);
}
END_TEST

START_TEST(the_seed_comes_from_the_kernel_whole)
{
    WC_RNG rng;
    unsigned char bytes[32];
    if (!engine)
        return;
    seeds = 0;
    ck_assert_int_eq(wc_InitRng_ex(&rng, NULL, tls_device_id(engine)), 0);
    ck_assert_int_ge(seeds, 3);
    ck_assert_int_eq(seeds % 3, 0); /* and no more once it is whole */
    ck_assert_int_eq(wc_RNG_GenerateBlock(&rng, bytes, sizeof bytes), 0);
    wc_FreeRng(&rng);
    random_broken = true; /* wolfSSL then looks for itself */
    ck_assert_int_eq(wc_InitRng_ex(&rng, NULL, tls_device_id(engine)), 0);
    wc_FreeRng(&rng);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_device");
    TCase *tcase = tcase_create("tls_device");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, known_answers_with_and_without_the_engine, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(tcase, a_cpu_with_aes_has_an_engine);
    tcase_add_test(tcase, the_engine_is_really_asked);
    tcase_add_test(tcase, a_wrong_tag_is_refused);
    tcase_add_test(tcase, any_length_and_key_gives_what_wolfssl_gives);
    tcase_add_test(tcase, more_keys_than_places);
    tcase_add_test(tcase, several_engines_live_side_by_side);
    tcase_add_loop_test(tcase, a_processor_without_both_instructions_has_no_engine, 0, 7);
    tcase_add_loop_test(tcase, a_libgcrypt_that_is_wrong_is_not_used, NO_FAULT, N_FAULTS);
    tcase_add_loop_test(tcase, a_libgcrypt_that_fails_later_lets_nothing_through, OPEN_FAILS, ENCRYPTS_WRONG);
    tcase_add_test(tcase, a_key_is_set_up_once_and_given_back);
    tcase_add_test(tcase, a_key_belongs_to_who_used_it_last);
    tcase_add_test(tcase, the_seed_comes_from_the_kernel_whole);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
