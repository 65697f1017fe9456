/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes through the TLS stream: none lost, none invented, ends told apart, whatever lies between the two sides. */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "seed.h"
#include "tls_pair.h"
#include "under_filter.h"

static struct tls_context *context;
static struct tls_peer_server *server;

static void start(bool tls12, const char *suites)
{
    struct conf conf = pair_conf();
    struct tls_peer_conf peer_conf = pair_peer_conf("server");
    peer_conf.tls12 = tls12;
    peer_conf.suites = suites;
    context = pair_context(&conf);
    server = tls_peer_server_new(&peer_conf);
}

static void stop(struct pair *pair)
{
    pair_close(pair);
    tls_context_free(context);
    tls_peer_server_free(server);
}

static struct stream *stream_of(const struct pair *pair)
{
    return tls_stream(pair->tls);
}

static bool is_again(enum stream_status status)
{
    return status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE;
}

static size_t some(unsigned *seed, size_t max)
{
    return 1 + (size_t)rand_r(seed) % max;
}

/* ---- bulk ---- */

static unsigned char expected(uint64_t offset, int way)
{
    uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15u + (uint64_t)way;
    return (unsigned char)(x >> 56 ^ x >> 24);
}

struct flow {
    int way;
    uint64_t total, written, read;
    size_t offered, filled; /* of the write that has to be repeated */
    unsigned char out[70000], in[70000];
};

static void prepare(struct flow *flow, unsigned *seed)
{
    size_t left = flow->total - flow->written < sizeof flow->out ? flow->total - flow->written : sizeof flow->out;
    size_t grown = flow->offered + some(seed, sizeof flow->out);
    /* After "again" the same bytes, and sometimes more of them. */
    if (flow->offered == 0 || *seed % 2)
        flow->offered = grown < left ? grown : left;
    for (; flow->filled < flow->offered; flow->filled++)
        flow->out[flow->filled] = expected(flow->written + flow->filled, flow->way);
}

static void take(struct flow *flow, size_t count)
{
    for (size_t i = 0; i < count; i++) { /* an assertion per byte would cost a system call each */
        if (flow->in[i] != expected(flow->read + i, flow->way))
            ck_abort_msg("byte %ju is wrong", (uintmax_t)(flow->read + i));
    }
    flow->read += count;
}

static void wrote(struct flow *flow, size_t count)
{
    ck_assert_uint_le(count, flow->offered);
    flow->written += count;
    flow->offered = flow->filled = 0;
}

static void move_up(struct pair *pair, struct flow *up, unsigned *seed)
{
    enum stream_status status;
    enum tls_peer_result result;
    size_t count;
    if (up->written < up->total) {
        prepare(up, seed);
        status = stream_write(stream_of(pair), up->out, up->offered, &count);
        ck_assert_msg(status == STREAM_OK || is_again(status), "%s", tls_failure_text(pair->tls));
        if (status == STREAM_OK)
            wrote(up, count);
    }
    result = tls_peer_read(pair->peer, up->in, some(seed, sizeof up->in), &count);
    ck_assert(result == TLS_PEER_OK || result == TLS_PEER_AGAIN);
    if (result == TLS_PEER_OK)
        take(up, count);
}

static void move_down(struct pair *pair, struct flow *down, unsigned *seed)
{
    enum stream_status status;
    enum tls_peer_result result;
    size_t count;
    if (down->written < down->total) {
        prepare(down, seed);
        result = tls_peer_write(pair->peer, down->out, down->offered, &count);
        ck_assert(result == TLS_PEER_OK || result == TLS_PEER_AGAIN);
        if (result == TLS_PEER_OK)
            wrote(down, count);
    }
    status = stream_read(stream_of(pair), down->in, some(seed, sizeof down->in), &count);
    ck_assert_msg(status == STREAM_OK || is_again(status), "%s", tls_failure_text(pair->tls));
    if (status == STREAM_OK)
        take(down, count);
}

/* Both ways at once. */
static void exchange(struct pair *pair, uint64_t total, unsigned seed)
{
    struct flow *up = calloc(1, sizeof *up), *down = calloc(1, sizeof *down);
    up->total = down->total = total;
    down->way = 1;
    while (up->read < total || down->read < total) {
        if (rand_r(&seed) % 4)
            move_up(pair, up, &seed);
        if (rand_r(&seed) % 4)
            move_down(pair, down, &seed);
        if (pair->wire)
            wire_move(pair);
    }
    free(up);
    free(down);
}

