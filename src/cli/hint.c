/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "cli/hint.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define AUTH    "Mutual Auth Failed"
#define PORT    "Secure channel port not available"
#define NOPROXY "No proxy available"

/* In this order: the first one whose reason is equal and whose word occurs in the detail (NULL: any detail; with '^':
 * at its start). */
static const struct {
    const char *reason, *word, *hint;
} hints[] = {
    {AUTH, "proxy answered 407",
     "The proxy asks for authentication. Header= in [Proxy] can carry it: Header=Proxy-Authorization: Basic ..."},
    {AUTH, "AuthURL",
     "The channel to the proxy is up; the address in AuthURL= of [SecureChannel] cannot be reached or verified through "
     "it. Correct AuthURL=, or ask the proxy's administrator whether it is allowed; empty means no such test."},
    {AUTH, "^/",
     "Look at the file that is named above: it must exist, be readable for penstock's user and hold what its setting "
     "in [SecureChannel] says."},
    {AUTH, "expired on",
     "Renew the certificate that is named above; if its dates look right, this host's clock is wrong (timedatectl)."},
    {AUTH, "not valid before", "Compare this host's clock (timedatectl) with the dates of the certificate."},
    {AUTH, "client certificate",
     "The proxy does not accept this host's certificate. Look at Certificate= and PrivateKey= in [SecureChannel], and "
     "ask the proxy's administrator which issuers it accepts."},
    {AUTH, "expected \"",
     "The proxy's certificate carries another name. Set ServerName= in [SecureChannel] to the name that it must carry, "
     "or have the proxy's certificate replaced."},
    {AUTH, "not trusted",
     "This host does not trust the issuer of the proxy's certificate. Add the issuer's CA certificate to TrustedCA= in "
     "[SecureChannel]."},
    {AUTH, "does not speak TLS", "SecurePort= in [Proxy] must be the proxy's TLS port."},
    {AUTH, NULL,
     "The port answers, the TLS handshake fails. Look at ServerName=, TrustedCA=, Certificate=, PrivateKey= and "
     "MinimumVersion= in [SecureChannel]; SecurePort= must be the proxy's TLS port."},
    {PORT, "resolve ", "Check the names in Servers= of [Proxy] and this host's DNS (/etc/resolv.conf)."},
    {PORT, "refused", "Nothing listens there. Check SecurePort= and Servers= in [Proxy], and the proxy itself."},
    {PORT, "no answer within",
     "No answer came: a firewall on the way may drop the packets. Check SecurePort= in [Proxy] and the path to the "
     "proxy."},
    {PORT, NULL,
     "Check SecurePort= and Servers= in [Proxy]. Fallback to the plain port is off (AllowFallback= in "
     "[SecureChannel])."},
    {NOPROXY, "resolve ", "Check the names in Servers= of [Proxy] and this host's DNS (/etc/resolv.conf)."},
    {NOPROXY, NULL,
     "No server answers on any port. Check Servers=, SecurePort= and Port= in [Proxy], and the path to the proxy."},
    {"Testing", NULL, "The first test is under way. Web traffic stays blocked until it has ended."},
    {"No network", NULL, "This host has no usable route. Check its network (ip address, ip route)."},
};

static bool fits(const char *word, const char *detail)
{
    if (!word)
        return true;
    if (!detail)
        return false;
    return word[0] == '^' ? strncmp(detail, word + 1, strlen(word + 1)) == 0 : (bool)strstr(detail, word);
}

const char *hint_for(const char *reason, const char *detail)
{
    for (size_t i = 0; reason && i < sizeof hints / sizeof hints[0]; i++)
        if (strcmp(reason, hints[i].reason) == 0 && fits(hints[i].word, detail))
            return hints[i].hint;
    return NULL;
}
