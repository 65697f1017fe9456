/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "relay/session/sniff.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The name is safe to put into a request, whatever comes; and more bytes never undo a decision. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sniff sniff, half;
    enum sniff_result whole = sniff_bytes(data, size, &sniff);
    size_t length = strlen(sniff.name);
    if (length > 253 || strspn(sniff.name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != length)
        abort();
    if (sniff_bytes(data, size / 2, &half) == SNIFF_DONE && whole != SNIFF_DONE)
        abort();
    return 0;
}
