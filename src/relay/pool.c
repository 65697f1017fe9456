/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/pool.h"

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
    [LARGE] = {POOL_BUFFER_LARGE, 8, 256},
    [SMALL] = {POOL_BUFFER_SMALL, KEPT_MAX, 2048},
    [POOR] = {POOL_BUFFER_POOR, 0, SIZE_MAX},
};

struct buffers {
    void *kept[KEPT_MAX];
    size_t n, out;
};

struct pool {
    struct buffers buffers[N_CLASSES];
    struct pool_pipe pipes[PIPES_KEPT];
    size_t n_pipes;
    size_t pipes_out, max_pipes;
    unsigned pipe_pause;
};

struct pool *pool_new(size_t max_pipes)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (pool)
        pool->max_pipes = max_pipes;
    return pool;
}

static void close_pipe(struct pool_pipe *pipe)
{
    close(pipe->read_fd);
    close(pipe->write_fd);
    *pipe = POOL_NO_PIPE;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    assert(pool_buffers_out(pool) == 0 && pool->pipes_out == 0);
    for (int i = 0; i < N_CLASSES; i++)
        while (pool->buffers[i].n > 0)
            free(pool->buffers[i].kept[--pool->buffers[i].n]);
    while (pool->n_pipes > 0)
        close_pipe(&pool->pipes[--pool->n_pipes]);
    free(pool);
}

/* ---- buffers ---- */

void *pool_get_buffer(struct pool *pool, bool large, size_t *ret_size)
{
    int class = large ? LARGE : SMALL;
    while (pool->buffers[class].out >= classes[class].most)
        class ++;
    struct buffers *buffers = &pool->buffers[class];
    void *buffer = buffers->n > 0 ? buffers->kept[--buffers->n] : malloc(classes[class].size);
    if (buffer) {
        buffers->out++;
        *ret_size = classes[class].size;
    }
    return buffer;
}

void pool_put_buffer(struct pool *pool, void *buffer, size_t size)
{
    int class = LARGE;
    while (classes[class].size != size)
        class ++;
    struct buffers *buffers = &pool->buffers[class];
    assert(buffers->out > 0);
    buffers->out--;
    if (buffers->n < classes[class].kept)
        buffers->kept[buffers->n++] = buffer;
    else
        free(buffer);
}

size_t pool_buffers_out(const struct pool *pool)
{
    size_t out = 0;
    for (int i = 0; i < N_CLASSES; i++)
        out += pool->buffers[i].out;
    return out;
}

/* ---- pipes ---- */

/* A user without privileges has /proc/sys/fs/pipe-user-pages-soft pages for all his pipes; beyond them a new pipe has
 * two pages and may not grow (pipe(7)). */
static bool open_pipe(struct pool_pipe *ret_pipe)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return false;
    struct pool_pipe made = {.read_fd = fds[0], .write_fd = fds[1]};
    int size = fcntl(fds[1], F_SETPIPE_SZ, POOL_PIPE_WANTED);
    if (size < 0)
        size = fcntl(fds[1], F_GETPIPE_SZ);
    if (size < POOL_PIPE_LEAST) {
        close_pipe(&made);
        return false;
    }
    made.size = (size_t)size;
    *ret_pipe = made;
    return true;
}

bool pool_get_pipe(struct pool *pool, struct pool_pipe *ret_pipe)
{
    if (pool->n_pipes > 0) {
        *ret_pipe = pool->pipes[--pool->n_pipes];
    } else {
        if (pool->pipes_out >= pool->max_pipes)
            return false;
        if (pool->pipe_pause > 0) {
            pool->pipe_pause--;
            return false;
        }
        if (!open_pipe(ret_pipe)) {
            pool->pipe_pause = PIPE_REFUSED_PAUSE;
            return false;
        }
    }
    pool->pipes_out++;
    return true;
}

void pool_put_pipe(struct pool *pool, struct pool_pipe *pipe)
{
    if (pool->n_pipes == PIPES_KEPT) {
        pool_drop_pipe(pool, pipe);
        return;
    }
    assert(pool->pipes_out > 0 && pipe->read_fd >= 0);
    pool->pipes_out--;
    pool->pipe_pause = 0;
    pool->pipes[pool->n_pipes++] = *pipe;
    *pipe = POOL_NO_PIPE;
}

void pool_drop_pipe(struct pool *pool, struct pool_pipe *pipe)
{
    assert(pool->pipes_out > 0 && pipe->read_fd >= 0);
    pool->pipes_out--;
    pool->pipe_pause = 0;
    close_pipe(pipe);
}

size_t pool_pipes_out(const struct pool *pool)
{
    return pool->pipes_out;
}
