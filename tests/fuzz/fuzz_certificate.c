/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a certificate, PEM or DER: what is said of it fits, is printable, and names no address that is not in
 * it; and as a file of trusted CAs and of a client's identity: taken, or refused with a sentence. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel/tls/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
    if (strnlen(text, size) == size)
        abort();
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e)
            abort();
    }
}

static void describe(const uint8_t *data, size_t size, int format)
{
    WOLFSSL_X509 *x509 = wolfSSL_X509_load_certificate_buffer(data, (int)size, format);
    struct tls_cert_note note = {0};
    struct addr address;
    if (!x509)
        return;
    tls_cert_describe(x509, &note);
    check_text(note.names, sizeof note.names);
    check_text(note.issuer, sizeof note.issuer);
    if (note.not_after != tls_cert_expires(x509))
        abort();
    if (addr_parse("192.0.2.1", 0, &address))
        (void)tls_cert_has_address(x509, &address);
    if (addr_parse("2001:db8::1", 0, &address))
        (void)tls_cert_has_address(x509, &address);
    wolfSSL_X509_free(x509);
}

static void load(const uint8_t *data, size_t size)
{
    char path[64];
    struct error error = {0};
    struct tls_context *context = NULL;
    struct conf conf = {.minimum_version = CONF_TLS_1_2};
    int fd = memfd_create("certificate", MFD_CLOEXEC), result;
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (size > 0 && data[size - 1] % 2) {
        conf.certificate = conf.private_key = path;
    } else {
        conf.ca_paths[0] = path;
        conf.n_ca_paths = 1;
    }
    result = tls_context_new(&conf, &error, &context);
    if ((result == 0) != !!context || (result < 0 && !error.text[0]) || result != error.code)
        abort();
    tls_context_free(context);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536 || wolfSSL_Init() != WOLFSSL_SUCCESS)
        return 0;
    describe(data, size, WOLFSSL_FILETYPE_ASN1);
    describe(data, size, WOLFSSL_FILETYPE_PEM);
    load(data, size);
    wolfSSL_Cleanup();
    return 0;
}
