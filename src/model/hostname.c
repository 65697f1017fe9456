/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/hostname.h"

#include <string.h>

#include "model/ascii.h"

#define LABEL_MAX 63

static bool is_hex(char c)
{
    return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* In lower case. */
static bool is_number(const char *label, size_t length)
{
    const bool hex = length >= 2 && label[0] == '0' && label[1] == 'x';
    for (size_t i = hex ? 2 : 0; i < length; i++) {
        if (hex ? !is_hex(label[i]) : !ascii_is_digit(label[i]))
            return false;
    }
    return true;
}

bool hostname_parse(const char *text, size_t length, char ret_name[static HOSTNAME_SIZE])
{
    char name[HOSTNAME_SIZE];
    size_t label = 0; /* where it begins */
    if (length > 0 && text[length - 1] == '.')
        length--;
    if (length == 0 || length > HOSTNAME_MAX || text[0] == '-')
        return false;
    for (size_t i = 0; i < length; i++) {
        name[i] = ascii_lower(text[i]);
        if (name[i] == '.' && i > label)
            label = i + 1;
        else if ((!ascii_is_alnum(name[i]) && name[i] != '-' && name[i] != '_') || i - label >= LABEL_MAX)
            return false;
    }
    if (label == length || is_number(name + label, length - label))
        return false;
    memcpy(ret_name, name, length);
    ret_name[length] = '\0';
    return true;
}
