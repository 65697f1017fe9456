/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conf/value.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "model/addr.h"
#include "model/ascii.h"
#include "model/conf/conf.h"
#include "model/hostname.h"

bool conf_value_bool(const char *text, bool *ret_value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"yes", true}, {"no", false},  {"true", true}, {"false", false},
                 {"on", true},  {"off", false}, {"1", true},    {"0", false}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret_value = words[i].value;
            return true;
        }
    }
    return false;
}

bool conf_value_number(const char *text, uint32_t low, uint32_t high, uint32_t *ret_value)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!ascii_is_digit(*text))
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > high)
            return false;
    }
    if (value < low)
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

/* ---- time spans ---- */

/* Milliseconds in the unit at *text, which moves behind it; 0: not a unit. */
static uint32_t take_unit(const char **text)
{
    static const struct {
        const char *name;
        uint32_t ms;
    } units[] = {{"ms", 1},          {"msec", 1},       {"", 1000},      {"s", 1000},       {"sec", 1000},
                 {"second", 1000},   {"seconds", 1000}, {"m", 60000},    {"min", 60000},    {"minute", 60000},
                 {"minutes", 60000}, {"h", 3600000},    {"hr", 3600000}, {"hour", 3600000}, {"hours", 3600000}};
    size_t length = 0;

    while ((*text)[length] != '\0' && (*text)[length] != ' ' && !ascii_is_digit((*text)[length]))
        length++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == length && strncmp(*text, units[i].name, length) == 0) {
            *text += length;
            return units[i].ms;
        }
    }
    return 0;
}

/* "12" or "12.25" at *text as thousandths, which moves behind it. */
static bool take_decimal(const char **text, uint64_t *ret_thousandths)
{
    uint64_t value = 0, scale = 1000;
    if (!ascii_is_digit(**text))
        return false;
    for (; ascii_is_digit(**text); (*text)++) {
        value = value * 10 + (uint64_t)(**text - '0');
        if (value > UINT32_MAX)
            return false;
    }
    value *= 1000;
    if (**text == '.') {
        (*text)++;
        if (!ascii_is_digit(**text))
            return false;
        for (; ascii_is_digit(**text); (*text)++) {
            scale /= 10;
            if (scale == 0)
                return false;
            value += scale * (uint64_t)(**text - '0');
        }
    }
    *ret_thousandths = value;
    return true;
}

static void skip_spaces(const char **text)
{
    while (**text == ' ')
        (*text)++;
}

bool conf_value_span(const char *text, uint32_t *ret_ms)
{
    uint64_t sum = 0;
    skip_spaces(&text);
    if (*text == '\0')
        return false;
    while (*text != '\0') {
        uint64_t thousandths;
        uint32_t unit;

        if (!take_decimal(&text, &thousandths))
            return false;
        skip_spaces(&text);
        unit = take_unit(&text);
        if (unit == 0)
            return false;
        sum += thousandths * unit / 1000;
        if (sum > UINT32_MAX)
            return false;
        skip_spaces(&text);
    }
    *ret_ms = (uint32_t)sum;
    return true;
}

const char *conf_value_span_text(uint32_t ms, char buf[static CONF_SPAN_TEXT_MAX])
{
    if (ms % 1000 != 0)
        snprintf(buf, CONF_SPAN_TEXT_MAX, "%ums", ms);
    else if (ms == 0 || ms % 60000 != 0)
        snprintf(buf, CONF_SPAN_TEXT_MAX, "%us", ms / 1000);
    else if (ms % 3600000 != 0)
        snprintf(buf, CONF_SPAN_TEXT_MAX, "%umin", ms / 60000);
    else
        snprintf(buf, CONF_SPAN_TEXT_MAX, "%uh", ms / 3600000);
    return buf;
}

/* ---- hosts ---- */

bool conf_value_host(const char *text, size_t length)
{
    char copy[HOSTNAME_SIZE];
    struct addr addr;
    if (length == 0 || length > HOSTNAME_MAX || memchr(text, '\0', length))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return addr_parse(copy, 0, &addr) || (text[length - 1] != '.' && hostname_parse(text, length, copy));
}

