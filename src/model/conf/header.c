/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/header.h"

#include <string.h>
#include <strings.h>

#include "model/ascii.h"

static const char letters[] = HEADER_WHO "Hm%";

static const char *name_problem(const char *header, size_t length)
{
    static const char *const own[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection"};
    if (memchr(header, '%', length))
        return "specifiers are for the value, not for the name of a header";
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strlen(own[i]) == length && strncasecmp(header, own[i], length) == 0)
            return "this header is penstock's own and cannot be set";
    }
    return NULL;
}

const char *header_problem(const char *header)
{
    size_t name = 0;
    while (ascii_is_token(header[name]))
        name++;
    if (name == 0 || header[name] != ':')
        return "expected a header as \"Name: value\"";
    for (const char *c = header; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "control characters are not allowed in a header";
    }
    for (const char *c = header + name; (c = strchr(c, '%')); c += 2) {
        if (c[1] == '\0' || !strchr(letters, c[1]))
            return "expected %u, %U, %n, %H or %m; a percent sign itself is written %%";
    }
    return name_problem(header, name);
}

char header_next(const char **at)
{
    const char *percent = strchr(*at, '%');
    *at = percent ? percent : *at + strlen(*at);
    return percent ? percent[1] : '\0';
}

bool header_has(const char *header, const char *wanted)
{
    char letter;
    for (const char *at = header; (letter = header_next(&at)) != '\0'; at += 2) {
        if (strchr(wanted, letter))
            return true;
    }
    return false;
}

size_t header_count(const char *header)
{
    size_t count = 0;
    char letter;
    for (const char *at = header; (letter = header_next(&at)) != '\0'; at += 2)
        count += letter != '%';
    return count;
}
