/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes on the control socket, in any pieces: at most one request comes of them, of printable characters, and every
 * client gets a whole answer or is dropped. */
#include "config.h"

#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gate/control/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ev_loop *loop;
static struct control *control;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int requests, known; /* of this input; clients that request() has seen and that are not gone or finished */
static struct control_client *waiting; /* its answer comes later */

static void request_cb(struct control_client *client, const char *verb, bool privileged, void *data)
{
    size_t length = strlen(verb);
    if (++requests > 1 || length == 0 || length > 256)
        abort();
    for (const char *c = verb; *c; c++) {
        if (*c < ' ' || *c > '~')
            abort();
    }
    known++;
    control_send(client, "{\"first\": 1}");
    if (length % 2) {
        waiting = client;
    } else {
        known--;
        control_finish(client);
    }
}

static void gone_cb(struct control_client *client, void *data)
{
    if (client == waiting)
        waiting = NULL;
    known--;
}

static void remove_socket(void)
{
    control_free(control);
    rmdir(dirname(address.sun_path));
}

static void set_up(void)
{
    static const struct control_cbs cbs = {.request = request_cb, .gone = gone_cb};
    char error[CONTROL_ERROR_MAX], directory[] = "/tmp/fuzz-control-XXXXXX";
    loop = ev_loop_new(EVFLAG_AUTO);
    if (!loop || !mkdtemp(directory))
        abort();
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    control = control_new(loop, address.sun_path, &cbs, NULL, error);
    if (!control)
        abort();
    atexit(remove_socket);
}

static void run_loop(void)
{
    for (int i = 0; i < 3; i++)
        ev_run(loop, EVRUN_NOWAIT);
}

/* A byte says how long the next piece is, 0: the end of our direction. */
static void send_pieces(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t piece = *data++;
        size--;
        if (piece == 0) {
            shutdown(fd, SHUT_WR);
            break;
        }
        piece = piece < size ? piece : size;
        if (send(fd, data, piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        data += piece;
        size -= piece;
        run_loop();
    }
}

/* What came is lines of JSON, each with its end. */
static void check_answer(int fd)
{
    char answer[4096];
    size_t have = 0;
    ssize_t n;
    while (have < sizeof answer && (n = recv(fd, answer + have, sizeof answer - have, MSG_DONTWAIT)) > 0)
        have += (size_t)n;
    if (have == sizeof answer || (have > 0 && (answer[0] != '{' || answer[have - 1] != '\n')))
        abort();
    if (requests > 0 && have == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!control)
        set_up();
    requests = known = 0;
    waiting = NULL;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        abort();
    run_loop();
    send_pieces(fd, data, size);
    run_loop();
    if (waiting && size % 3) {
        struct control_client *client = waiting;
        waiting = NULL;
        known--;
        control_send(client, "{\"last\": 1}");
        control_finish(client);
        run_loop();
    }
    check_answer(fd);
    close(fd);
    run_loop();
    if (known > 0 && waiting) { /* a client that is gone shows when it is written to */
        control_send(waiting, "{}");
        run_loop();
    }
    if (known != 0)
        abort();
    return 0;
}