/* ":PORT", or nothing; length bytes. */
static bool url_port(const char *text, size_t length, uint16_t *ret_port)
{
    char digits[6];
    uint32_t port = 443;
    if (length > 0) {
        if (text[0] != ':' || length > sizeof digits)
            return false;
        memcpy(digits, text + 1, length - 1);
        digits[length - 1] = '\0';
        if (!conf_value_number(digits, 1, UINT16_MAX, &port))
            return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

bool conf_value_https_url(const char *text, const char **ret_host, size_t *ret_length, uint16_t *ret_port)
{
    static const char scheme[] = "https://";
    const char *host = text + sizeof scheme - 1, *bracket;
    size_t authority, length;
    bool numeric6;
    if (strncasecmp(text, scheme, sizeof scheme - 1) != 0)
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c <= ' ' || *c == 0x7f) /* also what is not ASCII, where char has a sign */
            return false;
    }
    authority = strcspn(host, "/?#");
    numeric6 = host[0] == '[';
    bracket = numeric6 ? memchr(host, ']', authority) : NULL;
    if (numeric6 && !bracket)
        return false;
    length = numeric6 ? (size_t)(bracket - host) + 1 : strcspn(host, ":/?#");
    if (!conf_value_host(host, length) || !url_port(host + length, authority - length, ret_port))
        return false;
    *ret_host = numeric6 ? host + 1 : host;
    *ret_length = numeric6 ? length - 2 : length;
    return true;
}

bool conf_value_target(const char *text, const char **ret_host, size_t *ret_length, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    bool numeric6 = text[0] == '[';
    uint32_t port;
    /* An IPv6 address without brackets would lose its last part to the port. */
    if (!colon || (!numeric6 && memchr(text, ':', length)) || !conf_value_host(text, length) ||
        !conf_value_number(colon + 1, 1, UINT16_MAX, &port))
        return false;
    *ret_host = numeric6 ? text + 1 : text;
    *ret_length = numeric6 ? length - 2 : length;
    *ret_port = (uint16_t)port;
    return true;
}

const char *conf_value_domain_problem(const char *text, char ret_name[static HOSTNAME_SIZE])
{
    struct prefix prefix;
    if (prefix_parse(text, &prefix))
        return "expected a domain; addresses and networks belong to Networks=";
    if (text[0] == '*' || text[0] == '.')
        return "expected a domain without a star or a dot before it; it stands for all that is under it, too";
    for (const char *c = text; *c != '\0'; c++)
        if (*c & 0x80)
            return "an internationalized domain must be written as its A-labels, xn--...";
    return hostname_parse(text, strlen(text), ret_name) ? NULL : "expected a domain, such as example.com";
}

/* ---- users, names alike ---- */

static uid_t local_uid(const char *name)
{
    FILE *stream = fopen("/etc/passwd", "re");
    const struct passwd *entry;
    uid_t uid = CONF_UID_UNKNOWN;
    while (stream && uid == CONF_UID_UNKNOWN && (entry = fgetpwent(stream))) {
        if (strcmp(entry->pw_name, name) == 0)
            uid = entry->pw_uid;
    }
    if (stream)
        fclose(stream);
    return uid;
}

/* Of any directory, "DOMAIN\\name" and "name@domain" too; but no option, no group, no line of a file. */
static bool can_be_user(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length >= CONF_USER_NAME_SIZE - 1 || text[0] == '-' || text[0] == '@')
        return false;
    for (const char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == ':' || *c == '/' || *c == '#' || *c == ';')
            return false;
    }
    return text[strspn(text, "0123456789")] != '\0';
}

bool conf_value_group(const char *text)
{
    uint32_t gid;
    return conf_value_number(text, 0, UINT32_MAX - 1, &gid) || can_be_user(text);
}

bool conf_value_user(const char *text, uid_t *ret_uid)
{
    uint32_t uid;
    if (conf_value_number(text, 0, UINT32_MAX - 1, &uid))
        *ret_uid = uid;
    else if (can_be_user(text))
        *ret_uid = local_uid(text);
    else
        return false;
    return true;
}

#define SIMILAR_LENGTH_MAX 40

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

static unsigned edits(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][SIMILAR_LENGTH_MAX + 1], *before = rows[0], *above = rows[1], *row = rows[2], *spare;
    for (size_t j = 0; j <= m; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        spare = before;
        before = above;
        above = row;
        row = spare;
    }
    return above[m];
}

bool conf_value_similar(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (strcasecmp(a, b) == 0)
        return true;
    /* Of short words nearly every one is two edits away. */
    if (n < 4 || m < 4 || n > SIMILAR_LENGTH_MAX || m > SIMILAR_LENGTH_MAX)
        return false;
    return edits(a, n, b, m) <= 2;
}