/* Under valgrind less is enough. */
static uint64_t bulk_size(void)
{
    const char *text = getenv("TLS_TEST_MB");
    return (text ? strtoull(text, NULL, 10) : 16) << 20;
}

START_TEST(bulk_both_ways_arrives_as_sent)
{
    struct pair pair;
    start(_i, NULL);
    pair = pair_up(context, server, "gw.example", false);
    exchange(&pair, bulk_size(), seed_of_run());
    stop(&pair);
}
END_TEST

START_TEST(small_pieces_both_ways)
{
    static const size_t pieces[] = {1, 7, 1000}, totals[] = {20000, 60000, 2000000};
    struct pair pair;
    start(_i % 2, NULL);
    pair = pair_open_wired(context, server, "gw.example", pieces[_i / 2]);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_OK);
    exchange(&pair, totals[_i / 2], seed_of_run());
    stop(&pair);
}
END_TEST

static const struct {
    const char *offered, *chosen;
    bool tls12;
} suites[] = {
    {"TLS13-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", false},
    {"TLS13-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384", false},
    {"TLS13-CHACHA20-POLY1305-SHA256", "TLS_CHACHA20_POLY1305_SHA256", false},
    {"ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", true},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", true},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", true},
};
#define N_SUITES ((int)(sizeof suites / sizeof suites[0]))

/* The server computes in wolfSSL, so this also compares the engine with it. */
START_TEST(every_cipher_that_is_offered_works)
{
    struct pair pair;
    struct tls_summary summary;
    start(suites[_i].tls12, suites[_i].offered);
    pair = pair_up(context, server, "gw.example", false);
    tls_summary(pair.tls, &summary);
    ck_assert_str_eq(summary.cipher, suites[_i].chosen);
    exchange(&pair, 1 << 20, seed_of_run());
    stop(&pair);
}
END_TEST

START_TEST(weak_ciphers_are_not_offered)
{
    static const char *const weak[] = {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA",
                                       "ECDHE-ECDSA-AES128-CCM-8:AES128-GCM-SHA256", "ADH-AES128-SHA"};
    struct pair pair;
    start(true, weak[_i]);
    pair = pair_open(context, server, "gw.example", false);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_ALERT);
    stop(&pair);
}
END_TEST

START_TEST(new_keys_in_the_middle)
{
    static const char *const chosen[] = {"TLS13-AES128-GCM-SHA256", "TLS13-CHACHA20-POLY1305-SHA256"};
    struct pair pair;
    start(false, chosen[_i]);
    pair = pair_up(context, server, "gw.example", false);
    for (unsigned i = 0; i < 5; i++) {
        exchange(&pair, 100000, i);
        tls_peer_update_keys(pair.peer);
    }
    exchange(&pair, 100000, 5);
    stop(&pair);
}
END_TEST

START_TEST(many_connections_share_one_context)
{
    enum { N = 150 }; /* more than the engine keeps keys for */
    struct pair *pairs = calloc(N, sizeof *pairs);

    start(false, "TLS13-AES128-GCM-SHA256");
    for (int i = 0; i < N; i++)
        pairs[i] = pair_up(context, server, "gw.example", true);
    for (unsigned round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            exchange(&pairs[i], 5000, round);
    }
    for (int i = 1; i < N; i++)
        pair_close(&pairs[i]);
    stop(&pairs[0]);
    free(pairs);
}
END_TEST

#define SIGNATURE_SLACK 64
#define ANSWER_RECORD   (5 + 10 + 16 + 1) /* with its header and tag; in TLS 1.3 its type, in 1.2 there is more */

/* A handshake and one answer; true when all of it went well. */
static bool run_once(struct pair *pair)
{
    enum stream_status status = pair_handshake(pair);
    char buf[64];
    size_t count;
    if (status == STREAM_OK) {
        if (pair->peer)
            (void)tls_peer_write(pair->peer, "the answer", 10, &count);
        status = pair_read(pair, buf, sizeof buf, &count);
    }
    if (status == STREAM_OK) {
        ck_assert_uint_eq(count, 10);
        ck_assert_mem_eq(buf, "the answer", 10);
        return true;
    }
    if (!is_again(status)) { /* a record that became longer is waited for */
        ck_assert_int_ne(tls_failure(pair->tls), TLS_FAILURE_NONE);
        ck_assert_uint_gt(strlen(stream_error(stream_of(pair))), 10);
        ck_assert_int_ne(status, STREAM_EOF);
    }
    return false;
}

