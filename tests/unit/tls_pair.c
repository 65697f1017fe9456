/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tls_pair.h"

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remove_tree.h"

#define STEPS_MAX      5000
#define PIECES_AT_ONCE 20

static char directory[] = "/tmp/penstock-pki-XXXXXX";

void pki_make(void)
{
    char command[512];
    if (!mkdtemp(directory))
        abort();
    snprintf(command, sizeof command, TOP_DIR "/tests/lab/pki %s gw.example 192.0.2.7 2001:db8::7", directory);
    if (system(command) != 0)
        abort();
}

void pki_remove(void)
{
    if (!remove_tree(directory))
        perror(directory);
}

const char *pki(const char *name)
{
    static char paths[16][256];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

struct conf pair_conf(void)
{
    struct conf conf = {.n_ca_paths = 1};
    conf.ca_paths[0] = (char *)pki("ca.pem");
    conf.certificate = (char *)pki("client.pem");
    conf.private_key = (char *)pki("client.key");
    return conf;
}

struct tls_peer_conf pair_peer_conf(const char *certificate)
{
    char name[64];
    struct tls_peer_conf conf = {.client_ca = pki("ca.pem")};
    snprintf(name, sizeof name, "%s.pem", certificate);
    conf.certificate = pki(name);
    snprintf(name, sizeof name, "%s.key", certificate);
    conf.key = pki(name);
    return conf;
}

struct tls_context *pair_context(const struct conf *conf)
{
    struct error error;
    struct tls_context *context = NULL;
    ck_assert_msg(tls_context_new(conf, &error, &context) == 0, "%s", error.text);
    return context;
}

/* ---- the wire ---- */

struct half {
    int from, to;
    bool ended;
    size_t at, end, moved, cut_at, damage_at;
    unsigned char damage;
    unsigned char buf[16384];
};

struct wire {
    size_t piece;
    struct half halves[2];
};

static struct wire *wire_new(int client, int server, size_t piece)
{
    struct wire *wire = calloc(1, sizeof *wire);
    ck_assert_ptr_nonnull(wire);
    wire->piece = piece;
    for (int way = 0; way < 2; way++) {
        struct half *half = &wire->halves[way];
        half->from = way == WIRE_TO_CLIENT ? server : client;
        half->to = way == WIRE_TO_CLIENT ? client : server;
        half->cut_at = half->damage_at = SIZE_MAX;
    }
    return wire;
}

static void wire_free(struct wire *wire)
{
    if (!wire)
        return;
    close(wire->halves[0].from);
    close(wire->halves[0].to);
    free(wire);
}

static void half_end(struct half *half)
{
    shutdown(half->to, SHUT_WR);
    half->ended = true;
}

static bool half_fill(struct half *half, size_t piece)
{
    size_t size = piece && piece < sizeof half->buf ? piece : sizeof half->buf;
    ssize_t count = recv(half->from, half->buf, size, 0);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN)
            half_end(half);
        return false;
    }
    half->at = 0;
    half->end = (size_t)count;
    if (half->damage_at >= half->moved && half->damage_at < half->moved + half->end)
        half->buf[half->damage_at - half->moved] ^= half->damage;
    if (half->cut_at < half->moved + half->end)
        half->end = half->cut_at - half->moved;
    return true;
}

static void half_move(struct half *half, size_t piece)
{
    ssize_t count;
    if (!half->ended && half->moved == half->cut_at)
        half_end(half);
    if (half->ended || (half->at == half->end && !half_fill(half, piece)))
        return;
    while (half->at < half->end) {
        count = send(half->to, half->buf + half->at, half->end - half->at, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN)
            return;
        if (count < 0)
            count = (ssize_t)(half->end - half->at); /* nobody wants it */
        half->at += (size_t)count;
        half->moved += (size_t)count;
    }
    if (half->moved == half->cut_at)
        half_end(half);
}

