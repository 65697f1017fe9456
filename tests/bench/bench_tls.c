/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the TLS client costs by itself: CPU seconds per GB downloaded, with and without the engine, CPU per handshake,
 * and memory per idle connection. A child process is the server; only the client is measured. Usage: bench_tls
 * PKI-DIRECTORY (of tests/lab/pki with gw.example) [MB] [IDLE] */
#include "config.h"

#include <wolfssl/options.h>
/* wolfSSL's options come before everything else of it. */
#include <wolfssl/ssl.h>

#include <fcntl.h>
#include <gcrypt.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/stream_fd.h"
#include "channel/tls/device.h"
#include "channel/tls/tls.h"

static const char *directory;
static size_t megabytes = 512;
static int n_idle = 2000;

static const char *file(const char *name)
{
    static char paths[8][300];
    static unsigned next;
    snprintf(paths[++next % 8], sizeof paths[0], "%s/%s", directory, name);
    return paths[next % 8];
}

static void die(const char *what)
{
    fprintf(stderr, "bench_tls: %s\n", what);
    exit(EXIT_FAILURE);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- the server ---- */

static WOLFSSL_CTX *server_context(const char *suites)
{
    struct tls_device *engine;
    WOLFSSL_CTX *ctx;
    wolfSSL_Init();
    engine = tls_device_new(); /* so that the client rarely waits */
    ctx = wolfSSL_CTX_new(wolfTLS_server_method());
    if (!ctx || wolfSSL_CTX_use_certificate_chain_file(ctx, file("server.pem")) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(ctx, file("server.key"), WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_load_verify_locations(ctx, file("ca.pem"), NULL) != WOLFSSL_SUCCESS)
        die("the server cannot be set up");
    if (engine)
        wolfSSL_CTX_SetDevId(ctx, tls_device_id(engine));
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (suites && wolfSSL_CTX_set_cipher_list(ctx, suites) != WOLFSSL_SUCCESS)
        die("no such cipher");
    return ctx;
}

/* Serves one connection after the other: each arrives as a descriptor over the socket that main() holds. */
static int receive_fd(int from)
{
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fd = -1;
    if (recvmsg(from, &msg, 0) > 0 && CMSG_FIRSTHDR(&msg))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
    return fd;
}

static void send_fd(int to, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {.iov_base = (char *)"x", .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(cmsg), &fd, sizeof fd);
    if (sendmsg(to, &msg, 0) < 0)
        die("sendmsg");
}

static void serve(int from, const char *suites, size_t bytes)
{
    static char block[16384];
    WOLFSSL_CTX *ctx = server_context(suites);
    int fd;
    while ((fd = receive_fd(from)) >= 0) {
        WOLFSSL *ssl = wolfSSL_new(ctx);
        wolfSSL_set_fd(ssl, fd);
        if (wolfSSL_accept(ssl) == WOLFSSL_SUCCESS) {
            for (size_t sent = 0; sent < bytes; sent += sizeof block) {
                int size = bytes - sent < sizeof block ? (int)(bytes - sent) : (int)sizeof block;
                if (wolfSSL_write(ssl, block, size) <= 0)
                    break;
            }
        }
        /* Idle connections stay: the client ends them all by ending itself. */
        if (bytes > 1) {
            wolfSSL_free(ssl);
            close(fd);
        }
    }
    _exit(0);
}

static pid_t start_server(const char *suites, size_t bytes, int *ret_fd)
{
    int fds[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 || (pid = fork()) < 0)
        die("no server");
    if (pid == 0) {
        close(fds[0]);
        serve(fds[1], suites, bytes);
    }
    close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

/* ---- the client ---- */

static struct tls_context *client_context(void)
{
    struct conf conf = {.n_ca_paths = 1};
    struct tls_context *context;
    struct error error;
    conf.ca_paths[0] = (char *)file("ca.pem");
    conf.certificate = (char *)file("client.pem");
    conf.private_key = (char *)file("client.key");
    if (tls_context_new(&conf, &error, &context) < 0)
        die(error.text);
    return context;
}

static void wait_for(struct stream *stream, enum stream_status status)
{
    struct pollfd poll_fd = {.fd = stream_fd(stream), .events = status == STREAM_AGAIN_READ ? POLLIN : POLLOUT};
    poll(&poll_fd, 1, -1);
}

static struct tls *connect_to(int server, struct tls_context *context, bool resume)
{
    enum stream_status status;
    struct tls *tls;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        die("too many descriptors");
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    send_fd(server, fds[1]);
    close(fds[1]);
    tls = tls_new(context, stream_new_plain(fds[0]), "gw.example", resume);
    while ((status = tls_handshake(tls)) == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE)
        wait_for(tls_stream(tls), status);
    if (status != STREAM_OK)
        die(tls_failure_text(tls));
    return tls;
}

static size_t drain(struct tls *tls, size_t until)
{
    static char buf[65536];
    size_t total = 0, count;
    enum stream_status status;
    while (total < until) {
        status = stream_read(tls_stream(tls), buf, sizeof buf, &count);
        if (status == STREAM_OK)
            total += count;
        else if (status == STREAM_AGAIN_READ || status == STREAM_AGAIN_WRITE)
            wait_for(tls_stream(tls), status);
        else
            break;
    }
    return total;
}

/* Each measurement in a process of its own, so that libgcrypt can be told of another CPU. */
static void download(const char *what, const char *suites, bool engine)
{
    size_t bytes = megabytes << 20;
    struct tls_context *context;
    struct tls_summary summary;
    struct tls *tls;
    double before;
    int server;
    if (fork() != 0) {
        wait(NULL);
        return;
    }
    start_server(suites, bytes, &server);
    if (!engine)
        gcry_control(GCRYCTL_DISABLE_HWF, "intel-aesni", NULL);
    context = client_context();
    tls = connect_to(server, context, false);
    tls_summary(tls, &summary);
    before = cpu_seconds();
    if (drain(tls, bytes) != bytes)
        die("the download is too short");
    printf("%-22s %-30s %6.2f CPU s/GB\n", what, summary.cipher, (cpu_seconds() - before) * 1e9 / (double)bytes);
    exit(0);
}

static void handshakes(const char *what, bool resume)
{
    enum { N = 300 };
    struct tls_context *context;
    double before;
    int server, n_resumed = 0;

    if (fork() != 0) {
        wait(NULL);
        return;
    }
    start_server(NULL, 2, &server);
    context = client_context();
    for (int i = 0; i < 5; i++) {
        struct tls *tls = connect_to(server, context, resume);
        drain(tls, 2);
        stream_free(tls_stream(tls), false);
    }
    before = cpu_seconds();
    for (int i = 0; i < N; i++) {
        struct tls *tls = connect_to(server, context, resume);
        drain(tls, 2);
        n_resumed += tls_resumed(tls);
        stream_free(tls_stream(tls), false);
    }
    printf("%-22s %3d of %d resumed             %8.3f CPU ms each\n", what, n_resumed, N,
           (cpu_seconds() - before) * 1e3 / N);
    exit(0);
}

static size_t resident(void)
{
    FILE *stream = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;
    if (!stream || fscanf(stream, "%*u %lu", &pages) != 1)
        die("/proc/self/statm");
    fclose(stream);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void idle(const char *what, bool resume)
{
    struct tls_context *context;
    size_t before, allocated;
    int server;
    if (fork() != 0) {
        wait(NULL);
        return;
    }
    start_server(NULL, 1, &server);
    context = client_context();
    for (int i = 0; i < 10; i++)
        drain(connect_to(server, context, resume), 1);
    before = resident();
    allocated = mallinfo2().uordblks;
    for (int i = 0; i < n_idle; i++)
        drain(connect_to(server, context, resume), 1);
    printf("%-22s %5d connections              %8zu bytes each resident, %zu allocated\n", what, n_idle,
           (resident() - before) / (size_t)n_idle, (mallinfo2().uordblks - allocated) / (size_t)n_idle);
    exit(0);
}

int main(int argc, char **argv)
{
    struct rlimit limit;
    if (argc < 2)
        die("usage: bench_tls PKI-DIRECTORY [MB] [IDLE]");
    directory = argv[1];
    if (argc > 2)
        megabytes = strtoul(argv[2], NULL, 10);
    if (argc > 3)
        n_idle = atoi(argv[3]);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    setvbuf(stdout, NULL, _IOLBF, 0);
    download("engine", "TLS13-AES128-GCM-SHA256", true);
    download("engine", "TLS13-AES256-GCM-SHA384", true);
    download("wolfSSL alone", "TLS13-CHACHA20-POLY1305-SHA256", false);
    download("wolfSSL alone", "TLS13-AES128-GCM-SHA256", false);
    handshakes("full handshake", false);
    handshakes("resumed handshake", true);
    idle("idle, full handshake", false);
    idle("idle, resumed", true);
    return 0;
}