/* ---- the end of a direction ---- */

static enum tls_peer_result server_read(struct pair *pair, void *buf, size_t size, size_t *ret_count)
{
    enum tls_peer_result result = TLS_PEER_AGAIN;
    for (int i = 0; i < 1000 && result == TLS_PEER_AGAIN; i++)
        result = tls_peer_read(pair->peer, buf, size, ret_count);
    return result;
}

START_TEST(our_half_close_leaves_the_way_back_open)
{
    struct pair pair;
    char buf[16];
    size_t count;
    start(_i, NULL);
    pair = pair_up(context, server, "gw.example", false);
    ck_assert_int_eq(stream_shutdown_write(stream_of(&pair)), STREAM_OK);
    ck_assert_int_eq(stream_shutdown_write(stream_of(&pair)), STREAM_OK);
    ck_assert_int_eq(server_read(&pair, buf, sizeof buf, &count), TLS_PEER_EOF);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(tls_peer_write(pair.peer, "late", 4, &count), TLS_PEER_OK);
        ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_OK);
        ck_assert_mem_eq(buf, "late", 4);
    }
    ck_assert_int_eq(tls_peer_close_notify(pair.peer), TLS_PEER_OK);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_EOF);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_EOF);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_NONE);
    stop(&pair);
}
END_TEST

START_TEST(the_peers_half_close_leaves_our_way_open)
{
    struct pair pair;
    char buf[16];
    size_t count;
    start(_i, NULL);
    pair = pair_up(context, server, "gw.example", false);
    ck_assert_int_eq(tls_peer_write(pair.peer, "last", 4, &count), TLS_PEER_OK);
    ck_assert_int_eq(tls_peer_close_notify(pair.peer), TLS_PEER_OK);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_EOF);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(stream_write(stream_of(&pair), "more", 4, &count), STREAM_OK);
        ck_assert_int_eq(server_read(&pair, buf, sizeof buf, &count), TLS_PEER_OK);
        ck_assert_mem_eq(buf, "more", 4);
    }
    ck_assert_int_eq(stream_shutdown_write(stream_of(&pair)), STREAM_OK);
    ck_assert_int_eq(server_read(&pair, buf, sizeof buf, &count), TLS_PEER_EOF);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_EOF);
    stop(&pair);
}
END_TEST

START_TEST(an_end_without_close_notify_is_no_eof)
{
    struct pair pair;
    char buf[16];
    size_t count;
    start(_i, NULL);
    pair = pair_up(context, server, "gw.example", false);
    tls_peer_free(pair.peer);
    pair.peer = NULL;
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_TRUNCATED);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_TRUNCATED);
    ck_assert(!stream_pending(stream_of(&pair)));
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_NONE);
    ck_assert_str_eq(stream_error(stream_of(&pair)), "closed without TLS close_notify");
    ck_assert_int_eq(stream_shutdown_write(stream_of(&pair)), STREAM_OK);
    stop(&pair);
}
END_TEST

/* The peer closes one direction without a word and still listens. */
START_TEST(an_end_without_close_notify_leaves_our_way_open)
{
    struct pair pair;
    char buf[16];
    size_t count;
    start(_i, NULL);
    pair = pair_open_wired(context, server, "gw.example", 0);
    ck_assert(run_once(&pair));
    wire_cut(&pair, WIRE_TO_CLIENT, wire_moved(&pair, WIRE_TO_CLIENT));
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_TRUNCATED);
    ck_assert_int_eq(stream_write(stream_of(&pair), "late", 4, &count), STREAM_OK);
    ck_assert_int_eq(stream_shutdown_write(stream_of(&pair)), STREAM_OK);
    wire_move(&pair);
    ck_assert_int_eq(server_read(&pair, buf, sizeof buf, &count), TLS_PEER_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_mem_eq(buf, "late", 4);
    stop(&pair);
}
END_TEST

