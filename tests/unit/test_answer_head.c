/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of the proxy: where they end, and what of them reaches the client. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel/http/answer_head.h"

#define OK "HTTP/1.1 200 OK\r\n"

static bool read_text(const char *text, bool to_head, struct answer_head *ret_head)
{
    size_t checked = 0, length = head_find_end(text, strlen(text), &checked);
    ck_assert_msg(length == strlen(text), "the end of \"%s\" was found at %zu", text, length);
    return answer_head_read((struct span){text, length}, to_head, ret_head);
}

static const struct {
    const char *text;
    bool to_head;
    enum framing_kind framing;
    uint64_t length;
    bool keep_alive, binds;
} facts[] = {
    {OK "Content-Length: 5\r\n\r\n", false, FRAMING_LENGTH, 5, true, false},
    {OK "Content-Length: 5\r\n\r\n", true, FRAMING_NONE, 0, true, false},
    {OK "Content-Length: 5, 5\r\ncontent-length: 5\r\n\r\n", false, FRAMING_LENGTH, 5, true, false},
    {OK "Transfer-Encoding: chunked\r\n\r\n", false, FRAMING_CHUNKED, 0, true, false},
    {OK "Transfer-Encoding: gzip\r\nTransfer-Encoding: Chunked\r\n\r\n", false, FRAMING_CHUNKED, 0, true, false},
    {OK "Transfer-Encoding: chunked, gzip\r\n\r\n", false, FRAMING_CLOSE, 0, false, false},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", false, FRAMING_CHUNKED, 0, false, false},
    {OK "\r\n", false, FRAMING_CLOSE, 0, false, false},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, FRAMING_NONE, 0, true, false},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, FRAMING_NONE, 0, true, false},
    {"HTTP/1.1 100 Continue\r\n\r\n", false, FRAMING_NONE, 0, true, false},
    {OK "Content-Length: 0\r\nConnection: close\r\n\r\n", false, FRAMING_LENGTH, 0, false, false},
    {OK "Content-Length: 0\r\nProxy-Connection: close\r\n\r\n", false, FRAMING_LENGTH, 0, false, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, FRAMING_LENGTH, 0, false, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", false, FRAMING_LENGTH, 0, true, false},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n", false, FRAMING_CHUNKED, 0,
     false, false},
    {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x, NTLM\r\nContent-Length: 0\r\n\r\n", false, FRAMING_LENGTH, 0,
     true, true},
    {"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate YII=\r\nContent-Length: 0\r\n\r\n", false, FRAMING_LENGTH, 0, true,
     true},
    {"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=NTLM\r\nContent-Length: 0\r\n\r\n", false, FRAMING_LENGTH, 0,
     true, false},
    {OK "X Bad: 1\r\n: 2\r\nContent-Length: 3\r\n\r\n", false, FRAMING_LENGTH, 3, true, false},
};

START_TEST(where_an_answer_ends_is_known)
{
    struct answer_head head;
    ck_assert(read_text(facts[_i].text, facts[_i].to_head, &head));
    ck_assert_int_eq(head.framing.kind, facts[_i].framing);
    ck_assert_uint_eq(head.framing.length, facts[_i].length);
    ck_assert_int_eq(head.keep_alive, facts[_i].keep_alive);
    ck_assert_int_eq(head.binds, facts[_i].binds);
}
END_TEST

static const char *const bad[] = {
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1 20 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.1 2000\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.1 200 O\rK\r\n\r\n",
    OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    OK "Content-Length: 5, 6\r\n\r\n",
    OK "Content-Length: x\r\n\r\n",
    OK "Content-Length:\r\n\r\n",
    OK "Content-Length: 99999999999999999999\r\n\r\n",
    OK "Content-Length: 1\r\n 2\r\n\r\n",
    OK "Transfer-Encoding: gzip\r\n , chunked\r\n\r\n",
};

START_TEST(what_is_no_answer_or_has_two_lengths_is_refused)
{
    struct answer_head head;
    ck_assert_msg(!read_text(bad[_i], false, &head), "taken: \"%s\"", bad[_i]);
}
END_TEST

