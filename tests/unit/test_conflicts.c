/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "model/conflicts.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "[Proxy]\nServers=gw.example 198.51.100.7 2001:db8::7\nSecurePort=8081\n"

static struct conf *conf;
static struct texts texts;

static void find(const char *more)
{
    char text[1024];
    FILE *stream;
    snprintf(text, sizeof text, HEAD "%s", more);
    stream = fmemopen(text, strlen(text), "r");
    ck_assert_int_eq(conf_read(stream, "test", NULL, NULL, &conf), 0);
    fclose(stream);
    conflicts_find(conf, &texts);
}

static void forget(void)
{
    texts_clear(&texts);
    conf_free(conf);
    conf = NULL;
}

static void finds(const char *more, const char *text)
{
    find(more);
    ck_assert_msg(texts.n == (text ? 1 : 0), "%zu lines, the first: %s", texts.n, texts.n > 0 ? texts.lines[0] : "-");
    if (text)
        ck_assert_str_eq(texts.lines[0], text);
    forget();
}

START_TEST(what_does_not_disturb_each_other_is_not_mentioned)
{
    finds("", NULL);
    finds("[Bypass]\nNetworks=192.0.2.0/24 2001:db8:1::/48 192.0.3.0/24\nPorts=8443\nUsers=root later\n"
          "[Block]\nNetworks=10.0.0.0/8 192.0.2.0/23 2001:db8::/64\nPorts=25\nUsers=bin other\n[Proxy]\nServers=\n"
          "Servers=gw.example\n",
          NULL);
}
END_TEST

START_TEST(everything_is_everything_in_one_piece_or_in_many)
{
    finds("[Bypass]\nNetworks=0.0.0.0/0\n",
          "[Bypass] Networks= covers all of IPv4: whatever is sent there goes past the proxy");
    finds("[Bypass]\nNetworks=8000::/1 ::/2 4000::/3 6000::/3\n",
          "[Bypass] Networks= covers all of IPv6: whatever is sent there goes past the proxy");
    finds("[Bypass]\nNetworks=128.0.0.0/1 64.0.0.0/2 0.0.0.0/2 8000::/1\n",
          "[Bypass] Networks= covers all of IPv4: whatever is sent there goes past the proxy");
    finds("[Block]\nNetworks=0.0.0.0/1 128.0.0.0/2 192.0.0.0/2\n[Proxy]\nServers=\nServers=gw.example\n",
          "[Block] Networks= covers all of IPv4: whatever is sent there is refused");
}
END_TEST

START_TEST(nearly_everything_is_not_everything)
{
    finds("[Bypass]\nNetworks=0.0.0.0/1 128.0.0.0/2 192.0.0.0/3\n", NULL);
    finds("[Bypass]\nNetworks=0.0.0.0/1 8000::/1\n", NULL);
    finds("[Bypass]\nNetworks=0.0.0.0/2 0.0.0.0/1\n", NULL); /* halves that overlap make no whole */
}
END_TEST

START_TEST(redirected_ports_are_named_with_their_line)
{
    finds("[Bypass]\nPorts=8443 443\n",
          "test:5: [Bypass] Ports=443: this is a redirected port, and all that is sent to it goes past the proxy");
    finds("[Block]\n\nPorts=80\n",
          "test:6: [Block] Ports=80: this is a redirected port, and all that is sent to it is refused");
    finds("[Redirect]\nPorts=8000\n[Bypass]\nPorts=443\n", NULL);
}
END_TEST

START_TEST(blocked_proxies_are_named)
{
    finds("[Block]\nNetworks=198.51.100.0/24\n",
          "test:5: [Block] Networks=198.51.100.0/24: the proxy 198.51.100.7 is in it: penstock reaches it all the "
          "same, other programs do not");
    finds("[Block]\nPorts=8081\n", "test:5: [Block] Ports=8081: this is a port of the proxies: penstock reaches it all "
                                   "the same, other programs do not");
    finds("[SecureChannel]\nEnabled=no\n[Block]\nPorts=8081\n", NULL);
}
END_TEST

START_TEST(what_an_earlier_entry_takes_never_decides)
{
    finds("[Bypass]\nNetworks=10.0.0.0/8\nNetworks=10.1.0.0/16\n",
          "test:6: [Bypass] Networks=10.1.0.0/16: never decides, for [Bypass] Networks=10.0.0.0/8 comes first and "
          "takes all of it");
    finds("[Bypass]\nNetworks=10.1.0.0/16 10.0.0.0/8\n", NULL);
    finds("[Block]\nNetworks=10.1.2.3\n[Bypass]\nNetworks=10.0.0.0/8\n",
          "test:5: [Block] Networks=10.1.2.3/32: never decides, for [Bypass] Networks=10.0.0.0/8 comes first and takes "
          "all of it");
    finds("[Block]\nPorts=25\n[Bypass]\nPorts=25\n",
          "test:5: [Block] Ports=25: never decides, for [Bypass] Ports=25 comes first and takes all of it");
    finds("[Block]\nUsers=@root @no-such-group\n[Bypass]\nUsers=root @no-such-group\n",
          "test:5: [Block] Users=@root: never decides, for [Bypass] Users=root comes first and takes all of it");
    finds("[Block]\nUsers=0\n[Bypass]\nUsers=root\n",
          "test:5: [Block] Users=0: never decides, for [Bypass] Users=root comes first and takes all of it");
}
END_TEST

START_TEST(a_header_that_is_never_sent_is_named_without_its_value)
{
    finds("Header=X-User: secret %u\n[SecureChannel]\nEnabled=no\n",
          "test:4: [Proxy] Header=X-User: never sent, for without the secure channel nobody is told who asks; "
          "IdentityOnPlain=yes would do it");
    finds("Header=X-User: %u\nIdentityOnPlain=yes\n[SecureChannel]\nEnabled=no\n", NULL);
    finds("Header=X-User: %u\n[SecureChannel]\nAllowFallback=yes\n", NULL);
    finds("Header=X-Host: %H %%u\n[SecureChannel]\nEnabled=no\n", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conflicts");
    TCase *tcase = tcase_create("conflicts");
    tcase_add_checked_fixture(tcase, NULL, forget);
    tcase_add_test(tcase, what_does_not_disturb_each_other_is_not_mentioned);
    tcase_add_test(tcase, everything_is_everything_in_one_piece_or_in_many);
    tcase_add_test(tcase, nearly_everything_is_not_everything);
    tcase_add_test(tcase, redirected_ports_are_named_with_their_line);
    tcase_add_test(tcase, blocked_proxies_are_named);
    tcase_add_test(tcase, what_an_earlier_entry_takes_never_decides);
    tcase_add_test(tcase, a_header_that_is_never_sent_is_named_without_its_value);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
