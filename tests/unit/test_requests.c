/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plain HTTP over two socketpairs: the test is the client on one of them and the proxy on the other. */
#include "config.h"

#include "relay/http/requests.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "seed.h"

#define GUARD_S  20. /* a test that hangs is ended and fails */
#define SAID_MAX (8 << 20)

#define GET              "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
#define HEAD_END         "Via: 1.1 penstock\r\n\r\n"
#define GET_SENT         "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n" HEAD_END
#define POST(more)       "POST /x HTTP/1.1\r\nHost: a.example\r\n" more "\r\n"
#define POST_SENT(more)  "POST http://a.example/x HTTP/1.1\r\nHost: a.example\r\n" more HEAD_END
#define OK(length, body) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n" body

/* One end of a socketpair, that of the test: everything that came, and where the test has looked up to. */
struct end {
    int fd; /* -1: none */
    char *said;
    size_t length, seen;
    bool ended;
    int error;
};

static struct rig {
    struct ev_loop *loop;
    struct stats stats;
    struct buffers *buffers;
    struct pump_means means;
    struct conf conf;
    struct request_target target;
    struct stream *stream; /* the client's, at penstock's end */
    struct requests *requests;
    struct end client, proxy;
    struct link *opening;
    struct link *kept;
    ev_timer tick, guard;
    bool late, keep_none, idled;
    unsigned links, answered, tunnels, no_answers;
    bool over;
} rig;

static void tick_cb(struct ev_loop *loop, ev_timer *timer, int events)
{
    rig.late |= timer == &rig.guard;
}

/* ---- the test's ends ---- */

static void end_open(struct end *end, int fd)
{
    *end = (struct end){.fd = fd, .said = malloc(SAID_MAX)};
}

static void end_close(struct end *end)
{
    if (end->fd >= 0)
        close(end->fd);
    free(end->said);
    *end = (struct end){.fd = -1};
}

static void end_hear(struct end *end)
{
    ssize_t n;
    while (end->fd >= 0 && !end->ended &&
           (n = recv(end->fd, end->said + end->length, SAID_MAX - end->length, MSG_DONTWAIT)) != -1) {
        end->ended = n == 0;
        end->length += (size_t)n;
        ck_assert_uint_lt(end->length, SAID_MAX);
    }
    if (end->fd >= 0 && !end->ended && errno != EAGAIN) {
        end->ended = true;
        end->error = errno;
    }
}

static void turn(void)
{
    end_hear(&rig.client);
    end_hear(&rig.proxy);
    ev_run(rig.loop, EVRUN_ONCE);
    end_hear(&rig.client);
    end_hear(&rig.proxy);
}

#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        while (!(condition) && !rig.late)                                                                              \
            turn();                                                                                                    \
        ck_assert_msg(condition, "waited in vain for %s; client: %.*s; proxy: %.*s", #condition,                       \
                      (int)rig.client.length, rig.client.said, (int)rig.proxy.length, rig.proxy.said);                 \
    } while (0)

