/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "loop_peer.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remove_tree.h"

#define BACKLOG 16

/* ---- servers ---- */

static struct addr loopback(int family, uint16_t port)
{
    struct addr addr;
    ck_assert(addr_parse(family == AF_INET6 ? "::1" : "127.0.0.1", port, &addr));
    return addr;
}

static int bind_any(int family, int type, uint16_t port, struct addr *ret_addr)
{
    struct addr addr = loopback(family, port);
    socklen_t length = sizeof addr;
    int one = 1, fd = socket(family, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, &addr.sa, addr_length(&addr)) < 0 || getsockname(fd, &addr.sa, &length) < 0) {
        close(fd);
        return -1;
    }
    *ret_addr = addr;
    return fd;
}

static void serve(int listener, struct peer *peer, peer_script *script, const void *data)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        ++*peer->accepted;
        script(fd, (void *)data);
        close(fd);
    }
}

/* In the peer's process, never to return. */
static void become_peer(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
}

bool peer_start(struct peer *peer, int family, uint16_t port, peer_script *script, const void *data)
{
    int fd = bind_any(family, SOCK_STREAM, port, &peer->address);
    if (fd < 0)
        return false;
    ck_assert_int_eq(listen(fd, BACKLOG), 0);
    peer->accepted = mmap(NULL, sizeof *peer->accepted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne((void *)peer->accepted, MAP_FAILED);
    peer->pid = fork();
    ck_assert_int_ge(peer->pid, 0);
    if (peer->pid == 0) {
        become_peer();
        serve(fd, peer, script, data);
    }
    close(fd);
    return true;
}

bool peer_start_udp(struct peer *peer, peer_script *script, const void *data)
{
    int fd = bind_any(AF_INET, SOCK_DGRAM, 0, &peer->address);
    ck_assert_int_ge(fd, 0);
    peer->accepted = NULL;
    peer->pid = fork();
    ck_assert_int_ge(peer->pid, 0);
    if (peer->pid == 0) {
        become_peer();
        script(fd, (void *)data);
        _exit(0);
    }
    close(fd);
    return true;
}

void peer_stop(struct peer *peer)
{
    kill(peer->pid, SIGKILL);
    waitpid(peer->pid, NULL, 0);
    if (peer->accepted)
        munmap((void *)peer->accepted, sizeof *peer->accepted);
}

int peer_listen(struct addr *ret_address)
{
    int fd = bind_any(AF_INET, SOCK_STREAM, 0, ret_address);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(listen(fd, BACKLOG), 0);
    return fd;
}

struct addr peer_refusing(void)
{
    struct addr addr;
    /* Bound and not listening: the port stays ours and answers RST. The descriptor is left to the test's end. */
    ck_assert_int_ge(bind_any(AF_INET, SOCK_STREAM, 0, &addr), 0);
    return addr;
}

struct addr peer_silent(void)
{
    struct addr addr;
    int i, listener = bind_any(AF_INET, SOCK_STREAM, 0, &addr);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(listen(listener, 0), 0);
    for (i = 0; i < 3; i++) { /* nobody accepts: once the queue is full, the kernel ignores further SYNs */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        (void)connect(fd, &addr.sa, addr_length(&addr));
    }
    return addr;
}

bool peer_leave_network(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

bool peer_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

double peer_patience(double seconds)
{
    const char *multiplier = getenv("CK_TIMEOUT_MULTIPLIER");
    return multiplier && atof(multiplier) > 1 ? seconds * atof(multiplier) : seconds;
}

/* ---- certificates ---- */

static char pki_directory[] = "/tmp/penstock-test-XXXXXX";

const char *peer_make_pki(void)
{
    const char *source = getenv("srcdir"); /* set by make check */
    char command[1024];
    if (!mkdtemp(pki_directory))
        abort();
    snprintf(command, sizeof command, "sh '%s/tests/lab/pki' %s gw.example localhost 127.0.0.1 ::1 auth.example",
             source ? source : ".", pki_directory);
    if (system(command) != 0) {
        fprintf(stderr, "no certificates: %s\n", command);
        exit(EXIT_FAILURE);
    }
    return pki_directory;
}

void peer_remove_pki(void)
{
    if (!remove_tree(pki_directory))
        fprintf(stderr, "%s is left behind\n", pki_directory);
}

const char *peer_pki(const char *name)
{
    static char paths[64][sizeof pki_directory + 40]; /* kept for configurations that point to them */
    static size_t n;
    if (n == sizeof paths / sizeof paths[0])
        abort();
    snprintf(paths[n], sizeof paths[n], "%s/%s", pki_directory, name);
    return paths[n++];
}

/* ---- plain scripts ---- */

bool peer_read_head(int fd, char *buf, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        ssize_t count = recv(fd, buf + length, size - 1 - length, 0);
        if (count <= 0)
            return false;
        length += (size_t)count;
        buf[length] = '\0';
        if (strstr(buf, "\r\n\r\n"))
            return true;
    }
    return false;
}

void peer_write(int fd, const char *text)
{
    size_t at = 0, length = strlen(text);
    while (at < length) {
        ssize_t count = send(fd, text + at, length - at, MSG_NOSIGNAL);
        if (count <= 0)
            return;
        at += (size_t)count;
    }
}

void peer_drain(int fd)
{
    char buf[4096];
    while (recv(fd, buf, sizeof buf, 0) > 0)
        continue;
}

void peer_reset_at_close(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

/* ---- TLS scripts ---- */

struct peer_channel {
    int fd;
    struct peer_channel *below;
    bool mute;
    WOLFSSL_CTX *context;
    WOLFSSL *ssl;
};

static int channel_receive(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct peer_channel *channel = data;
    ssize_t count =
        channel->below ? wolfSSL_read(channel->below->ssl, buf, size) : recv(channel->fd, buf, (size_t)size, 0);
    return count > 0 ? (int)count : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

static int channel_send(WOLFSSL *ssl, char *buf, int size, void *data)
{
    struct peer_channel *channel = data;
    ssize_t count;
    /* An alert, as long as nothing is encrypted yet or as TLS 1.3 makes the record look: too short for anything else.
     */
    if (channel->mute && (buf[0] == 21 || size < 40))
        return size;
    count = channel->below ? wolfSSL_write(channel->below->ssl, buf, size)
                           : send(channel->fd, buf, (size_t)size, MSG_NOSIGNAL);
    return count > 0 ? (int)count : WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

static WOLFSSL_CTX *make_context(const struct peer_tls *tls)
{
    WOLFSSL_CTX *context = wolfSSL_CTX_new(tls->tls12 ? wolfTLSv1_2_server_method() : wolfTLSv1_3_server_method());
    int ok = WOLFSSL_SUCCESS;
    if (!context)
        abort();
    if (wolfSSL_CTX_use_certificate_file(context, tls->certificate, WOLFSSL_FILETYPE_PEM) != ok ||
        wolfSSL_CTX_use_PrivateKey_file(context, tls->key, WOLFSSL_FILETYPE_PEM) != ok)
        abort();
    if (tls->client_ca) {
        if (wolfSSL_CTX_load_verify_locations(context, tls->client_ca, NULL) != ok)
            abort();
        wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    wolfSSL_CTX_SetIORecv(context, channel_receive);
    wolfSSL_CTX_SetIOSend(context, channel_send);
    return context;
}

struct peer_channel *peer_tls_accept(int fd, struct peer_channel *below, const struct peer_tls *tls)
{
    struct peer_channel *channel = calloc(1, sizeof *channel);
    if (!channel)
        abort();
    wolfSSL_Init();
    channel->fd = fd;
    channel->below = below;
    channel->mute = tls->mute;
    channel->context = make_context(tls);
    channel->ssl = wolfSSL_new(channel->context);
    if (!channel->ssl)
        abort();
    wolfSSL_SetIOReadCtx(channel->ssl, channel);
    wolfSSL_SetIOWriteCtx(channel->ssl, channel);
    return wolfSSL_accept(channel->ssl) == WOLFSSL_SUCCESS ? channel : NULL;
}

bool peer_tls_read_head(struct peer_channel *channel, char *buf, size_t size)
{
    size_t length = 0;
    while (length + 1 < size) {
        int count = wolfSSL_read(channel->ssl, buf + length, (int)(size - 1 - length));
        if (count <= 0)
            return false;
        length += (size_t)count;
        buf[length] = '\0';
        if (strstr(buf, "\r\n\r\n"))
            return true;
    }
    return false;
}

void peer_tls_write(struct peer_channel *channel, const char *text)
{
    wolfSSL_write(channel->ssl, text, (int)strlen(text));
}

void peer_tls_close(struct peer_channel *channel)
{
    wolfSSL_shutdown(channel->ssl);
}

void peer_tls_drain(struct peer_channel *channel)
{
    char buf[4096];
    while (wolfSSL_read(channel->ssl, buf, sizeof buf) > 0)
        continue;
}