/* Nothing is missing at an end between two records; inside of one bytes are. */
START_TEST(an_end_inside_a_record_is_a_failure)
{
    struct pair pair = {0};
    char buf[16];
    size_t count;
    start(_i, NULL);
    for (size_t part = 1; part < ANSWER_RECORD; part++) {
        pair = pair_open_wired(context, server, "gw.example", 0);
        ck_assert(run_once(&pair));
        wire_cut(&pair, WIRE_TO_CLIENT, wire_moved(&pair, WIRE_TO_CLIENT) + part);
        ck_assert_int_eq(tls_peer_write(pair.peer, "the answer", 10, &count), TLS_PEER_OK);
        ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_FAILED);
        ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_CLOSED);
        ck_assert_ptr_nonnull(
            strstr(stream_error(stream_of(&pair)), "closed the connection in the middle of a TLS record"));
        pair_close(&pair);
    }
    stop(&pair);
}
END_TEST

START_TEST(closed_before_the_first_byte_is_suspect)
{
    struct pair pair;
    char buf[16];
    size_t count;
    start(_i, NULL);
    pair = pair_open(context, server, "gw.example", false);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_OK);
    tls_peer_free(pair.peer);
    pair.peer = NULL;
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_CLOSED);
    ck_assert_str_eq(stream_error(stream_of(&pair)),
                     "gw.example closed the connection after the handshake without an alert; it may refuse the client "
                     "certificate");
    stop(&pair);
}
END_TEST

/* A loopback pair, as only TCP knows resets. */
static void tcp_pair(int fds[2])
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof in4;
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in4, sizeof in4), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in4, &length), 0);
    ck_assert(connect(fds[0], (struct sockaddr *)&in4, sizeof in4) == 0 || errno == EINPROGRESS);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

static void reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

START_TEST(a_reset_is_a_reset)
{
    int fds[2];
    struct pair pair = {0};
    char buf[16];
    size_t count;
    start(false, NULL);
    tcp_pair(fds);
    pair.tls = tls_new(context, stream_new_plain(fds[0]), "gw.example", false);
    pair.peer = tls_peer_new(server, fds[1], NULL);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_OK);
    reset(fds[1]);
    tls_peer_free(pair.peer);
    pair.peer = NULL;
    if (_i == 0)
        ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_RESET);
    else
        ck_assert_int_eq(stream_write(stream_of(&pair), "x", 1, &count), STREAM_RESET);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_CLOSED);
    ck_assert_ptr_nonnull(
        strstr(stream_error(stream_of(&pair)), " the connection after the handshake without an alert"));
    stop(&pair);
}
END_TEST

/* Records wait for a peer that takes none: nothing counts as written before it is on its way, and a peer that leaves
 * then is a reset. */
START_TEST(records_that_wait_are_not_written)
{
    static unsigned char bytes[200000];
    struct pair pair;
    enum stream_status status;
    size_t count = 0, written = 0, read = 0;
    start(false, NULL);
    pair = pair_up(context, server, "gw.example", false);
    while ((status = stream_write(stream_of(&pair), bytes, sizeof bytes, &count)) == STREAM_OK)
        written += count;
    ck_assert_int_eq(status, STREAM_AGAIN_WRITE);
    if (_i == 0) {
        while (tls_peer_read(pair.peer, bytes, sizeof bytes, &count) == TLS_PEER_OK)
            read += count;
        ck_assert_uint_ge(read, written);
        ck_assert_int_eq(stream_write(stream_of(&pair), bytes, sizeof bytes, &count), STREAM_OK);
        written += count;
        while (tls_peer_read(pair.peer, bytes, sizeof bytes, &count) == TLS_PEER_OK)
            read += count;
        ck_assert_uint_eq(read, written);
    } else {
        tls_peer_free(pair.peer);
        pair.peer = NULL;
        ck_assert_int_eq(stream_write(stream_of(&pair), bytes, sizeof bytes, &count), STREAM_RESET);
    }
    stop(&pair);
}
END_TEST

START_TEST(freeing_says_goodbye_or_resets)
{
    int fds[2];
    struct pair pair = {0};
    char buf[16];
    size_t count;
    start(false, NULL);
    tcp_pair(fds);
    pair.tls = tls_new(context, stream_new_plain(fds[0]), "gw.example", false);
    pair.peer = tls_peer_new(server, fds[1], NULL);
    ck_assert_int_eq(pair_handshake(&pair), STREAM_OK);
    stream_free(stream_of(&pair), _i);
    pair.tls = NULL;
    ck_assert_int_eq(server_read(&pair, buf, sizeof buf, &count), _i ? TLS_PEER_FAILED : TLS_PEER_EOF);
    stop(&pair);
}
END_TEST

