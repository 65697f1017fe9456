/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a configuration: it is refused with a complaint that shows no control character, or what is printed of
 * it reads back and prints the same. */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_complaint(const char *text, void *data)
{
    unsigned *count = data;
    (*count)++;
    if (strncmp(text, "fuzz:", 5) != 0)
        abort();
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20)
            abort();
    }
}

static struct conf *read_bytes(const void *data, size_t size)
{
    FILE *stream = fmemopen((void *)data, size, "r");
    struct conf *conf = NULL;
    unsigned complaints = 0;
    int result;
    if (!stream)
        return NULL;
    result = conf_read(stream, "fuzz", check_complaint, &complaints, &conf);
    fclose(stream);
    if ((result == 0) != (complaints == 0) || complaints > 101 || (result == 0) != !!conf)
        abort();
    return conf;
}

static char *print(const struct conf *conf, size_t *ret_size)
{
    char *text;
    FILE *stream = open_memstream(&text, ret_size);
    if (!stream)
        abort();
    conf_print(conf, stream);
    fclose(stream);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf *conf = read_bytes(data, size), *again;
    size_t first_size, second_size;
    char *first, *second;
    if (!conf)
        return 0;
    first = print(conf, &first_size);
    again = read_bytes(first, first_size);
    if (!again)
        abort();
    second = print(again, &second_size);
    /* The names of users are printed as comments, of which the second reading knows nothing. */
    if (conf->n_bypass_users + conf->n_block_users == 0 &&
        (first_size != second_size || memcmp(first, second, first_size) != 0))
        abort();
    free(first);
    free(second);
    conf_free(again);
    conf_free(conf);
    return 0;
}
