/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of several connections, in any order, through the device and through wolfSSL's own code: the same bytes, the
 * same tags, the same refusals; also where a place in the device's table has another's key, or has been forgotten. */
#include "config.h"

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel/tls/device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNECTIONS 6
#define RECORD_MAX  20000

struct input {
    const uint8_t *data;
    size_t left;
};

struct connection {
    Aes device, own; /* the same key in both */
    bool keyed;
};

static struct tls_device *engine;

static unsigned take(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

static void take_bytes(struct input *input, unsigned char *buf, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf[i] = (unsigned char)(take(input) + i * 7);
}

static void new_key(struct connection *connection, struct input *input)
{
    static const unsigned sizes[] = {16, 32, 24, 16};
    unsigned char key[32];
    unsigned size = sizes[take(input) % 4];
    take_bytes(input, key, 4); /* keys that differ late as well as early */
    memset(key + 4, (int)take(input), sizeof key - 4);
    if (!connection->keyed && (wc_AesInit(&connection->device, NULL, tls_device_id(engine)) != 0 ||
                               wc_AesInit(&connection->own, NULL, INVALID_DEVID) != 0))
        abort();
    connection->keyed = true;
    if (wc_AesGcmSetKey(&connection->device, key, size) != 0 || wc_AesGcmSetKey(&connection->own, key, size) != 0)
        abort();
}

/* One record: encrypted by both, then perhaps damaged, then decrypted by both. */
static void record(struct connection *connection, struct input *input)
{
    static unsigned char plain[RECORD_MAX], ours[RECORD_MAX], theirs[RECORD_MAX];
    unsigned char iv[12], aad[20], our_tag[16], their_tag[16];
    unsigned size = (take(input) << 8 | take(input)) % RECORD_MAX, aad_size = take(input) % (sizeof aad + 1);
    unsigned damage = take(input), where = take(input), in_place = take(input) & 1;
    int mine, its;
    take_bytes(input, iv, sizeof iv);
    take_bytes(input, aad, sizeof aad);
    memset(plain, (int)take(input), size);
    memcpy(ours, plain, size);
    if (wc_AesGcmEncrypt(&connection->device, ours, in_place ? ours : plain, size, iv, 12, our_tag, 16, aad,
                         aad_size) != 0 ||
        wc_AesGcmEncrypt(&connection->own, theirs, plain, size, iv, 12, their_tag, 16, aad, aad_size) != 0)
        abort();
    if (memcmp(ours, theirs, size) != 0 || memcmp(our_tag, their_tag, 16) != 0)
        abort();
    if (damage % 4 == 1)
        our_tag[where % 16] ^= (unsigned char)(1 + damage / 4);
    if (damage % 4 == 2 && size > 0)
        ours[where * size / 256] ^= (unsigned char)(1 + damage / 4);
    if (damage % 4 == 3 && aad_size > 0)
        aad[where % aad_size] ^= (unsigned char)(1 + damage / 4);
    memcpy(theirs, ours, size);
    mine = wc_AesGcmDecrypt(&connection->device, ours, ours, size, iv, 12, our_tag, 16, aad, aad_size);
    its = wc_AesGcmDecrypt(&connection->own, theirs, theirs, size, iv, 12, our_tag, 16, aad, aad_size);
    if (mine != its || (mine == 0 && memcmp(ours, plain, size) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct connection connections[CONNECTIONS] = {0};
    struct input input = {.data = data, .left = size};
    if (!engine && wolfSSL_Init() == WOLFSSL_SUCCESS)
        engine = tls_device_new();
    if (!engine)
        return 0; /* no AES in this processor: there is nothing to compare */
    while (input.left > 0) {
        unsigned what = take(&input);
        struct connection *connection = &connections[what / 8 % CONNECTIONS];
        tls_device_enter(engine, connection);
        if (!connection->keyed || what % 8 == 0)
            new_key(connection, &input);
        else if (what % 8 == 1)
            tls_device_forget(engine, connection);
        else
            record(connection, &input);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        tls_device_forget(engine, &connections[i]);
        if (connections[i].keyed) {
            wc_AesFree(&connections[i].device);
            wc_AesFree(&connections[i].own);
        }
    }
    return 0;
}