START_TEST(bytes_inside_are_pending_until_read)
{
    struct pair pair;
    char buf[8];
    size_t count;
    start(_i, NULL);
    pair = pair_up(context, server, "gw.example", false);
    ck_assert(!stream_pending(stream_of(&pair)));
    ck_assert_int_eq(tls_peer_write(pair.peer, "first", 5, &count), TLS_PEER_OK);
    ck_assert_int_eq(tls_peer_write(pair.peer, "second", 6, &count), TLS_PEER_OK);
    ck_assert_int_eq(pair_read(&pair, buf, 1, &count), STREAM_OK);
    ck_assert(stream_pending(stream_of(&pair)));
    ck_assert_int_eq(stream_read(stream_of(&pair), buf, 4, &count), STREAM_OK);
    ck_assert_mem_eq(buf, "irst", 4);
    ck_assert(stream_pending(stream_of(&pair)));
    ck_assert_int_eq(stream_read(stream_of(&pair), buf, 8, &count), STREAM_OK);
    ck_assert_mem_eq(buf, "second", 6);
    ck_assert_int_eq(stream_read(stream_of(&pair), buf, 8, &count), STREAM_AGAIN_READ);
    ck_assert(!stream_pending(stream_of(&pair)));
    stop(&pair);
}
END_TEST

/* ---- TLS in TLS ---- */

START_TEST(tls_works_inside_tls)
{
    struct pair outer, inner = {0};
    start(_i, NULL);
    outer = pair_up(context, server, "gw.example", false);
    inner.tls = tls_new(context, stream_of(&outer), "192.0.2.7", false);
    inner.peer = tls_peer_new(server, -1, outer.peer);
    outer.tls = NULL; /* taken over */
    ck_assert_msg(pair_handshake(&inner) == STREAM_OK, "%s", tls_failure_text(inner.tls));
    exchange(&inner, 1 << 20, seed_of_run());
    ck_assert_int_eq(stream_shutdown_write(stream_of(&inner)), STREAM_OK);
    pair_close(&inner);
    stop(&outer);
}
END_TEST

START_TEST(inside_tls_the_inner_server_is_named)
{
    struct pair outer, inner = {0};
    start(false, NULL);
    outer = pair_up(context, server, "gw.example", false);
    inner.tls = tls_new(context, stream_of(&outer), "mcp.example", false);
    inner.peer = tls_peer_new(server, -1, outer.peer);
    outer.tls = NULL;
    ck_assert_int_eq(pair_handshake(&inner), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(inner.tls), TLS_FAILURE_SERVER_CERT);
    ck_assert_int_eq(strncmp(tls_failure_text(inner.tls), "certificate of mcp.example is for", 33), 0);
    pair_close(&inner);
    stop(&outer);
}
END_TEST

/* ---- damage ---- */

static enum stream_status answer_to(const void *bytes, size_t size, struct pair *pair)
{
    int fds[2];
    enum stream_status status = STREAM_AGAIN_READ;
    start(false, NULL);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *pair = (struct pair){.tls = tls_new(context, stream_new_plain(fds[0]), "gw.example", false)};
    ck_assert_int_eq(write(fds[1], bytes, size), size);
    shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < 100 && is_again(status); i++)
        status = tls_handshake(pair->tls);
    close(fds[1]);
    return status;
}

START_TEST(something_else_than_tls)
{
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
                                          "220 mail.example ESMTP\r\n", "<html>", "\x16\x03\x03\xff\xff"};
    struct pair pair;
    ck_assert_int_eq(answer_to(answers[_i], strlen(answers[_i]), &pair), STREAM_FAILED);
    ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_PROTOCOL);
    if (_i < 4)
        ck_assert_str_eq(tls_failure_text(pair.tls), "gw.example does not speak TLS");
    stop(&pair);
}
END_TEST

START_TEST(noise)
{
    unsigned seed = seed_of_run();
    unsigned char bytes[2000];
    struct pair pair;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (unsigned char)(rand_r(&seed) >> 8);
        if (round % 2)
            memcpy(bytes, (unsigned char[]){0x16, 3, 3, (unsigned char)(round % 16), bytes[4], 2, 0}, 7);
        ck_assert_int_eq(answer_to(bytes, sizeof bytes, &pair), STREAM_FAILED);
        ck_assert_int_ne(tls_failure(pair.tls), TLS_FAILURE_NONE);
        ck_assert_uint_gt(strlen(tls_failure_text(pair.tls)), 10);
        stop(&pair);
    }
}
END_TEST