static void say(struct end *end, const char *text)
{
    ck_assert_int_eq(send(end->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The next bytes at that end are these. */
static void expect(struct end *end, const char *text)
{
    size_t length = strlen(text);
    run_until(end->length - end->seen >= length || end->ended);
    ck_assert_msg(end->length - end->seen >= length && memcmp(end->said + end->seen, text, length) == 0,
                  "expected \"%s\", got \"%.*s\"", text, (int)(end->length - end->seen), end->said + end->seen);
    end->seen += length;
}

/* And no more than what was expected so far, though the loop turns. */
static void expect_silence(struct end *end)
{
    for (int i = 0; i < 5; i++)
        turn();
    ck_assert_msg(end->seen == end->length && !end->ended, "unexpected: \"%.*s\"", (int)(end->length - end->seen),
                  end->said + end->seen);
}

/* ---- the owner ---- */

static void link_up_cb(struct link *link, const struct link_failure *failure, void *data)
{
    ck_assert_ptr_null(failure);
    rig.opening = NULL;
    ck_assert(requests_go(rig.requests, link, rig.idled, &rig.target));
}

static void open_link(void)
{
    int fds[2];
    const struct link_request request = {.conf = &rig.conf};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    end_close(&rig.proxy);
    end_open(&rig.proxy, fds[0]);
    rig.links++;
    rig.opening = link_start_over(rig.loop, stream_new_plain(fds[1]), &request, link_up_cb, &rig);
    ck_assert_ptr_nonnull(rig.opening);
}

static void ask(void)
{
    if (rig.kept && !rig.requests->want_fresh) {
        struct link *link = rig.kept;
        rig.kept = NULL;
        ck_assert(requests_go(rig.requests, link, true, &rig.target));
    } else if (rig.requests->link && !rig.requests->want_fresh) {
        ck_assert(requests_go(rig.requests, NULL, true, &rig.target));
    } else {
        open_link();
    }
}

static void requests_event_cb(struct requests *requests, enum requests_event event, void *data)
{
    ck_assert_ptr_eq(data, &rig);
    ck_assert(requests == rig.requests && !rig.over);
    switch (event) {
    case REQUESTS_WANT_LINK:
        ask();
        return;
    case REQUESTS_WANT_TUNNEL:
        rig.tunnels++;
        return;
    case REQUESTS_ANSWERED:
        rig.answered++;
        if (rig.keep_none)
            link_free(requests_take_link(requests));
        else
            rig.kept = requests_take_link(requests);
        return;
    case REQUESTS_NO_ANSWER:
        rig.no_answers++;
        return;
    case REQUESTS_OVER:
        rig.over = true;
        return;
    }
}

static void setup(void)
{
    int fds[2];
    memset(&rig, 0, sizeof rig);
    rig.proxy.fd = rig.client.fd = -1;
    signal(SIGPIPE, SIG_IGN);
    rig.loop = ev_loop_new(EVFLAG_AUTO);
    rig.buffers = buffers_new(8);
    rig.means = (struct pump_means){.loop = rig.loop, .buffers = rig.buffers, .stats = &rig.stats};
    rig.conf.connect_timeout_ms = 5000;
    rig.target = (struct request_target){.conf = &rig.conf, .default_host = "192.0.2.7", .port = 80};
    ev_timer_init(&rig.tick, tick_cb, 0.005, 0.005);
    ev_timer_init(&rig.guard, tick_cb, GUARD_S, 0.);
    ev_timer_start(rig.loop, &rig.tick);
    ev_timer_start(rig.loop, &rig.guard);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    end_open(&rig.client, fds[0]);
    rig.stream = stream_new_plain(fds[1]);
    rig.requests = requests_new(&rig.means, rig.stream, requests_event_cb, &rig);
    requests_start(rig.requests);
}

static void teardown(void)
{
    requests_free(rig.requests);
    link_free(rig.opening);
    link_free(rig.kept);
    stream_free(rig.stream, true);
    ck_assert_uint_eq(buffers_out(rig.buffers), 0);
    buffers_free(rig.buffers);
    end_close(&rig.client);
    end_close(&rig.proxy);
    ev_loop_destroy(rig.loop);
}

static void expect_over(enum reason reason)
{
    run_until(rig.over);
    ck_assert_msg(rig.requests->failure.reason == reason, "over: %s (%s)", reason_text(rig.requests->failure.reason),
                  rig.requests->failure.detail);
}

/* ---- the good way ---- */

START_TEST(requests_go_one_after_the_other_over_one_link)
{
    for (unsigned i = 1; i <= 3; i++) {
        say(&rig.client, GET);
        expect(&rig.proxy, GET_SENT);
        say(&rig.proxy, OK(5, "hello"));
        expect(&rig.client, OK(5, "hello"));
        run_until(rig.answered == i);
        ck_assert(requests_are_idle(rig.requests));
    }
    ck_assert_uint_eq(rig.links, 1);
    ck_assert_uint_eq(rig.requests->count, 3);
    ck_assert_uint_eq(rig.requests->up.delivered, 3 * strlen(GET_SENT));
    ck_assert_uint_eq(rig.stats.bytes_up, 3 * strlen(GET_SENT));
    ck_assert_uint_eq(rig.stats.bytes_down, 3 * strlen(OK(5, "hello")));
    ck_assert_uint_eq(buffers_out(rig.buffers), 0);
    shutdown(rig.client.fd, SHUT_WR);
    expect_over(REASON_DONE);
}
END_TEST

START_TEST(a_link_that_is_not_kept_does_not_end_the_client)
{
    rig.keep_none = true;
    for (unsigned i = 1; i <= 2; i++) {
        say(&rig.client, GET);
        run_until(rig.links == i);
        expect(&rig.proxy, GET_SENT);
        say(&rig.proxy, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        expect(&rig.client, OK(0, ""));
        run_until(rig.answered == i);
        ck_assert_ptr_null(rig.requests->link);
        ck_assert_uint_eq(rig.links, i);
    }
    ck_assert(!rig.over);
}
END_TEST

START_TEST(bytes_that_come_one_by_one_are_the_same)
{
    static const char request[] = "\r\n" POST("Transfer-Encoding: chunked\r\n") "5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n";
    static const char answer[] =
        "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for (size_t i = 0; i < sizeof request - 1; i++) {
        ck_assert_int_eq(send(rig.client.fd, request + i, 1, 0), 1);
        turn();
    }
    expect(&rig.proxy, POST_SENT("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\nX: y\r\n\r\n");
    for (size_t i = 0; i < sizeof answer - 1; i++) {
        ck_assert_int_eq(send(rig.proxy.fd, answer + i, 1, 0), 1);
        turn();
    }
    expect(&rig.client, answer);
    run_until(rig.answered == 1);
}
END_TEST

START_TEST(pipelined_requests_wait_for_their_turn)
{
    say(&rig.client, GET POST("Content-Length: 3\r\n") "abc" GET "GET");
    expect(&rig.proxy, GET_SENT);
    expect_silence(&rig.proxy);
    say(&rig.proxy, OK(1, "1"));
    expect(&rig.proxy, POST_SENT("Content-Length: 3\r\n") "abc");
    expect_silence(&rig.proxy);
    say(&rig.proxy, OK(1, "2"));
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, OK(1, "3"));
    expect(&rig.client, OK(1, "1") OK(1, "2") OK(1, "3"));
    shutdown(rig.client.fd, SHUT_WR);
    expect_over(REASON_CLIENT_GONE);
    ck_assert_uint_eq(rig.links, 1);
}
END_TEST

START_TEST(a_client_that_has_ended_gets_all_its_answers)
{
    say(&rig.client, GET GET);
    shutdown(rig.client.fd, SHUT_WR);
    for (int i = 0; i < 2; i++) {
        expect(&rig.proxy, GET_SENT);
        expect_silence(&rig.client);
        ck_assert(!rig.over);
        say(&rig.proxy, OK(1, "1"));
        expect(&rig.client, OK(1, "1"));
    }
    expect_over(REASON_DONE);
}
END_TEST

/* ---- where answers end ---- */

static const struct {
    const char *request, *answer, *got;
} bodiless[] = {
    {"HEAD /x HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", NULL},
    {"HEAD /x HTTP/1.1\r\nHost: a.example\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.1 200 OK\r\n\r\n"},
    {GET, "HTTP/1.1 204 No Content\r\n\r\n", NULL},
    {GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", NULL},
    {GET, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
     NULL},
};

START_TEST(answers_without_a_body_end_with_their_head)
{
    for (unsigned i = 1; i <= 2; i++) {
        say(&rig.client, bodiless[_i].request);
        run_until(rig.proxy.length > 0 &&
                  memmem(rig.proxy.said + rig.proxy.seen, rig.proxy.length - rig.proxy.seen, "\r\n\r\n", 4));
        rig.proxy.seen = rig.proxy.length;
        say(&rig.proxy, bodiless[_i].answer);
        expect(&rig.client, bodiless[_i].got ? bodiless[_i].got : bodiless[_i].answer);
        run_until(rig.answered == i);
    }
    ck_assert_uint_eq(rig.links, 1);
}
END_TEST

START_TEST(an_answer_without_a_length_ends_with_the_link)
{
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, "HTTP/1.0 200 OK\r\n\r\nsome");
    expect(&rig.client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome");
    expect_silence(&rig.client);
    say(&rig.proxy, "thing");
    shutdown(rig.proxy.fd, SHUT_WR);
    expect(&rig.client, "thing");
    expect_over(REASON_DONE);
    ck_assert_ptr_null(rig.kept);
}
END_TEST

START_TEST(an_answer_that_ends_early_is_an_error)
{
    static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"};
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, answers[_i]);
    shutdown(rig.proxy.fd, SHUT_WR);
    expect_over(REASON_PROXY_ERROR);
    ck_assert(!requests_owe_answer(rig.requests));
}
END_TEST

START_TEST(a_client_of_http_1_0_gets_no_chunks_and_no_interim_answers)
{
    say(&rig.client, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(&rig.proxy, "GET http://192.0.2.7/x HTTP/1.1\r\nHost: 192.0.2.7\r\nVia: 1.0 penstock\r\n\r\n");
    say(&rig.proxy, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "2;x\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\n");
    expect(&rig.client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    expect_over(REASON_DONE);
    ck_assert_uint_eq(rig.client.seen, rig.client.length);
}
END_TEST

/* ---- bodies of requests ---- */

START_TEST(a_body_waits_for_its_100)
{
    say(&rig.client, POST("Expect: 100-continue\r\nContent-Length: 3\r\n"));
    expect(&rig.proxy, POST_SENT("Expect: 100-continue\r\nContent-Length: 3\r\n"));
    say(&rig.proxy, "HTTP/1.1 100 Continue\r\n\r\n");
    expect(&rig.client, "HTTP/1.1 100 Continue\r\n\r\n");
    say(&rig.client, "abc");
    expect(&rig.proxy, "abc");
    say(&rig.proxy, OK(0, ""));
    expect(&rig.client, OK(0, ""));
    run_until(rig.answered == 1);
    ck_assert(!rig.over);
}
END_TEST

/* Whether the body still comes nobody can tell: neither connection is used again. */
START_TEST(an_answer_in_the_place_of_100_ends_the_connection)
{
    say(&rig.client, POST("Expect: 100-continue\r\nContent-Length: 3\r\n"));
    expect(&rig.proxy, POST_SENT("Expect: 100-continue\r\nContent-Length: 3\r\n"));
    say(&rig.proxy, "HTTP/1.1 417 No\r\nContent-Length: 1\r\n\r\nx");
    expect(&rig.client, "HTTP/1.1 417 No\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    expect_over(REASON_DONE);
    ck_assert_ptr_null(rig.kept);
}
END_TEST

START_TEST(a_body_and_an_answer_pass_each_other)
{
    say(&rig.client, POST("Transfer-Encoding: chunked\r\n") "1\r\na\r\n");
    expect(&rig.proxy, POST_SENT("Transfer-Encoding: chunked\r\n") "1\r\na\r\n");
    say(&rig.proxy, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n");
    expect(&rig.client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nA\r\n");
    say(&rig.client, "1\r\nb\r\n0\r\n\r\n");
    expect(&rig.proxy, "1\r\nb\r\n0\r\n\r\n");
    say(&rig.proxy, "0\r\n\r\n");
    expect(&rig.client, "0\r\n\r\n");
    expect_over(REASON_DONE);
}
END_TEST

START_TEST(a_proxy_that_refuses_a_body_is_heard)
{
    say(&rig.client, POST("Content-Length: 1000000\r\n") "some");
    expect(&rig.proxy, POST_SENT("Content-Length: 1000000\r\n") "some");
    say(&rig.proxy, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n");
    shutdown(rig.proxy.fd, SHUT_RD);
    expect(&rig.client, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
    say(&rig.client, "more");
    expect_silence(&rig.client);
    say(&rig.proxy, "no");
    expect(&rig.client, "no");
    expect_over(REASON_DONE);
}
END_TEST

START_TEST(a_body_that_goes_bad_never_becomes_a_request)
{
    static const char *const bodies[] = {"5\r\nhello\n", "5\r\nhello\r\n0\r\nX-User: me\r\n",
                                         "5\r\nhello\r\n0\r\nHost: b\r\n"};
    rig.conf.headers[0] = (char *)"X-User: root";
    rig.conf.n_headers = 1;
    say(&rig.client, POST("Transfer-Encoding: chunked\r\n"));
    say(&rig.client, bodies[_i]);
    expect_over(REASON_BAD_REQUEST);
    ck_assert_int_eq(rig.requests->http_status, 400);
    ck_assert(requests_owe_answer(rig.requests));
    requests_free(rig.requests);
    rig.requests = NULL;
    run_until(rig.proxy.ended);
    ck_assert_ptr_null(memmem(rig.proxy.said, rig.proxy.length, "0\r\n\r\n", 5));
}
END_TEST

START_TEST(a_client_that_ends_inside_a_body_has_gone)
{
    say(&rig.client, POST("Content-Length: 5\r\n") "hell");
    expect(&rig.proxy, POST_SENT("Content-Length: 5\r\n") "hell");
    shutdown(rig.client.fd, SHUT_WR);
    expect_over(REASON_CLIENT_GONE);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(a_bad_request_is_told_and_asked_of_nobody)
{
    say(&rig.client, "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET);
    expect_over(REASON_BAD_REQUEST);
    ck_assert_int_eq(rig.requests->http_status, 400);
    ck_assert_uint_eq(rig.links, 0);
}
END_TEST

START_TEST(a_head_without_an_end_is_too_large)
{
    static char line[1024];
    size_t sent = strlen(GET) - 2;
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "X: ", 3);
    strcpy(line + sizeof line - 3, "\r\n");
    ck_assert_int_eq(send(rig.client.fd, GET, sent, 0), (ssize_t)sent);
    while (!rig.over && sent < 2 * HEAD_MAX) {
        if (send(rig.client.fd, line, strlen(line), MSG_DONTWAIT) > 0)
            sent += strlen(line);
        turn();
    }
    expect_over(REASON_BAD_REQUEST);
    ck_assert_int_eq(rig.requests->http_status, 431);
}
END_TEST

START_TEST(what_is_no_answer_is_garbage)
{
    static const char *const answers[] = {"SSH-2.0-OpenSSH\r\n",
                                          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                                          "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"};
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, answers[_i]);
    expect_over(REASON_PROXY_GARBAGE);
    ck_assert(requests_owe_answer(rig.requests));
}
END_TEST

START_TEST(a_proxy_that_asks_for_credentials_is_not_the_clients_matter)
{
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy,
        "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x, y\"\r\nProxy-Authenticate: Negotiate\r\n\r\n");
    expect_over(REASON_PROXY_REFUSED);
    ck_assert_int_eq(rig.requests->http_status, 407);
    ck_assert_ptr_nonnull(strstr(rig.requests->failure.detail, "by Basic, Negotiate: set Header="));
    ck_assert(requests_owe_answer(rig.requests));
}
END_TEST

/* ---- links that die, and links that say too much ---- */

static void answer_one(void)
{
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, OK(0, ""));
    expect(&rig.client, OK(0, ""));
    run_until(rig.answered > 0);
    ck_assert_ptr_nonnull(rig.kept);
}

START_TEST(a_dead_idle_link_is_replaced_once)
{
    answer_one();
    shutdown(rig.proxy.fd, SHUT_RDWR);
    say(&rig.client, GET GET);
    run_until(rig.links == 2);
    ck_assert(rig.requests->want_fresh); /* another one that rests may be dead, too */
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, OK(1, "2"));
    expect(&rig.client, OK(1, "2"));
    /* The request behind it was not lost. */
    expect(&rig.proxy, GET_SENT);
    ck_assert_uint_eq(rig.links, 2);
    /* A fresh one that dies is not replaced. */
    shutdown(rig.proxy.fd, SHUT_RDWR);
    run_until(rig.links == 3);
    expect(&rig.proxy, GET_SENT);
    shutdown(rig.proxy.fd, SHUT_RDWR);
    expect_over(REASON_PROXY_CLOSED);
    ck_assert(requests_owe_answer(rig.requests));
    ck_assert_uint_eq(rig.links, 3);
}
END_TEST

START_TEST(what_cannot_be_repeated_is_not)
{
    answer_one();
    shutdown(rig.proxy.fd, SHUT_RDWR);
    say(&rig.client, POST("Content-Length: 0\r\n"));
    expect_over(REASON_PROXY_CLOSED);
    ck_assert_uint_eq(rig.links, 1);
}
END_TEST

START_TEST(half_a_head_of_an_answer_is_not_repeated)
{
    answer_one();
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, "HTTP/1.1 200");
    shutdown(rig.proxy.fd, SHUT_RDWR);
    expect_over(REASON_PROXY_CLOSED);
    ck_assert_uint_eq(rig.links, 1);
}
END_TEST

START_TEST(a_link_with_a_byte_too_many_is_not_used_again)
{
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    say(&rig.proxy, OK(1, "1") "HTTP/1.1 200 OK\r\n");
    expect(&rig.client, OK(1, "1"));
    run_until(rig.answered == 1);
    ck_assert_ptr_null(rig.kept);
    ck_assert_ptr_null(rig.requests->link);
    expect_silence(&rig.client);
}
END_TEST

static void bound_by(const char *request, const char *sent, const char *answer)
{
    say(&rig.client, request);
    expect(&rig.proxy, sent);
    say(&rig.proxy, answer);
    expect(&rig.client, answer);
    run_until(rig.answered == 1);
    ck_assert_ptr_null(rig.kept);
    ck_assert_ptr_nonnull(rig.requests->link);
    say(&rig.client, GET);
    expect(&rig.proxy, GET_SENT);
    ck_assert_uint_eq(rig.links, 1);
    say(&rig.proxy, OK(0, ""));
    expect(&rig.client, OK(0, ""));
    run_until(rig.answered == 2);
    ck_assert_ptr_null(rig.kept);
    /* With it ends what the client's connection was. */
    shutdown(rig.proxy.fd, SHUT_RDWR);
    expect_over(REASON_DONE);
}

START_TEST(authentication_of_the_connection_binds_the_link_to_the_client)
{
    bound_by(GET, GET_SENT, "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n");
}
END_TEST

START_TEST(a_client_that_authenticates_its_connection_binds_the_link)
{
    bound_by("GET /x HTTP/1.1\r\nHost: a.example\r\nAuthorization: Negotiate YII=\r\n\r\n",
             "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\nAuthorization: Negotiate YII=\r\n" HEAD_END,
             OK(0, ""));
}
END_TEST

/* ---- another protocol ---- */

START_TEST(a_request_for_another_protocol_is_given_back_with_all_behind_it)
{
    static const char upgrade[] =
        "GET /y HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes";
    char got[sizeof upgrade + 100];
    size_t length = 0, n;
    answer_one();
    say(&rig.client, upgrade);
    run_until(rig.tunnels == 1);
    ck_assert_int_eq(requests_give_back(rig.requests), 0);
    requests_free(rig.requests);
    rig.requests = NULL;
    while (stream_read(rig.stream, got + length, 7, &n) == STREAM_OK)
        length += n;
    ck_assert_uint_eq(length, sizeof upgrade - 1);
    ck_assert_mem_eq(got, upgrade, length);
}
END_TEST

/* ---- much at once ---- */

/* A body as the sender writes it, in chunks of any size or with a length. */
static char *make_body(size_t size, bool chunked, size_t *ret_length)
{
    char *body = malloc(size + size / 64 * 16 + 64);
    size_t length = 0, left = size;
    if (chunked) {
        while (left > 0) {
            size_t chunk = 1 + (size_t)rand() % (rand() % 8 == 0 ? 100000 : 500);
            chunk = chunk < left ? chunk : left;
            if (left - chunk < size / 64)
                chunk = left;
            length += (size_t)sprintf(body + length, "%zx\r\n", chunk);
            for (size_t i = 0; i < chunk; i++)
                body[length++] = (char)rand();
            length += (size_t)sprintf(body + length, "\r\n");
            left -= chunk;
            if (length > size + size / 64 * 8) { /* the rest in one */
                if (left > 0) {
                    length += (size_t)sprintf(body + length, "%zx\r\n", left);
                    for (size_t i = 0; i < left; i++)
                        body[length++] = (char)rand();
                    length += (size_t)sprintf(body + length, "\r\n");
                    left = 0;
                }
            }
        }
        length += (size_t)sprintf(body + length, "0\r\n\r\n");
    } else {
        for (; length < size; length++)
            body[length] = (char)rand();
    }
    *ret_length = length;
    return body;
}

/* Sends as much as is taken, in pieces of any size; hears now and then. */
static void push(struct end *end, const char *bytes, size_t length, size_t *sent)
{
    size_t piece = 1 + (size_t)rand() % 70000;
    piece = piece < length - *sent ? piece : length - *sent;
    ssize_t n = piece > 0 ? send(end->fd, bytes + *sent, piece, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (n > 0)
        *sent += (size_t)n;
}

static void exchange_much(size_t size)
{
    char head[200];
    bool up_chunked = rand() % 2, down_chunked = rand() % 2;
    size_t up_length, down_length, up_sent = 0, down_sent = 0;
    char *up = make_body(size, up_chunked, &up_length), *down = make_body(size, down_chunked, &down_length);
    unsigned answered = rig.answered;
    snprintf(head, sizeof head, up_chunked ? POST("Transfer-Encoding: chunked\r\n") : POST("Content-Length: %zu\r\n"),
             size);
    say(&rig.client, head);
    snprintf(head, sizeof head,
             up_chunked ? POST_SENT("Transfer-Encoding: chunked\r\n") : POST_SENT("Content-Length: %zu\r\n"), size);
    while (up_sent < up_length && !rig.late) {
        push(&rig.client, up, up_length, &up_sent);
        ev_run(rig.loop, EVRUN_NOWAIT);
        if (rand() % 3 == 0)
            end_hear(&rig.proxy);
    }
    expect(&rig.proxy, head);
    run_until(rig.proxy.length - rig.proxy.seen >= up_length);
    ck_assert_mem_eq(rig.proxy.said + rig.proxy.seen, up, up_length);
    rig.proxy.seen += up_length;
    ck_assert_uint_eq(rig.proxy.seen, rig.proxy.length);
    snprintf(head, sizeof head,
             down_chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          : "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
             size);
    say(&rig.proxy, head);
    while (down_sent < down_length && !rig.late) {
        push(&rig.proxy, down, down_length, &down_sent);
        ev_run(rig.loop, EVRUN_NOWAIT);
        if (rand() % 3 == 0)
            end_hear(&rig.client);
    }
    expect(&rig.client, head);
    run_until(rig.client.length - rig.client.seen >= down_length && rig.answered == answered + 1);
    ck_assert_mem_eq(rig.client.said + rig.client.seen, down, down_length);
    rig.client.seen += down_length;
    ck_assert_uint_eq(rig.client.seen, rig.client.length);
    free(up);
    free(down);
}

START_TEST(no_byte_is_lost_or_doubled)
{
    srand(seed_of_run());
    for (int i = 0; i < 20; i++)
        exchange_much(1 + (size_t)rand() % (i % 4 == 0 ? 600000 : 3000));
    ck_assert_uint_eq(rig.links, 1);
}
END_TEST

START_TEST(a_client_that_reads_nothing_holds_the_proxy_back)
{
    static char part[65536];
    size_t sent = 0, before;
    ssize_t n;
    say(&rig.client, GET);
    run_until(rig.links == 1 && rig.proxy.length >= strlen(GET_SENT));
    say(&rig.proxy, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    do {
        before = sent;
        for (int i = 0; i < 20; i++) {
            ev_run(rig.loop, EVRUN_NOWAIT);
            n = send(rig.proxy.fd, part, sizeof part, MSG_DONTWAIT);
            sent += n > 0 ? (size_t)n : 0;
        }
    } while (sent != before && sent < 100000000);
    ck_assert_uint_lt(sent, 4000000);
    ck_assert_int_eq(rig.requests->wants_proxy, 0);
    ck_assert_int_eq(rig.requests->wants_client & STREAM_WRITABLE, STREAM_WRITABLE);
}
END_TEST

/* ---- time ---- */

START_TEST(patience_is_that_of_the_state)
{
    run_until(rig.requests->wants_client);
    ck_assert_double_eq(requests_patience(rig.requests), 300.);
    say(&rig.client, "GET");
    run_until(lane_left(&rig.requests->up) == 3);
    ck_assert_double_eq(requests_patience(rig.requests), 60.);
    say(&rig.client, " /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    expect(&rig.proxy, GET_SENT);
    ck_assert_double_eq(requests_patience(rig.requests), 7440.);
    shutdown(rig.client.fd, SHUT_WR);
    run_until(rig.requests->client_ended);
    ck_assert_double_eq(requests_patience(rig.requests), 3600.);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("requests");
    TCase *tcase = tcase_create("requests");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, requests_go_one_after_the_other_over_one_link);
    tcase_add_test(tcase, a_link_that_is_not_kept_does_not_end_the_client);
    tcase_add_test(tcase, bytes_that_come_one_by_one_are_the_same);
    tcase_add_test(tcase, pipelined_requests_wait_for_their_turn);
    tcase_add_test(tcase, a_client_that_has_ended_gets_all_its_answers);
    tcase_add_loop_test(tcase, answers_without_a_body_end_with_their_head, 0, sizeof bodiless / sizeof bodiless[0]);
    tcase_add_test(tcase, an_answer_without_a_length_ends_with_the_link);
    tcase_add_loop_test(tcase, an_answer_that_ends_early_is_an_error, 0, 2);
    tcase_add_test(tcase, a_client_of_http_1_0_gets_no_chunks_and_no_interim_answers);
    tcase_add_test(tcase, a_body_waits_for_its_100);
    tcase_add_test(tcase, an_answer_in_the_place_of_100_ends_the_connection);
    tcase_add_test(tcase, a_body_and_an_answer_pass_each_other);
    tcase_add_test(tcase, a_proxy_that_refuses_a_body_is_heard);
    tcase_add_loop_test(tcase, a_body_that_goes_bad_never_becomes_a_request, 0, 3);
    tcase_add_test(tcase, a_client_that_ends_inside_a_body_has_gone);
    tcase_add_test(tcase, a_bad_request_is_told_and_asked_of_nobody);
    tcase_add_test(tcase, a_head_without_an_end_is_too_large);
    tcase_add_loop_test(tcase, what_is_no_answer_is_garbage, 0, 3);
    tcase_add_test(tcase, a_proxy_that_asks_for_credentials_is_not_the_clients_matter);
    tcase_add_test(tcase, a_dead_idle_link_is_replaced_once);
    tcase_add_test(tcase, what_cannot_be_repeated_is_not);
    tcase_add_test(tcase, half_a_head_of_an_answer_is_not_repeated);
    tcase_add_test(tcase, a_link_with_a_byte_too_many_is_not_used_again);
    tcase_add_test(tcase, authentication_of_the_connection_binds_the_link_to_the_client);
    tcase_add_test(tcase, a_client_that_authenticates_its_connection_binds_the_link);
    tcase_add_test(tcase, a_request_for_another_protocol_is_given_back_with_all_behind_it);
    tcase_add_test(tcase, no_byte_is_lost_or_doubled);
    tcase_add_test(tcase, a_client_that_reads_nothing_holds_the_proxy_back);
    tcase_add_test(tcase, patience_is_that_of_the_state);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
