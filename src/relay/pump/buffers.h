/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buffers and pipes for the bytes in flight, shared by all sessions of a relay. Whoever holds one has bytes in it, or
 * puts it back before returning to the loop. A few are kept for the next user, the last one put back first. */
#ifndef PENSTOCK_RELAY_PUMP_BUFFERS_H
#define PENSTOCK_RELAY_PUMP_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>

/* For long transfers: four times what TCP hands to a network device at once. 256 KiB would leave a bit for a small
 * packet each time. */
#define BUFFERS_LARGE       256000
#define BUFFERS_SMALL       32768
#define BUFFERS_POOR        4096 /* when very many are in use at once */
#define BUFFERS_PIPE_WANTED 1048576
#define BUFFERS_PIPE_LEAST  65536 /* below that copying is cheaper */

struct buffers;

struct buffers_pipe {
    int read_fd, write_fd; /* -1: no pipe */
    size_t size;
};

#define BUFFERS_NO_PIPE ((struct buffers_pipe){.read_fd = -1, .write_fd = -1})

/* At most max_pipes at any time (two descriptors each). NULL: out of memory. */
struct buffers *buffers_new(size_t max_pipes);
void buffers_free(struct buffers *buffers); /* takes NULL; everything must be back */

/* *ret_size says how large it is: smaller than wanted beyond a total that a relay may use. NULL: out of memory. */
void *buffers_get(struct buffers *buffers, bool large, size_t *ret_size);
void buffers_put(struct buffers *buffers, void *buffer, size_t size);

/* False: no pipe of a useful size can be had now (limit, descriptors, the user's pipe pages); copy instead. */
bool buffers_get_pipe(struct buffers *buffers, struct buffers_pipe *ret_pipe);
void buffers_put_pipe(struct buffers *buffers, struct buffers_pipe *pipe); /* an empty one */
void buffers_drop_pipe(struct buffers *buffers,
                       struct buffers_pipe *pipe); /* one that may still hold bytes: closes it */

/* What sessions hold now. */
size_t buffers_out(const struct buffers *buffers);
size_t buffers_pipes_out(const struct buffers *buffers);

#endif