static void learn_lengths(size_t lengths[2])
{
    struct pair pair = pair_open_wired(context, server, "gw.example", 0);
    ck_assert(run_once(&pair));
    lengths[0] = wire_moved(&pair, WIRE_TO_CLIENT);
    lengths[1] = wire_moved(&pair, WIRE_TO_SERVER);
    pair_close(&pair);
}

START_TEST(a_damaged_record_is_a_failure)
{
    unsigned seed = seed_of_run();
    size_t lengths[2];
    int good = 0;
    struct pair pair = {0};
    start(_i, NULL);
    learn_lengths(lengths);
    for (int round = 0; round < 150; round++) {
        enum wire_way way = rand_r(&seed) % 4 == 0 ? WIRE_TO_SERVER : WIRE_TO_CLIENT;
        pair = pair_open_wired(context, server, "gw.example", 0);
        wire_damage(&pair, way, some(&seed, lengths[way]) - 1, (unsigned)rand_r(&seed) >> 4);
        good += run_once(&pair);
        pair_close(&pair);
    }
    ck_assert_int_lt(good, 30); /* a few bits mean nothing, such as the version in a record's header */
    stop(&pair);
}
END_TEST

START_TEST(a_cut_connection_is_a_failure)
{
    unsigned seed = seed_of_run();
    size_t lengths[2];
    struct pair pair = {0};
    start(_i, NULL);
    learn_lengths(lengths);
    for (int round = 0; round < 100; round++) {
        /* Signatures (DER) are now and then some bytes shorter, and so is then the whole. */
        size_t at = some(&seed, lengths[0] - SIGNATURE_SLACK) - 1;

        pair = pair_open_wired(context, server, "gw.example", 0);
        wire_cut(&pair, WIRE_TO_CLIENT, at);
        ck_assert(!run_once(&pair));
        ck_assert_int_eq(tls_failure(pair.tls), TLS_FAILURE_CLOSED);
        pair_close(&pair);
    }
    stop(&pair);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("tls_stream");
    TCase *bulk = add_case(suite, "bulk"), *ends = add_case(suite, "ends"), *damage = add_case(suite, "damage");
    SRunner *runner;
    int failed;
    pki_make();
    tcase_add_loop_test(bulk, bulk_both_ways_arrives_as_sent, 0, 2);
    tcase_add_loop_test(bulk, small_pieces_both_ways, 0, 6);
    tcase_add_loop_test(bulk, every_cipher_that_is_offered_works, 0, N_SUITES);
    tcase_add_loop_test(bulk, weak_ciphers_are_not_offered, 0, 4);
    tcase_add_loop_test(bulk, new_keys_in_the_middle, 0, 2);
    tcase_add_test(bulk, many_connections_share_one_context);
    tcase_add_loop_test(bulk, tls_works_inside_tls, 0, 2);
    tcase_add_test(bulk, inside_tls_the_inner_server_is_named);
    tcase_add_loop_test(ends, our_half_close_leaves_the_way_back_open, 0, 2);
    tcase_add_loop_test(ends, the_peers_half_close_leaves_our_way_open, 0, 2);
    tcase_add_loop_test(ends, an_end_without_close_notify_is_no_eof, 0, 2);
    tcase_add_loop_test(ends, an_end_without_close_notify_leaves_our_way_open, 0, 2);
    tcase_add_loop_test(ends, an_end_inside_a_record_is_a_failure, 0, 2);
    tcase_add_loop_test(ends, closed_before_the_first_byte_is_suspect, 0, 2);
    tcase_add_loop_test(ends, a_reset_is_a_reset, 0, 2);
    tcase_add_loop_test(ends, records_that_wait_are_not_written, 0, 2);
    tcase_add_loop_test(ends, freeing_says_goodbye_or_resets, 0, 2);
    tcase_add_loop_test(ends, bytes_inside_are_pending_until_read, 0, 2);
    tcase_add_loop_test(damage, something_else_than_tls, 0, 5);
    tcase_add_test(damage, noise);
    tcase_add_loop_test(damage, a_damaged_record_is_a_failure, 0, 2);
    tcase_add_loop_test(damage, a_cut_connection_is_a_failure, 0, 2);
    runner = srunner_create(suite);
    under_filter(FILTER_RELAY);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    pki_remove();
    return failed == 0 ? 0 : 1;
}
