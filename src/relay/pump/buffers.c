/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/pump/buffers.h"

#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define KEPT_MAX           16
#define PIPES_KEPT         32
/* After the kernel refused a useful pipe, so many sessions copy before the next one asks again. */
#define PIPE_REFUSED_PAUSE 256

enum { LARGE, SMALL, POOR, N_CLASSES };

static const struct {
    size_t size, kept, most; /* kept for the next user; in use at most (64 MiB of each, of the poor ones any number) */
} classes[N_CLASSES] = {
    [LARGE] = {BUFFERS_LARGE, 8, 256},
    [SMALL] = {BUFFERS_SMALL, KEPT_MAX, 2048},
    [POOR] = {BUFFERS_POOR, 0, SIZE_MAX},
};

struct shelf {
    void *kept[KEPT_MAX];
    size_t n, out;
};

struct buffers {
    struct shelf shelves[N_CLASSES];
    struct buffers_pipe pipes[PIPES_KEPT];
    size_t n_pipes;
    size_t pipes_out, max_pipes;
    unsigned pipe_pause;
};

struct buffers *buffers_new(size_t max_pipes)
{
    struct buffers *buffers = calloc(1, sizeof *buffers);
    if (buffers)
        buffers->max_pipes = max_pipes;
    return buffers;
}

static void close_pipe(struct buffers_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    *pipe = BUFFERS_NO_PIPE;
}

void buffers_free(struct buffers *buffers)
{
    if (!buffers)
        return;
    assert(buffers_out(buffers) == 0 && buffers->pipes_out == 0);
    for (int i = 0; i < N_CLASSES; i++)
        while (buffers->shelves[i].n > 0)
            free(buffers->shelves[i].kept[--buffers->shelves[i].n]);
    while (buffers->n_pipes > 0)
        close_pipe(&buffers->pipes[--buffers->n_pipes]);
    free(buffers);
}

/* ---- buffers ---- */

void *buffers_get(struct buffers *buffers, bool large, size_t *ret_size)
{
    int class = large ? LARGE : SMALL;
    while (buffers->shelves[class].out >= classes[class].most)
        class ++;
    struct shelf *shelf = &buffers->shelves[class];
    void *buffer = shelf->n > 0 ? shelf->kept[--shelf->n] : malloc(classes[class].size);
    if (buffer) {
        shelf->out++;
        *ret_size = classes[class].size;
    }
    return buffer;
}

void buffers_put(struct buffers *buffers, void *buffer, size_t size)
{
    int class = LARGE;
    while (classes[class].size != size)
        class ++;
    struct shelf *shelf = &buffers->shelves[class];
    assert(shelf->out > 0);
    shelf->out--;
    if (shelf->n < classes[class].kept)
        shelf->kept[shelf->n++] = buffer;
    else
        free(buffer);
}

size_t buffers_out(const struct buffers *buffers)
{
    size_t out = 0;
    for (int i = 0; i < N_CLASSES; i++)
        out += buffers->shelves[i].out;
    return out;
}

/* ---- pipes ---- */

/* A user without privileges has /proc/sys/fs/pipe-user-pages-soft pages for all his pipes; beyond them a new pipe has
 * two pages and may not grow (pipe(7)). */
static bool open_pipe(struct buffers_pipe *ret_pipe)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    struct buffers_pipe made = {.read_fd = fds[0], .write_fd = fds[1]};
    int size = fcntl(fds[1], F_SETPIPE_SZ, BUFFERS_PIPE_WANTED);
    if (size < 0)
        size = fcntl(fds[1], F_GETPIPE_SZ);
    if (size < BUFFERS_PIPE_LEAST) {
        close_pipe(&made);
        return false;
    }
    made.size = (size_t)size;
    *ret_pipe = made;
    return true;
}

bool buffers_get_pipe(struct buffers *buffers, struct buffers_pipe *ret_pipe)
{
    if (buffers->n_pipes > 0) {
        *ret_pipe = buffers->pipes[--buffers->n_pipes];
    } else {
        if (buffers->pipes_out >= buffers->max_pipes)
            return false;
        if (buffers->pipe_pause > 0) {
            buffers->pipe_pause--;
            return false;
        }
        if (!open_pipe(ret_pipe)) {
            buffers->pipe_pause = PIPE_REFUSED_PAUSE;
            return false;
        }
    }
    buffers->pipes_out++;
    return true;
}

void buffers_put_pipe(struct buffers *buffers, struct buffers_pipe *pipe)
{
    if (buffers->n_pipes == PIPES_KEPT) {
        buffers_drop_pipe(buffers, pipe);
        return;
    }
    assert(buffers->pipes_out > 0 && pipe->read_fd >= 0);
    buffers->pipes_out--;
    buffers->pipe_pause = 0;
    buffers->pipes[buffers->n_pipes++] = *pipe;
    *pipe = BUFFERS_NO_PIPE;
}

void buffers_drop_pipe(struct buffers *buffers, struct buffers_pipe *pipe)
{
    assert(buffers->pipes_out > 0 && pipe->read_fd >= 0);
    buffers->pipes_out--;
    buffers->pipe_pause = 0;
    close_pipe(pipe);
}

size_t buffers_pipes_out(const struct buffers *buffers)
{
    return buffers->pipes_out;
}
