/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buffers and pipes for the bytes in flight, shared by all sessions of a relay. Whoever holds one has bytes in it, or
 * puts it back before returning to the loop. A few are kept for the next user, the last one put back first. */
#ifndef PENSTOCK_RELAY_POOL_H
#define PENSTOCK_RELAY_POOL_H

#include <stdbool.h>
#include <stddef.h>

/* For long transfers: four times what TCP hands to a network device at once. 256 KiB would leave a bit for a small
 * packet each time. */
#define POOL_BUFFER_LARGE 256000
#define POOL_BUFFER_SMALL 32768
#define POOL_BUFFER_POOR  4096 /* when very many are in use at once */
#define POOL_PIPE_WANTED  1048576
#define POOL_PIPE_LEAST   65536 /* below that copying is cheaper */

struct pool;

struct pool_pipe {
    int read_fd, write_fd; /* -1: no pipe */
    size_t size;
};

#define POOL_NO_PIPE ((struct pool_pipe){.read_fd = -1, .write_fd = -1})

/* At most max_pipes at any time (two descriptors each). NULL: out of memory. */
struct pool *pool_new(size_t max_pipes);
void pool_free(struct pool *pool); /* takes NULL; everything must be back */

/* *ret_size says how large it is: smaller than wanted beyond a total that a relay may use. NULL: out of memory. */
void *pool_get_buffer(struct pool *pool, bool large, size_t *ret_size);
void pool_put_buffer(struct pool *pool, void *buffer, size_t size);

/* False: no pipe of a useful size can be had now (limit, descriptors, the user's pipe pages); copy instead. */
bool pool_get_pipe(struct pool *pool, struct pool_pipe *ret_pipe);
void pool_put_pipe(struct pool *pool, struct pool_pipe *pipe);  /* an empty one */
void pool_drop_pipe(struct pool *pool, struct pool_pipe *pipe); /* one that may still hold bytes: closes it */

/* What sessions hold now. */
size_t pool_buffers_out(const struct pool *pool);
size_t pool_pipes_out(const struct pool *pool);

#endif