void wire_move(struct pair *pair)
{
    for (int i = 0; i < PIECES_AT_ONCE; i++) {
        half_move(&pair->wire->halves[WIRE_TO_CLIENT], pair->wire->piece);
        half_move(&pair->wire->halves[WIRE_TO_SERVER], pair->wire->piece);
    }
}

void wire_damage(struct pair *pair, enum wire_way way, size_t offset, unsigned bit)
{
    pair->wire->halves[way].damage_at = offset;
    pair->wire->halves[way].damage = (unsigned char)(1u << bit % 8);
}

void wire_cut(struct pair *pair, enum wire_way way, size_t offset)
{
    pair->wire->halves[way].cut_at = offset;
}

size_t wire_moved(const struct pair *pair, enum wire_way way)
{
    return pair->wire->halves[way].moved;
}

/* ---- the pair ---- */

static void sockets(int fds[2])
{
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

struct pair pair_open(struct tls_context *context, struct tls_peer_server *server, const char *name, bool resume)
{
    struct pair pair = {0};
    int fds[2];
    sockets(fds);
    pair.tls = tls_new(context, stream_new_plain(fds[0]), name, resume);
    ck_assert_ptr_nonnull(pair.tls);
    pair.peer = tls_peer_new(server, fds[1], NULL);
    return pair;
}

struct pair pair_open_wired(struct tls_context *context, struct tls_peer_server *server, const char *name, size_t piece)
{
    struct pair pair = {0};
    int client[2], peer[2];
    sockets(client);
    sockets(peer);
    pair.wire = wire_new(client[1], peer[1], piece);
    pair.tls = tls_new(context, stream_new_plain(client[0]), name, false);
    ck_assert_ptr_nonnull(pair.tls);
    pair.peer = tls_peer_new(server, peer[0], NULL);
    return pair;
}

void pair_close(struct pair *pair)
{
    if (pair->tls)
        stream_free(tls_stream(pair->tls), false);
    tls_peer_free(pair->peer);
    wire_free(pair->wire);
    *pair = (struct pair){0};
}

static bool is_again(enum stream_status status)
{
    return status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE;
}

enum stream_status pair_handshake(struct pair *pair)
{
    enum stream_status client = STREAM_AGAIN_WRITE;
    enum tls_peer_result server = TLS_PEER_AGAIN;
    for (int i = 0; i < STEPS_MAX && (is_again(client) || server == TLS_PEER_AGAIN); i++) {
        if (pair->wire)
            wire_move(pair);
        if (is_again(client))
            client = tls_handshake(pair->tls);
        if (server == TLS_PEER_AGAIN)
            server = tls_peer_accept(pair->peer);
        if (server == TLS_PEER_FAILED) { /* as servers do */
            tls_peer_free(pair->peer);
            pair->peer = NULL;
        }
        if (!is_again(client) && client != STREAM_OK)
            break;
    }
    return client;
}

enum stream_status pair_read(struct pair *pair, void *buf, size_t size, size_t *ret_count)
{
    enum stream_status status = STREAM_AGAIN_READ;
    for (int i = 0; i < STEPS_MAX && is_again(status); i++) {
        if (pair->wire)
            wire_move(pair);
        status = stream_read(tls_stream(pair->tls), buf, size, ret_count);
    }
    return status;
}

struct pair pair_up(struct tls_context *context, struct tls_peer_server *server, const char *name, bool resume)
{
    struct pair pair = pair_open(context, server, name, resume);
    char buf[16];
    size_t count;
    ck_assert_msg(pair_handshake(&pair) == STREAM_OK, "%s", tls_failure_text(pair.tls));
    ck_assert_int_eq(stream_write(tls_stream(pair.tls), "ping", 4, &count), STREAM_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_int_eq(tls_peer_read(pair.peer, buf, sizeof buf, &count), TLS_PEER_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_int_eq(tls_peer_write(pair.peer, "pong", 4, &count), TLS_PEER_OK);
    ck_assert_int_eq(pair_read(&pair, buf, sizeof buf, &count), STREAM_OK);
    ck_assert_uint_eq(count, 4);
    ck_assert_mem_eq(buf, "pong", 4);
    return pair;
}