static const struct {
    const char *text;
    bool to_head;
    uint8_t minor;
    bool keep_alive;
    const char *onward;
} onward[] = {
    {"HTTP/1.0 200\r\nContent-Length: 05\r\nX:  y \r\n\r\n", false, 1, true,
     "HTTP/1.1 200 \r\nX: y\r\nContent-Length: 5\r\n\r\n"},
    {OK "Content-Length: 5\r\n\r\n", true, 1, true, OK "Content-Length: 5\r\n\r\n"},
    {OK "\r\n", false, 1, false, OK "Connection: close\r\n\r\n"},
    {OK "Content-Length: 0\r\n\r\n", false, 0, true, OK "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 9\r\nTrailer: X\r\n\r\n", false, 1, true,
     OK "Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", false, 0, false,
     OK "Transfer-Encoding: gzip\r\nConnection: close\r\n\r\n"},
    {OK "Transfer-Encoding: chunked\r\n\r\n", false, 0, false, OK "Connection: close\r\n\r\n"},
    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: close\r\n\r\n", false, 1, false,
     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"},
    {"HTTP/1.1 304 \xe4\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n", false, 1, true,
     "HTTP/1.1 304 \xe4\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n"},
    {OK "Content-Length: 0\r\nConnection: X-Hop, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: "
        "x\r\n"
        "Proxy-Authenticate: y\r\nUpgrade: h2c\r\nX-Stays: 2\r\n\r\n",
     false, 1, true, OK "X-Stays: 2\r\nContent-Length: 0\r\n\r\n"},
    {OK "Content-Length: 0\r\nX Bad: 1\r\nX-Folded: a\r\n   b\r\n\tc\r\nX: d\r\n e\x01\r\nNo colon\r\nY: f\r\n\r\n",
     false, 1, true, OK "X-Folded: a b c\r\nX: d\r\nY: f\r\nContent-Length: 0\r\n\r\n"},
    {OK "Content-Length: 0\r\nSplit: a\rSet-Cookie: b\r\n\r\n", false, 1, true, OK "Content-Length: 0\r\n\r\n"},
};

START_TEST(an_answer_goes_on_to_the_client)
{
    struct answer_head head;
    struct answer_client client = {onward[_i].minor, onward[_i].keep_alive};
    char buf[2048];
    ck_assert(read_text(onward[_i].text, onward[_i].to_head, &head));
    int length = answer_head_write(&head, &client, buf, sizeof buf - 1);
    ck_assert_int_gt(length, 0);
    buf[length] = '\0';
    ck_assert_str_eq(buf, onward[_i].onward);
    ck_assert_int_eq(answer_head_write(&head, &client, buf, (size_t)length - 1), -EMSGSIZE);
}
END_TEST

START_TEST(too_many_fields_are_no_answer)
{
    static char text[2 * HEAD_MAX] = OK;
    struct answer_head head;
    char *end = text + strlen(text);
    for (unsigned i = 0; i < FIELDS_MAX; i++)
        end = stpcpy(end, "a:b\r\n");
    strcpy(end, "\r\n");
    ck_assert(read_text(text, false, &head));
    strcpy(end, "a:b\r\n\r\n");
    ck_assert(!read_text(text, false, &head));
}
END_TEST

START_TEST(what_cannot_become_an_answer_is_known_at_once)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\n";
    for (size_t length = 0; length < sizeof answer; length++)
        ck_assert(answer_may_begin(answer, length));
    ck_assert(!answer_may_begin("HTTP/2", 6));
    ck_assert(!answer_may_begin("S", 1));
    ck_assert(!answer_may_begin("HTTP/1.1 x", 10));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer_head");
    TCase *tcase = tcase_create("answer_head");
    tcase_add_loop_test(tcase, where_an_answer_ends_is_known, 0, sizeof facts / sizeof facts[0]);
    tcase_add_loop_test(tcase, what_is_no_answer_or_has_two_lengths_is_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(tcase, an_answer_goes_on_to_the_client, 0, sizeof onward / sizeof onward[0]);
    tcase_add_test(tcase, too_many_fields_are_no_answer);
    tcase_add_test(tcase, what_cannot_become_an_answer_is_known_at_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
