/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "relay/pool.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BUFFERS_KEPT       16
#define BUFFERS_RICH       2048 /* 128 MiB of them; then poor ones */
#define PIPES_KEPT         32
/* After the kernel refused a useful pipe, so many sessions copy before the next one asks again. */
#define PIPE_REFUSED_PAUSE 256

struct pool {
    void *buffers[BUFFERS_KEPT];
    size_t n_buffers;
    size_t rich_out, poor_out;
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
    assert(pool->rich_out == 0 && pool->poor_out == 0 && pool->pipes_out == 0);
    while (pool->n_buffers > 0)
        free(pool->buffers[--pool->n_buffers]);
    while (pool->n_pipes > 0)
        close_pipe(&pool->pipes[--pool->n_pipes]);
    free(pool);
}

/* ---- buffers ---- */

void *pool_get_buffer(struct pool *pool, size_t *ret_size)
{
    void *buffer;
    if (pool->rich_out >= BUFFERS_RICH) {
        buffer = malloc(POOL_BUFFER_POOR);
        if (buffer) {
            pool->poor_out++;
            *ret_size = POOL_BUFFER_POOR;
        }
        return buffer;
    }
    buffer = pool->n_buffers > 0 ? pool->buffers[--pool->n_buffers] : malloc(POOL_BUFFER_SIZE);
    if (buffer) {
        pool->rich_out++;
        *ret_size = POOL_BUFFER_SIZE;
    }
    return buffer;
}

void pool_put_buffer(struct pool *pool, void *buffer, size_t size)
{
    assert(size == POOL_BUFFER_SIZE || size == POOL_BUFFER_POOR);
    size_t *out = size == POOL_BUFFER_SIZE ? &pool->rich_out : &pool->poor_out;
    assert(*out > 0);
    --*out;
    if (size == POOL_BUFFER_SIZE && pool->n_buffers < BUFFERS_KEPT)
        pool->buffers[pool->n_buffers++] = buffer;
    else
        free(buffer);
}

size_t pool_buffers_out(const struct pool *pool)
{
    return pool->rich_out + pool->poor_out;
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
