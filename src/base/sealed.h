/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that processes share by a descriptor: a memfd of a fixed size, sealed, so that nobody who shares it can shrink
 * it and have another killed with SIGBUS. */
#ifndef PENSTOCK_BASE_SEALED_H
#define PENSTOCK_BASE_SEALED_H

#include <stddef.h>

/* size bytes of zeros, mapped read-write. 0 or -errno. */
int sealed_create(const char *name, size_t size, int *ret_fd, void **ret_memory);
/* -EINVAL: it has another size. 0 or -errno. */
int sealed_map(int fd, size_t size, void **ret_memory);
void sealed_unmap(void *memory, size_t size); /* takes NULL */

#endif
